"""Check a table file against its schema, and the manifest against its shards; every fault is found in one go."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.errors import HqvoxError
from manifests.schema import EMOTIONS, MANIFEST, SCHEMA_VERSION, TABLES, Column, Table
from manifests.table import read_table, table_name


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what was found, what is allowed."""

    table: str
    row: str  # the row's key; empty where the whole table or column is meant
    column: str
    found: str
    allowed: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.row and f"row {self.row}", self.column) if part)
        return f"{self.table}{': ' if where else ''}{where}: found {self.found}; allowed: {self.allowed}"


SPLITS = ("train", "val", "test")  # from the loosest to the strictest
KINDS = ("face", "speech")
_ENUMS = {"split": SPLITS, "kind": KINDS, "gender": ("m", "f")}

_SHA256 = "^[0-9a-f]{64}$"
_ANY = float("inf")
_POSITIVE = 1e-9, _ANY  # smaller than any duration, size or scale there is
_SHARE = 0.0, 1.0
_RANGES: dict[str, tuple[float, float]] = {  # least and most; a column means the same in every table
    **dict.fromkeys((f"p_{emotion}" for emotion in EMOTIONS), _SHARE),
    **dict.fromkeys(("coverage", "edge_quality", "face_coverage", "outside", "sharpness", "quality"), _SHARE),
    **dict.fromkeys(("width", "height", "source_width", "source_height", "side", "bytes", "rank"), (1, _ANY)),
    **dict.fromkeys(("duration_s", "source_duration_s", "source_rate", "n_frames", "scale", "pupil_px"), _POSITIVE),
    **dict.fromkeys(("yaw_deg", "pitch_deg", "roll_deg"), (-180.0, 180.0)),
    **dict.fromkeys(("n_faces", "row", "alignment_residual", "colourfulness"), (0, _ANY)),
}
_LENGTHS = {"face_box": 4, "landmarks": 136, "pupils": 4, "transform": 6}  # numbers in a list column
_FACE_ONLY = ("width", "height", "source_width", "source_height")
_SPEECH_ONLY = ("duration_s", "n_frames")
_PAYLOAD = {"face": ("image", "mask"), "speech": ("audio",)}
_MUST_AGREE = ("identity_id", "row_id", "sample_id", "sha256")  # between the manifest and the shard it points into


def validate_file(path: Path) -> list[Fault]:
    """All faults of one Parquet file of ours; empty when it keeps every promise.

    Which table it must be is read from its footer. A manifest is also checked against the shards it points into.
    """
    try:
        name, version = table_name(path)
        data = read_table(path)
    except HqvoxError as error:
        return [Fault(path.name, "", "", str(error), "a whole file written by `pipeline`")]
    tables = {table.name: table for table in TABLES}
    if name not in tables:
        return [Fault(name, "", "", f"table {name!r}", f"one of {', '.join(tables)}")]
    table = tables[name]
    faults = list(_version_faults(table, version)) + list(_table_faults(table, data))
    if table is MANIFEST and not any(fault.row == "" for fault in faults):
        faults += [*_kind_faults(data), *_split_faults(data), *_shard_faults(data, path.parent)]
    return faults


def _version_faults(table: Table, version: str) -> Iterator[Fault]:
    major = SCHEMA_VERSION.partition(".")[0]
    if version.partition(".")[0] != major:
        yield Fault(table.name, "", "", f"schema version {version}", f"{SCHEMA_VERSION}, or another {major}.x")


def _table_faults(table: Table, data: pa.Table) -> Iterator[Fault]:
    """Columns, types, nulls, unique keys and the values of each column."""
    usable = []
    for column in table.columns:
        if column.name not in data.column_names:
            yield Fault(table.name, "", column.name, "no such column", f"{column.type}: {column.meaning}")
        elif data.schema.field(column.name).type != column.type:
            yield Fault(table.name, "", column.name, str(data.schema.field(column.name).type), str(column.type))
        else:
            usable.append(column)
    if table.key not in {column.name for column in usable}:
        return
    keys = [str(key) for key in data.column(table.key).to_pylist()]
    yield from _key_faults(table, data)
    for column in usable:
        yield from _value_faults(table, column, data.column(column.name), keys)


def _key_faults(table: Table, data: pa.Table) -> Iterator[Fault]:
    # One row may be dropped once by each of two stages, so drops are unique by stage and row.
    by = [table.key, "stage"] if table.name == "drops" and "stage" in data.column_names else [table.key]
    counts = Counter(zip(*(data.column(name).to_pylist() for name in by), strict=True))  # group_by would load pandas
    for key, count in counts.items():
        if count > 1:
            yield Fault(table.name, str(key[0]), table.key, f"{count} rows with this key", "one")


