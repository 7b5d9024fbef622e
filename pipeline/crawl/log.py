"""The log of a crawl: for every row the newest answer, when, from where and by whose leave. No part of the data.

One Parquet file for each shard, beside the data folder. Without it nothing is wrong, and a little is asked for again.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests import table
from manifests.errors import HqvoxError
from manifests.schema import Column, Table
from pipeline.crawl.outcome import outcome_of
from pipeline.crawl.record import Facts, Record, Trace, plain
from pipeline.stage import Drop, Row

_STRING, _LONG, _REAL = pa.string(), pa.int64(), pa.float64()
CRAWL_LOG = Table(
    "crawl_log",
    (
        Column("row_id", _STRING, "as in the listing"),
        Column("outcome", _STRING, "ok, rejected, failed_transient, failed_permanent, blocked_robots, ..."),
        Column("reason", _STRING, "of the drop", nullable=True),
        Column("value", _REAL, "what was measured", nullable=True),
        Column("limit", _REAL, "what was allowed", nullable=True),
        Column("detail", _STRING, "in words", nullable=True),
        Column("sha256", _STRING, "of the bytes that came", nullable=True),
        Column("bytes", _LONG, "how many came", nullable=True),
        Column("format", _STRING, "JPEG, PNG, ...", nullable=True),
        Column("width", _LONG, "pixels, EXIF-upright", nullable=True),
        Column("height", _LONG, "pixels, EXIF-upright", nullable=True),
        Column("asked_at", _STRING, "UTC, ISO 8601", nullable=True),
        Column("attempts", _LONG, "requests for it in that run", nullable=True),
        Column("address", _STRING, "the last one, after redirects", nullable=True),
        Column("evidence", _STRING, "the robots.txt that it was allowed or refused by", nullable=True),
        Column("etag", _STRING, "as the server gave it", nullable=True),
        Column("last_modified", _STRING, "as the server gave it", nullable=True),
        Column("local", _STRING, "sha256 of the file, where this computer served it to itself", nullable=True),
    ),
)


def read(path: Path) -> dict[str, Record]:
    """Records by row; none where the log is absent or damaged."""
    try:
        table.expect(path, CRAWL_LOG)
        return {row["row_id"]: _record(row) for row in table.read_rows(path, CRAWL_LOG.names)}
    except HqvoxError:
        return {}


def write(path: Path, records: Iterable[Record]) -> None:
    """Replace the log of a shard."""
    rows = [_row(record) for record in sorted(records, key=lambda record: record.row_id)]
    table.write_table(path, CRAWL_LOG, rows, {"stage": "crawl"})


def _row(record: Record) -> Row:
    parts: list[Mapping[str, Any]] = [plain(record.result), plain(record.trace) if record.trace else {}]
    row: Row = {"row_id": record.row_id, "outcome": outcome_of(record.drop).value}
    for part in parts:
        row |= part
    return row


def _record(row: Row) -> Record:
    result: Facts | Drop
    if row["reason"] is None:
        result = Facts(*(row[name] for name in ("sha256", "bytes", "format", "width", "height")))
    else:
        result = Drop(*(row[name] for name in ("reason", "value", "limit", "detail")))
    trace = None
    if row["asked_at"] is not None:
        names = ("asked_at", "attempts", "address", "evidence", "etag", "last_modified", "local")
        trace = Trace(*(row[name] for name in names))
    return Record(row["row_id"], result, trace)
