"""A table broken on purpose in each way is reported with table, row, column, found and allowed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.schema import CRAWL, DROPS, EMOTION, LANDMARKS, MANIFEST, REVIEW, TABLES, VOICES, WHITEN
from manifests.table import write_table
from manifests.validate import Fault, validate_file
from tests.factories import make_rows


def write(path: Path, table: Any, rows: list[dict[str, Any]]) -> Path:
    write_table(path, table, rows, {"stage": "test"})
    return path


def manifest(folder: Path) -> list[dict[str, Any]]:
    """A valid manifest's rows, with the shards they point into written beside it."""
    faces, speech = make_rows(WHITEN, 8), make_rows(VOICES, 8)
    write(folder / "whiten" / "part-0000.parquet", WHITEN, faces)
    write(folder / "voices" / "part-0000.parquet", VOICES, speech)
    rows = []
    for i, source in enumerate([*faces, *speech]):
        row = {name: source.get(name) for name in MANIFEST.names} | {"shard": "whiten/part-0000.parquet"}
        row["split"] = "test" if row["identity_id"] == "id10001" else "train"
        place = (
            {"kind": "face", "row": i}
            if i < 8
            else {"kind": "speech", "row": i - 8, "shard": "voices/part-0000.parquet"}
        )
        rows.append(row | place)
    return rows


def rewrite(path: Path, change: Any) -> None:
    """Change a written file as a careless tool would, its footer kept."""
    data = pq.read_table(path)
    pq.write_table(change(data).replace_schema_metadata(data.schema.metadata), path)


