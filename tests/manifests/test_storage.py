"""Tables behind a URL: written whole, read, listed and replaced as in a folder."""

from pathlib import Path

import pytest

from manifests import storage, table
from manifests.errors import DataError, Missing, UsageError
from manifests.schema import DROPS
from tests.factories import make_rows


def test_a_setting_without_a_protocol_is_a_path() -> None:
    assert storage.place("data/x") == Path("data/x")
    assert storage.is_here(storage.place("data"))


def test_a_table_behind_a_url_is_the_table_of_a_folder(tmp_path: Path) -> None:
    there = storage.place("memory://test_storage/data") / "drops"
    rows = make_rows(DROPS, 3)
    for folder in (there, tmp_path):
        table.write_drops(folder / table.shard_name(0), rows, {"key": "k"})
    assert not storage.is_here(there)
    assert [path.name for path in table.shards(there, 1)] == [table.shard_name(0)]
    found, expected = there / table.shard_name(0), tmp_path / table.shard_name(0)
    assert found.read_bytes() == expected.read_bytes()
    assert table.read_rows(found) == table.read_rows(expected)
    assert table.provenance(found) == {"key": "k"}
    assert dict(table.read_payload(found, ["stage"], [rows[1]["row_id"]])) == {
        rows[1]["row_id"]: {"stage": rows[1]["stage"]}
    }


def test_what_is_not_written_to_its_end_leaves_the_old_file() -> None:
    path = storage.place("memory://test_storage/text.json")
    table.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), storage.replacing(path) as temporary:
        temporary.write_text("torn")
        raise ZeroDivisionError
    assert path.read_text() == "old"


def test_absent_and_damaged_files_behind_a_url_are_told_as_in_a_folder() -> None:
    path = storage.place("memory://test_storage/damaged.parquet")
    with pytest.raises(Missing):
        table.read_rows(path)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="whole Parquet file"):
        table.read_rows(path)


def test_an_unknown_protocol_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="nosuch"):
        storage.place("nosuch://bucket/data")
