"""What is known of the rows of one shard: the spool's newest answers before those that the finished shard holds."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from manifests import table
from manifests.errors import HqvoxError
from manifests.removals import REMOVED
from pipeline import events
from pipeline.crawl import log
from pipeline.crawl.record import Facts, Record
from pipeline.crawl.spool import Spool, clear, spool_folder, stamp
from pipeline.stage import FAILED, UNREADABLE_FILE, Drop

_FACTS = ("sha256", "bytes", "format", "source_width", "source_height")
_DROP = ("reason", "value", "limit", "detail")
# What a drop of these would need to be judged again is in the log alone.
_NOT_ALONE = frozenset({"duplicate", REMOVED, FAILED, UNREADABLE_FILE})


def folder_of(data: Path) -> Path:
    """Where a crawl keeps what is no part of the data: spool, log and robots.txt files."""
    return events.folder_of(data) / "crawl" / data.name


@lru_cache(maxsize=1)
def _opened(folder: Path, _stamp: tuple[tuple[str, int], ...]) -> Spool:
    return Spool(folder)


def open_spool(data: Path) -> Spool:
    """The spool of a data folder as it now is; read again only where it has changed."""
    folder = spool_folder(folder_of(data))
    return _opened(folder, stamp(folder))


def empty_spool(data: Path) -> None:
    """Delete the spool, once all its answers are in finished shards."""
    _opened.cache_clear()  # it holds the files open, and so their space on the disk
    clear(spool_folder(folder_of(data)))


class Answers:
    """The newest record of each row of a shard, and the bytes that belong to it."""

    def __init__(self, data: Path, shard: str) -> None:
        self._kept, self._drops = data / "crawl" / shard, data / "drops" / "crawl" / shard
        self._log = folder_of(data) / "log" / shard
        self._spool = open_spool(data)
        self._bodies: dict[str, str] = {}  # sha256: a row of the finished shard that holds these bytes
        self._finished = self._read()

    def _read(self) -> dict[str, Record]:
        """The records of the finished shard; none where it is absent or damaged."""
        try:
            kept = table.read_rows(self._kept, ("row_id", *_FACTS))
            drops = table.read_rows(self._drops, ("row_id", *_DROP))
        except HqvoxError:
            return {}
        logged = log.read(self._log)
        found = {}
        for row in kept:
            facts = Facts(*(row[name] for name in _FACTS))
            known = logged.get(row["row_id"])
            found[row["row_id"]] = known if known and known.facts == facts else Record(row["row_id"], facts)
            self._bodies.setdefault(facts.sha256, row["row_id"])
        for row in drops:
            known = logged.get(row["row_id"])
            if known or row["reason"] not in _NOT_ALONE:
                found[row["row_id"]] = known or Record(row["row_id"], Drop(*(row[name] for name in _DROP)))
        return found

    def record(self, row_id: str) -> Record | None:
        """The newest record of a row."""
        return self._spool.record(row_id) if row_id in self._spool else self._finished.get(row_id)

    def has_body(self, record: Record) -> bool:
        """Whether the bytes of a record with facts are at hand."""
        assert record.facts is not None
        return self._spool.has_body(record.row_id) or record.facts.sha256 in self._bodies

    def old_body(self, facts: Facts) -> bytes:
        """The bytes with these facts in the finished shard. Raises DataError."""
        return self._held({self._bodies[facts.sha256]})[self._bodies[facts.sha256]]

    def bodies(self, wanted: Mapping[str, Facts]) -> dict[str, bytes]:
        """The bytes of rows, by row. Raises DamagedBody, DataError."""
        found = {row_id: self._spool.body(row_id) for row_id in wanted if self._spool.has_body(row_id)}
        lies: dict[str, list[str]] = {}  # row of the shard: rows that want its bytes
        for row_id in wanted.keys() - found.keys():
            lies.setdefault(self._bodies[wanted[row_id].sha256], []).append(row_id)
        for holder, image in self._held(lies).items():
            found |= dict.fromkeys(lies[holder], image)
        return found

    def _held(self, row_ids: Iterable[str]) -> dict[str, bytes]:
        """Bytes of rows of the finished shard."""
        wanted = set(row_ids)
        if not wanted:
            return {}
        return {row_id: row["image"] for row_id, row in table.read_payload(self._kept, ["image"], wanted)}

    def write_log(self, row_ids: Iterable[str]) -> None:
        """Bring the log of this shard up to date with the spool, for the rows that are listed."""
        records = (self.record(row_id) for row_id in row_ids)
        log.write(self._log, [record for record in records if record is not None])
