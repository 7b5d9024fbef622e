"""Read and write the Parquet shards of a table: atomically, checked against the schema, with provenance.

A shard's footer says which table and schema version it is, a digest of its rows, and the provenance its writer
gives: the stage, its settings, the networks with their sha256, and the digests of the inputs.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import DataError, Missing
from manifests.schema import DROPS, Table
from manifests.storage import opened, replacing

Row = dict[str, Any]

_NAME, _VERSION, _DIGEST, _PROVENANCE = b"hqvox.table", b"hqvox.version", b"hqvox.digest", b"hqvox.provenance"
_UNREADABLE = (pa.ArrowException, OSError, ValueError)  # what pyarrow raises on damaged bytes; ValueError: bad UTF-8
_ROWS_PER_GROUP = 128  # viewers load whole row groups: 100 to 256 rows for columns of pictures


def shard_name(bucket: int) -> str:
    """The file name of a bucket's shard."""
    return f"part-{bucket:04d}.parquet"


def bucket_of(identity_id: str, buckets: int) -> int:
    """The bucket that holds all rows of a person, whatever else is in the data set."""
    return int.from_bytes(hashlib.sha256(identity_id.encode()).digest()[:8], "big") % buckets


def shards(folder: Path, buckets: int | None = None) -> list[Path]:
    """The shards of a table, in order. Raises Missing where there are none, or not one for each of `buckets`."""
    found = sorted(folder.glob("part-*.parquet"))
    again = f"run `pipeline run {folder.name}` first"
    if not found:
        raise Missing(f"no shards in {folder}: {again}")
    if buckets is not None:
        planned = {shard_name(bucket) for bucket in range(buckets)}
        there = {path.name for path in found}
        if planned != there:
            odd = sorted(planned ^ there)
            raise Missing(
                f"{folder} holds {len(found)} shards, expected {buckets} (`run.buckets`); missing or too many: "
                f"{', '.join(odd[:5])}: {again}"
            )
    return found


def digest_of(value: Any) -> str:
    """sha256 of a JSON-like value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _rows_digest(arrow: pa.Table, payload: Sequence[str]) -> str:
    """sha256 over the rows as they are written; byte columns enter by their own hash, so that no copy is made.

    As written, not as given: 134 and 134.0 are the same value once they are in a column.
    """
    total = hashlib.sha256()
    plain = arrow.drop_columns(list(payload)).to_pylist()
    for i, row in enumerate(plain):
        cells = [arrow[name][i].as_buffer() for name in payload]
        hashes = [None if cell is None else hashlib.sha256(cell).hexdigest() for cell in cells]
        total.update(json.dumps([list(row.values()), hashes], default=str).encode())
    return total.hexdigest()


def _checked(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table; ValueError names the first column, row and value that break the schema."""
    columns = []
    for column in table.columns:
        values = [row.get(column.name) for row in rows]
        try:
            array = pa.array(values, type=column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"table {table.name}, column {column.name}: {error}") from error
        if array.null_count and not column.nullable:
            row = rows[values.index(None)]
            raise ValueError(f"table {table.name}, column {column.name} is null in row {row.get(table.key)!r}")
        columns.append(array)
    return pa.Table.from_arrays(columns, schema=table.arrow())


