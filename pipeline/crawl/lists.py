"""URL lists as files: csv, tsv, jsonl or Parquet, read entry by entry."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import DataError
from pipeline.names import clean

COLUMNS = ("identity_id", "url", "licence", "page")  # of a URL list; the last two may be absent


def entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place (line or row) and cells of each entry of a list. Raises DataError where it is no such list."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        yield from _parquet(path)
        return
    if kind not in {".csv", ".tsv", ".jsonl"}:
        raise DataError(f"{path}: expected a list that ends in .csv, .tsv, .jsonl or .parquet")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {error}") from error
    if kind == ".jsonl":
        yield from _json_lines(path, text)
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",", strict=True)
    _check_columns(path, [name.strip() for name in reader.fieldnames or ()])
    try:
        for entry in reader:
            yield str(reader.line_num), {str(key).strip(): value for key, value in entry.items()}
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(entry, dict):
            raise DataError(f"{path}:{number}: expected an object with {', '.join(COLUMNS)}")
        yield str(number), entry


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from error
    _check_columns(path, table.column_names)
    for number, entry in enumerate(table.select([c for c in COLUMNS if c in table.column_names]).to_pylist()):
        yield f"row {number}", entry


def _check_columns(path: Path, found: list[str]) -> None:
    absent = [column for column in COLUMNS[:2] if column not in found]
    if absent:
        raise DataError(f"{path}: no column {', '.join(absent)}; found {', '.join(map(clean, found)) or 'nothing'}")
