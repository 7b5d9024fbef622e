"""What is known of one listed address after it was asked for: the picture's facts or the drop, and the trace."""

import json
from dataclasses import dataclass
from typing import Any

from pipeline.crawl.content import Picture
from pipeline.stage import Drop

MAX_DETAIL = 500  # characters of a drop's detail, as in the table of drops


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture without its bytes."""

    sha256: str
    bytes: int
    format: str
    width: int  # pixels, EXIF-upright
    height: int

    @classmethod
    def of(cls, picture: Picture) -> "Facts":
        """The facts of a fetched picture."""
        head = picture.header
        return cls(picture.sha256, len(picture.data), head.format, head.width, head.height)


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer came about: evidence, and what a conditional request needs. No part of the data."""

    asked_at: str  # UTC, ISO 8601, seconds
    attempts: int
    address: str  # the last one, after redirects
    evidence: str | None = None  # by which robots.txt or header it was allowed or refused
    etag: str | None = None
    last_modified: str | None = None
    local: str | None = None  # sha256 of the file, where this computer served it to itself


@dataclass(frozen=True, slots=True)
class Record:
    """The newest answer for a row."""

    row_id: str
    result: Facts | Drop
    trace: Trace | None = None  # None: the log of an earlier run is lost

    @property
    def facts(self) -> Facts | None:
        """The picture, where one came."""
        return self.result if isinstance(self.result, Facts) else None

    @property
    def drop(self) -> Drop | None:
        """Why none came."""
        return self.result if isinstance(self.result, Drop) else None


def packed(record: Record) -> bytes:
    """A record as JSON."""
    kind = "facts" if record.facts else "drop"
    trace = record.trace and plain(record.trace)
    return json.dumps({"row_id": record.row_id, kind: plain(record.result), "trace": trace}).encode()


def plain(value: Facts | Drop | Trace) -> dict[str, Any]:
    """The fields by name; `dataclasses.asdict` copies each of them, ten times as slowly."""
    return {name: getattr(value, name) for name in value.__slots__}


def unpacked(data: bytes) -> Record:
    """The record that `packed` wrote. Raises ValueError, KeyError or TypeError where it is none."""
    entry = json.loads(data)
    result = Facts(**entry["facts"]) if "facts" in entry else Drop(**entry["drop"])
    return Record(entry["row_id"], result, Trace(**entry["trace"]) if entry["trace"] else None)
