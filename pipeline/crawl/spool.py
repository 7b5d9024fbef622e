"""The spool: answers in the order in which they came, appended, checksummed, until they are compacted into shards.

A spool is a folder of segments, each written by one process. A record is a head (lengths and checksums), a JSON
`Record` and the picture's bytes. What a killed process wrote last may be torn: reading ends there, and nothing
before it is lost. Bytes reach the operating system at once and the disk within `SYNC_S`.
"""

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pipeline.crawl.record import Record, packed, unpacked

SYNC_S = 1.0  # what came within so long before a power cut may be lost; a killed process loses nothing it had written
_HEAD = struct.Struct("<4sIQII")  # magic, bytes of the record, bytes of the body, CRC-32 of each
_MAGIC = b"HQS1"
_SEGMENT = "segment-*.spool"


def spool_folder(folder: Path) -> Path:
    """Where a crawl's spool lies."""
    return folder / "spool"


class DamagedBody(Exception):
    """A body that is not what was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    segment: str
    offset: int  # of its head
    meta_size: int
    body_size: int


class SpoolWriter:
    """Appends to a segment of its own, from any number of threads of one process."""

    def __init__(self, folder: Path) -> None:
        self._file = _new_segment(folder)
        self._lock = threading.Lock()
        self._synced_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def append(self, record: Record, body: bytes = b"") -> None:
        """Write one record. Raises OSError, such as for a full disk; the torn record is then cut off."""
        meta = packed(record)
        head = _HEAD.pack(_MAGIC, len(meta), len(body), zlib.crc32(meta), zlib.crc32(body))
        with self._lock:
            start = self._file.tell()
            try:
                for part in (head, meta, body):
                    self._file.write(part)
                self._file.flush()
            except OSError:
                self._cut(start)
                raise
            due = time.monotonic() - self._synced_s >= SYNC_S
            if due:
                self._synced_s = time.monotonic()
        if due:  # outside the lock: the others go on writing meanwhile
            os.fdatasync(self._file.fileno())

    def _cut(self, start: int) -> None:
        with suppress(OSError):
            self._file.truncate(start)
            self._file.seek(start)


def _new_segment(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(path.stem.partition("-")[2]) for path in folder.glob(_SEGMENT)), default=-1) + 1
    while True:
        try:
            return (folder / f"segment-{number:06d}.spool").open("xb", buffering=1 << 18)
        except FileExistsError:  # another process took this number
            number += 1


class Spool:
    """The records of a spool by row; of several for one row the one that was begun in the latest segment counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, Place] = {}
        self._files: dict[str, FileIO] = {}  # opened segments
        for path in sorted(folder.glob(_SEGMENT)):
            for place, record in _scan(path):
                self._places[record.row_id] = place

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def has_body(self, row_id: str) -> bool:
        """Whether bytes came with the newest record of a row."""
        return row_id in self._places and self._places[row_id].body_size > 0

    def record(self, row_id: str) -> Record:
        """The newest record of a row."""
        return self._read(row_id, with_body=False)[0]

    def body(self, row_id: str) -> bytes:
        """The bytes that came with it; empty where none did. Raises DamagedBody."""
        return self._read(row_id, with_body=True)[1]

    def _read(self, row_id: str, with_body: bool) -> tuple[Record, bytes]:
        place = self._places[row_id]
        file = self._file(place.segment)
        size = _HEAD.size + place.meta_size
        start = os.pread(file, size, place.offset)
        body = os.pread(file, place.body_size, place.offset + size) if with_body else b""
        if with_body and (len(body) != place.body_size or zlib.crc32(body) != _HEAD.unpack_from(start)[4]):
            raise DamagedBody(f"{place.segment} at byte {place.offset}")
        return unpacked(start[_HEAD.size :]), body

    def _file(self, segment: str) -> int:
        if segment not in self._files:
            self._files[segment] = (self._folder / segment).open("rb", buffering=0)
        return self._files[segment].fileno()


def _scan(path: Path) -> Iterator[tuple[Place, Record]]:
    """The whole records of a segment, up to the first torn one; bodies are passed over."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            start = file.tell() - _HEAD.size
            magic, meta_size, body_size, meta_crc, _ = _HEAD.unpack(head)
            end = start + _HEAD.size + meta_size + body_size
            if magic != _MAGIC or end > size:
                return
            meta = file.read(meta_size)
            if zlib.crc32(meta) != meta_crc:
                return
            yield Place(path.name, start, meta_size, body_size), unpacked(meta)
            file.seek(end)


def stamp(folder: Path) -> tuple[tuple[str, int], ...]:
    """What changes when a spool does."""
    return tuple((path.name, path.stat().st_size) for path in sorted(folder.glob(_SEGMENT)))


def clear(folder: Path) -> None:
    """Delete every segment."""
    for path in folder.glob(_SEGMENT):
        path.unlink()