def _value_faults(table: Table, column: Column, values: pa.ChunkedArray, keys: list[str]) -> Iterator[Fault]:
    def faults(wrong: pa.ChunkedArray, allowed: str) -> Iterator[Fault]:
        for i in pc.indices_nonzero(pc.fill_null(wrong, False)).to_pylist():
            yield Fault(table.name, keys[i], column.name, f"{values[i].as_py()!r:.80}", allowed)

    if not column.nullable:
        yield from faults(pc.is_null(values), "a value (the column is not nullable)")
    if column.name in _ENUMS:
        allowed = _ENUMS[column.name]
        wrong = pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, pa.array(allowed))))
        yield from faults(wrong, f"one of {', '.join(allowed)}")
    if column.name in ("sha256", "image_sha256"):
        yield from faults(pc.invert(pc.match_substring_regex(values, _SHA256)), "64 hexadecimal digits")
    if column.name in _LENGTHS:
        length = _LENGTHS[column.name]
        yield from faults(pc.not_equal(pc.list_value_length(values), length), f"{length} numbers")
    if pa.types.is_floating(column.type):
        yield from faults(pc.invert(pc.is_finite(values)), "a finite number")
    if column.name in _RANGES:
        least, most = _RANGES[column.name]
        yield from faults(pc.or_(pc.less(values, least), pc.greater(values, most)), _range(least, most))


def _range(least: float, most: float) -> str:
    """A range in words."""
    if (least, most) == _POSITIVE:
        return "more than 0"
    return f"{least:g} or more" if most == _ANY else f"{least:g} to {most:g}"


def _kind_faults(data: pa.Table) -> Iterator[Fault]:
    """Faces carry sizes and no durations; speech the other way round."""
    rules: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "face": (_FACE_ONLY, _SPEECH_ONLY),
        "speech": (_SPEECH_ONLY, _FACE_ONLY),
    }
    for row in data.select([*_FACE_ONLY, *_SPEECH_ONLY, "kind", "row_id"]).to_pylist():
        present, absent = rules.get(row["kind"], ((), ()))
        for name in present:
            if row[name] is None:
                yield Fault(MANIFEST.name, row["row_id"], name, "null", f"a value in a {row['kind']} row")
        for name in absent:
            if row[name] is not None:
                yield Fault(MANIFEST.name, row["row_id"], name, str(row[name]), f"null in a {row['kind']} row")


def _split_faults(data: pa.Table) -> Iterator[Fault]:
    """Nobody may be in two splits."""
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for row in data.select(["identity_id", "split", "row_id"]).to_pylist():
        splits[row["identity_id"]].setdefault(row["split"], row["row_id"])
    for identity_id, found in splits.items():
        if len(found) > 1:
            both = f"{identity_id} in {' and '.join(sorted(map(str, found)))}"
            yield Fault(MANIFEST.name, list(found.values())[1], "split", both, "one split a person")


def _shard_faults(data: pa.Table, folder: Path) -> Iterator[Fault]:
    """Every row must lie where the manifest says it does."""
    by_shard: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in data.select(["shard", "row", "kind", *_MUST_AGREE]).to_pylist():
        if row["shard"] is not None and row["row"] is not None:  # nulls are faults of their own
            by_shard[row["shard"]].append(row)
    for shard, rows in sorted(by_shard.items()):
        yield from _rows_in_shard(shard, rows, folder)


def _rows_in_shard(shard: str, rows: list[dict[str, Any]], folder: Path) -> Iterator[Fault]:
    def fault(row: dict[str, Any], column: str, found: str, allowed: str) -> Fault:
        return Fault(MANIFEST.name, row["row_id"], column, found, allowed)

    pure = PurePosixPath(shard)
    if pure.is_absolute() or ".." in pure.parts or "\\" in shard:
        yield from (fault(row, "shard", repr(shard), "a path below the manifest's folder") for row in rows)
        return
    if not (folder / pure).is_file():
        yield from (fault(row, "shard", f"no file {shard}", "a shard beside the manifest") for row in rows)
        return
    try:
        there = read_table(folder / pure, _MUST_AGREE)
        present = pq.read_schema(folder / pure).names
    except HqvoxError as error:
        yield fault(rows[0], "shard", str(error), "a whole shard written by `pipeline`")
        return
    first_of_kind = {row["kind"]: row for row in reversed(rows)}
    for kind, row in first_of_kind.items():
        for name in sorted(set(_PAYLOAD.get(kind, ())) - set(present)):
            yield fault(row, "shard", f"no column {name} in {shard}", f"the payload of {kind} rows")
    columns: dict[str, list[Any]] = {name: there.column(name).to_pylist() for name in _MUST_AGREE}
    for row in rows:
        if not 0 <= row["row"] < there.num_rows:
            yield fault(row, "row", str(row["row"]), f"0 to {there.num_rows - 1} in {shard}")
            continue
        for name in _MUST_AGREE:
            if columns[name][row["row"]] != row[name]:
                there_is = f"{columns[name][row['row']]!r}, as in {shard} row {row['row']}"
                yield fault(row, name, repr(row[name]), there_is)
