"""Shards: atomic, checked, and telling where they came from."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import table
from manifests.errors import DataError, Missing
from manifests.schema import TABLES, Column, Table

SMALL = Table(
    "small",
    (
        Column("row_id", pa.string(), "key"),
        Column("value", pa.float64(), "a number", nullable=True),
        Column("image", pa.binary(), "payload", nullable=True),
    ),
)


WIDE = Table(
    "wide",
    (
        *SMALL.columns,
        Column("name", pa.string(), "a text", nullable=True),
        Column("count", pa.int32(), "a small whole number", nullable=True),
        Column("bytes", pa.int64(), "a whole number", nullable=True),
        Column("points", pa.list_(pa.float64()), "numbers", nullable=True),
    ),
)
HOSTILE = st.sampled_from(
    ["", "\0", "a\0b", "\ufeff", "\u202egpj", "e\u0301" * 300, "<script>", "../../etc/passwd", "\n\r\t"]
)
TEXTS = st.text(max_size=8) | HOSTILE
REALS = st.floats(allow_nan=False)
CELLS = st.tuples(
    TEXTS,
    REALS | st.none(),
    st.binary() | st.none(),
    TEXTS | st.none(),
    st.integers(-(2**31), 2**31 - 1) | st.none(),
    st.integers(-(2**63), 2**63 - 1) | st.none(),
    st.lists(REALS, max_size=4) | st.none(),
)


@settings(deadline=None)
@given(st.lists(CELLS, max_size=20))
def test_rows_come_back_as_they_went(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[object, ...]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "part-0000.parquet"
    rows = [dict(zip(WIDE.names, value, strict=True)) for value in values]
    table.write_table(path, WIDE, rows, {"stage": "x"})
    assert table.read_rows(path) == rows
    assert table.provenance(path) == {"stage": "x"}
    assert table.table_name(path) == ("wide", WIDE.version)
    again = path.with_name("again")
    table.write_table(again, WIDE, rows, {"stage": "x"})
    assert again.read_bytes() == path.read_bytes()


@settings(deadline=None, max_examples=50)
@given(st.lists(CELLS, min_size=1, max_size=6), st.data())
def test_the_digest_of_rows_changes_if_and_only_if_a_value_does(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[object, ...]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("t") / "part-0000.parquet"
    rows = [dict(zip(WIDE.names, value, strict=True)) for value in values]
    table.write_table(path, WIDE, rows, {"stage": "x"})
    digest = table.rows_digest(path)
    table.write_table(path, WIDE, rows, {"stage": "y"})
    assert table.rows_digest(path) == digest
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(WIDE.names))
    other = dict(zip(WIDE.names, data.draw(CELLS), strict=True))[column]
    changed = [row | {column: other} if i == place else row for i, row in enumerate(rows)]
    table.write_table(path, WIDE, changed, {"stage": "x"})
    assert (table.rows_digest(path) == digest) == (repr(other) == repr(rows[place][column]))


def test_no_bytes_and_empty_bytes_are_two_values(tmp_path: Path) -> None:
    digests = []
    for image in (None, b""):
        table.write_table(tmp_path / "part-0000.parquet", SMALL, [{"row_id": "a", "image": image}], {})
        digests.append(table.rows_digest(tmp_path / "part-0000.parquet"))
    assert digests[0] != digests[1]


def test_a_broken_row_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for rows, message in (
        ([{"row_id": None}], "column row_id is null"),
        ([{"row_id": "a", "value": "x"}], "column value"),
    ):
        with pytest.raises(ValueError, match=message):
            table.write_table(tmp_path / "part-0000.parquet", SMALL, rows, {})
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part-0000.parquet"
    table.write_table(path, SMALL, [{"row_id": "old"}], {})

    def full_disk(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        table.write_table(path, SMALL, [{"row_id": "new"}], {})
    assert [row["row_id"] for row in table.read_rows(path)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_payload_is_read_for_the_wanted_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "part-0000.parquet"
    rows = [{"row_id": str(i), "value": float(i), "image": b"%d" % i} for i in range(1000)]
    table.write_table(path, SMALL, rows, {})
    found = dict(table.read_payload(path, ["image"], ["3", "999", "130"]))
    assert found == {str(i): {"image": b"%d" % i} for i in (3, 130, 999)}


def test_absent_broken_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no shards"):
        table.shards(tmp_path)
    with pytest.raises(Missing, match="no file"):
        table.read_rows(tmp_path / "part-0000.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-0000.parquet")
    with pytest.raises(DataError, match="not written by"):
        table.provenance(tmp_path / "part-0000.parquet")
    with pytest.raises(DataError, match="no column b; it has a"):
        table.read_rows(tmp_path / "part-0000.parquet", ["b"])
    assert table.columns_of(tmp_path / "part-0000.parquet") == ("a",)


@given(st.text(), st.integers(1, 2000))
def test_a_bucket_depends_on_the_person_alone(identity: str, buckets: int) -> None:
    assert 0 <= table.bucket_of(identity, buckets) < buckets
    assert table.bucket_of(identity, buckets) == table.bucket_of(identity, buckets)


def test_every_table_of_the_schema_can_be_written_and_says_what_its_columns_mean(tmp_path: Path) -> None:
    assert len(TABLES) == 16
    for one in TABLES:
        assert len(set(one.names)) == len(one.names)
        assert all(column.meaning for column in one.columns)
        table.write_table(tmp_path / one.name / "part-0000.parquet", one, [], {})


def test_a_flipped_bit_in_a_picture_is_found(tmp_path: Path) -> None:
    path = tmp_path / "part-0000.parquet"
    table.write_table(path, SMALL, [{"row_id": "a", "image": b"\x55" * 4096}], {})
    damaged = path.read_bytes().replace(b"\x55" * 64, b"\x54" * 64, 1)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="delete it and run its stage again"):
        table.read_rows(path)
    with pytest.raises(DataError, match="delete it and run its stage again"):
        list(table.read_payload(path, ["image"], ["a"]))


def test_the_digest_is_of_what_is_written_not_of_how_python_held_it(tmp_path: Path) -> None:
    table.write_table(tmp_path / "a", SMALL, [{"row_id": "a", "value": 134, "image": b"x"}], {})
    table.write_table(tmp_path / "b", SMALL, [{"row_id": "a", "value": 134.0, "image": b"x"}], {})
    table.write_table(tmp_path / "c", SMALL, [{"row_id": "a", "value": 134.0, "image": b"y"}], {})
    assert table.rows_digest(tmp_path / "a") == table.rows_digest(tmp_path / "b") != table.rows_digest(tmp_path / "c")


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = int(ended.stdout)
    for name in (f".a[1].json.{dead}.tmp", f".a[1].json.{os.getppid()}.tmp", f".b.json.{dead}.tmp", ".a[1].json.x.tmp"):
        (tmp_path / name).write_text("half")
    table.write_text(tmp_path / "a[1].json", "{}")
    left = {".a[1].json.x.tmp", f".a[1].json.{os.getppid()}.tmp", f".b.json.{dead}.tmp"}
    assert {path.name for path in tmp_path.iterdir()} == {"a[1].json", *left}