def write_table(path: Path, table: Table, rows: Sequence[Row], provenance: Mapping[str, Any]) -> None:
    """Write rows as one Parquet file: to a temporary name, re-opened and counted, synced, then renamed.

    Raises ValueError where a row breaks the schema.
    """
    arrow = _checked(table, rows)
    payload = [c.name for c in table.columns if pa.types.is_binary(c.type)]
    footer = {
        _NAME: table.name.encode(),
        _VERSION: table.version.encode(),
        _DIGEST: _rows_digest(arrow, payload).encode(),
        _PROVENANCE: json.dumps(provenance, sort_keys=True, default=str).encode(),
    }
    arrow = arrow.replace_schema_metadata(footer)
    plain = [name for name in table.names if name not in payload]
    with replacing(path) as temporary:
        pq.write_table(
            arrow,
            temporary,
            row_group_size=_ROWS_PER_GROUP if payload else 64 * 1024,
            # Pictures and FLAC are compressed already: packing them again only costs time.
            compression={name: "NONE" if name in payload else "ZSTD" for name in table.names},
            use_dictionary=plain,
            write_page_index=True,
            write_page_checksum=True,  # a flipped bit in a picture is found when it is read
        )
        written = pq.read_metadata(temporary).num_rows
        if written != len(rows):
            raise OSError(f"{temporary}: {written} rows on disk, {len(rows)} given")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_drops(path: Path, drops: Sequence[Row], provenance: Mapping[str, Any]) -> None:
    """Write a shard of dropped rows."""
    write_table(path, DROPS, drops, provenance)


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(opened(path), page_checksum_verification=True)
        _ = file.schema_arrow  # decoded here, so that a damaged one is found here
    except FileNotFoundError as error:
        raise Missing(f"no file {path}: run the stage that writes it") from error
    except PermissionError as error:
        raise DataError(f"{path} may not be read ({error.strerror}): check its owner and mode") from error
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    return file


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a whole Parquet file ({error}): delete it and run its stage again")


def expect(path: Path, table: Table) -> None:
    """Raise DataError unless the file says it is this table, of this schema version, with these columns and types."""
    found = table_name(path)
    if found != (table.name, table.version):
        raise DataError(
            f"{path} holds table {found[0]!r}, schema {found[1]}; expected {table.name!r}, schema {table.version}: "
            "run its stage again"
        )
    schema = _open(path).schema_arrow
    for column in table.columns:
        index = schema.get_field_index(column.name)
        if index < 0 or schema.field(index).type != column.type:
            there = "no such column" if index < 0 else str(schema.field(index).type)
            raise DataError(f"{path}: column {column.name}: found {there}, expected {column.type}: run its stage again")


def columns_of(path: Path) -> tuple[str, ...]:
    """The names of a file's columns; Missing or DataError where it is absent or broken."""
    return tuple(_open(path).schema_arrow.names)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A file as an Arrow table; Missing or DataError where it is absent or broken."""
    file = _open(path)
    absent = sorted(set(columns or ()) - set(file.schema_arrow.names))
    if absent:
        raise DataError(f"{path}: no column {', '.join(absent)}; it has {', '.join(file.schema_arrow.names)}")
    try:
        return file.read(columns=None if columns is None else list(columns))
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def read_rows(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """A file's rows as dictionaries."""
    rows: list[Row] = read_table(path, columns).to_pylist()
    return rows


def read_payload(path: Path, columns: Sequence[str], wanted: Iterable[str]) -> Iterator[tuple[str, Row]]:
    """Yield (row_id, columns) of the wanted rows, in file order, holding one row group in memory at a time."""
    ids = set(wanted)
    file = _open(path)
    absent = sorted({"row_id", *columns} - set(file.schema_arrow.names))
    if absent:
        raise DataError(f"{path}: no column {', '.join(absent)}: run its stage again")
    try:
        for group in range(file.num_row_groups):
            names = file.read_row_group(group, columns=["row_id"]).column("row_id").to_pylist()
            keep = [i for i, name in enumerate(names) if name in ids]
            if keep:
                part = file.read_row_group(group, columns=list(columns)).take(keep).to_pylist()
                yield from zip((names[i] for i in keep), part, strict=True)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _footer(path: Path, key: bytes) -> str:
    metadata = _open(path).schema_arrow.metadata or {}
    if key not in metadata:
        raise DataError(f"{path} has no {key.decode()} in its footer: it was not written by `pipeline`")
    text: bytes = metadata[key]
    return text.decode(errors="replace")


def provenance(path: Path) -> dict[str, Any]:
    """What the writer recorded: stage, settings, weights, input digests."""
    try:
        recorded: dict[str, Any] = json.loads(_footer(path, _PROVENANCE))
    except ValueError as error:
        raise _damaged(path, error) from error
    return recorded


def rows_digest(path: Path) -> str:
    """The digest of the rows, as recorded when the file was written."""
    return _footer(path, _DIGEST)


def table_name(path: Path) -> tuple[str, str]:
    """The table and the schema version a file says it holds."""
    return _footer(path, _NAME), _footer(path, _VERSION)