def replaced(data: pa.Table, name: str, values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    place = data.column_names.index(name)
    return data.set_column(place, pa.field(name, kind or data.schema.field(name).type), [values])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_of_the_factory_is_valid(tmp_path: Path, table: Any) -> None:
    rows = manifest(tmp_path) if table is MANIFEST else make_rows(table, 9)
    assert validate_file(write(tmp_path / "t.parquet", table, rows)) == []


@pytest.mark.parametrize(
    ("table", "column", "value", "allowed"),
    [
        (CRAWL, "gender", "x", "one of m, f"),
        (CRAWL, "sha256", "ABC", "64 hexadecimal digits"),
        (CRAWL, "source_width", 0, "1 or more"),
        (LANDMARKS, "landmarks", [1.0, 2.0], "136 numbers"),
        (LANDMARKS, "yaw_deg", 181.0, "-180 to 180"),
        (LANDMARKS, "pitch_deg", float("nan"), "a finite number"),
        (EMOTION, "p_neutral", 1.01, "0 to 1"),
        (REVIEW, "rank", 0, "1 or more"),
        (VOICES, "duration_s", 0.0, "more than 0"),
        (VOICES, "n_frames", -4, "more than 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_value_out_of_its_range_is_named(tmp_path: Path, table: Any, column: str, value: Any, allowed: str) -> None:
    rows = make_rows(table, 5)
    rows[3][column] = value
    faults = validate_file(write(tmp_path / "t.parquet", table, rows))
    assert [(f.table, f.row, f.column, f.allowed) for f in faults] == [(table.name, rows[3]["row_id"], column, allowed)]
    assert faults[0].found == repr(value)


def test_a_missing_column_and_a_wrong_type_are_faults_of_the_table(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", CRAWL, make_rows(CRAWL, 4))
    rewrite(path, lambda data: replaced(data.drop(["page"]), "bytes", ["1", "2", "3", "4"], pa.string()))
    found = {(fault.column, fault.found) for fault in validate_file(path)}
    assert found == {("page", "no such column"), ("bytes", "string")}


def test_a_null_where_none_may_be_is_a_fault(tmp_path: Path) -> None:
    rows = make_rows(CRAWL, 4)
    path = write(tmp_path / "t.parquet", CRAWL, rows)
    rewrite(path, lambda data: replaced(data, "source", ["a", None, "c", "d"]))
    assert validate_file(path) == [
        Fault("crawl", rows[1]["row_id"], "source", "None", "a value (the column is not nullable)")
    ]


def test_a_key_may_appear_once(tmp_path: Path) -> None:
    rows = make_rows(CRAWL, 4, row_id=lambda i: f"key{i // 2}")
    faults = validate_file(write(tmp_path / "t.parquet", CRAWL, rows))
    assert {(f.row, f.column, f.found, f.allowed) for f in faults} == {
        ("key0", "row_id", "2 rows with this key", "one"),
        ("key1", "row_id", "2 rows with this key", "one"),
    }


def test_a_row_may_be_dropped_by_several_stages(tmp_path: Path) -> None:
    rows = make_rows(DROPS, 2, row_id="same", stage=lambda i: ("landmarks", "emotion")[i])
    assert validate_file(write(tmp_path / "t.parquet", DROPS, rows)) == []


def test_extra_columns_are_welcome(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", CRAWL, make_rows(CRAWL, 4))
    rewrite(path, lambda data: data.append_column("mine", [[1, 2, 3, 4]]))
    assert validate_file(path) == []


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    rows = make_rows(EMOTION, 6, gender=lambda i: "?" if i < 3 else "m", p_happy=lambda i: 2.0 if i > 3 else 0.5)
    assert len(validate_file(write(tmp_path / "t.parquet", EMOTION, rows))) == 5


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1" + bytes(64)])
def test_a_file_that_is_no_table_of_ours_is_one_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    faults = validate_file(path)
    assert [fault.allowed for fault in faults] == ["a whole file written by `pipeline`"]


def test_a_foreign_parquet_file_and_a_newer_schema_are_faults(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    assert "footer" in validate_file(foreign)[0].found
    newer = write(tmp_path / "newer.parquet", CRAWL, make_rows(CRAWL, 2))
    data = pq.read_table(newer)
    pq.write_table(data.replace_schema_metadata(data.schema.metadata | {b"hqvox.version": b"9.0.0"}), newer)
    assert [fault.found for fault in validate_file(newer)] == ["schema version 9.0.0"]


@pytest.mark.parametrize(
    ("place", "change", "column"),
    [
        (0, {"split": "dev"}, "split"),
        (9, {"split": "val"}, "split"),
        (1, {"kind": "picture"}, "kind"),
        (2, {"row": 99}, "row"),
        (2, {"row": -1}, "row"),
        (3, {"row": 5}, "row_id"),
        (0, {"shard": "../secret.parquet"}, "shard"),
        (0, {"shard": "/etc/passwd"}, "shard"),
        (0, {"shard": "whiten/part-0009.parquet"}, "shard"),
        (8, {"identity_id": "id99999", "split": "train"}, "identity_id"),
        (8, {"sha256": "0" * 64}, "sha256"),
        (0, {"width": None}, "width"),
        (0, {"duration_s": 3.0}, "duration_s"),
        (9, {"duration_s": None}, "duration_s"),
        (9, {"duration_s": -1.0}, "duration_s"),
    ],
)
def test_a_broken_manifest_row_is_named(tmp_path: Path, place: int, change: dict[str, Any], column: str) -> None:
    rows = manifest(tmp_path)
    rows[place] |= change
    faults = validate_file(write(tmp_path / "hq_voxceleb.parquet", MANIFEST, rows))
    assert column in {fault.column for fault in faults}
    assert all(fault.row and fault.allowed for fault in faults)
    named = {fault.row for fault in faults if fault.column == column}
    person = rows[place]["identity_id"]
    assert named <= {row["row_id"] for row in rows if row["identity_id"] == person}


@pytest.mark.parametrize("column", ["split", "kind", "shard", "row", "identity_id"])
def test_nulls_in_a_manifest_are_reported_and_do_not_stop_the_check(tmp_path: Path, column: str) -> None:
    rows = manifest(tmp_path)
    path = write(tmp_path / "hq_voxceleb.parquet", MANIFEST, rows)
    rewrite(path, lambda data: replaced(data, column, [None, *data.column(column).to_pylist()[1:]]))
    assert (rows[0]["row_id"], column) in {(fault.row, fault.column) for fault in validate_file(path)}


def test_a_damaged_shard_is_a_fault_of_the_manifest(tmp_path: Path) -> None:
    rows = manifest(tmp_path)
    (tmp_path / "voices" / "part-0000.parquet").write_bytes(b"broken")
    faults = validate_file(write(tmp_path / "hq_voxceleb.parquet", MANIFEST, rows))
    assert [(fault.column, fault.allowed) for fault in faults] == [("shard", "a whole shard written by `pipeline`")]


def test_a_shard_without_the_payload_is_a_fault(tmp_path: Path) -> None:
    rows = manifest(tmp_path)
    shard = tmp_path / "whiten" / "part-0000.parquet"
    rewrite(shard, lambda data: data.drop(["mask"]))
    faults = validate_file(write(tmp_path / "hq_voxceleb.parquet", MANIFEST, rows))
    assert [(fault.row, fault.found, fault.allowed) for fault in faults] == [
        (rows[0]["row_id"], "no column mask in whiten/part-0000.parquet", "the payload of face rows")
    ]


def test_a_fault_reads_as_one_line() -> None:
    fault = Fault("crawl", "r1", "gender", "'x'", "one of m, f")
    assert str(fault) == "crawl: row r1, gender: found 'x'; allowed: one of m, f"
