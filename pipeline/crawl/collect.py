"""Ask for what is not known yet, over all shards at once, so that no host is asked for one person after another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from manifests import table
from manifests.removals import Removals
from pipeline import engine, events
from pipeline.crawl import drift
from pipeline.crawl.answers import Answers, open_spool
from pipeline.crawl.download import Part, divided, download
from pipeline.crawl.outcome import Outcome, outcome_of
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.record import Facts, Record
from pipeline.crawl.settle import judged, not_asked, still_holds
from pipeline.crawl.tally import shown
from pipeline.crawl.turns import Job
from pipeline.events import Events
from pipeline.progress import say
from pipeline.stage import Row

_JOBS_PER_PROCESS = 500  # fewer do not pay the start of another process


@dataclass(frozen=True, slots=True)
class Again:
    """What is asked for although there is an answer already."""

    outcomes: frozenset[Outcome] = frozenset()
    host: str | None = None  # only there, its subdomains included
    refresh: bool = False  # every picture that is kept, by conditional requests

    def wants(self, record: Record, url: str) -> bool:
        """Whether this answer is to be sought again."""
        host = urlsplit(url).hostname or ""
        if self.host is not None and host != self.host and not host.endswith(f".{self.host}"):
            return False
        return outcome_of(record.drop) in self.outcomes or (self.refresh and record.facts is not None)


@dataclass(frozen=True, slots=True)
class Collector:
    """How a crawl asks, and what it may not."""

    polite: Politeness
    data: Path
    buckets: int
    removed: Removals
    allow_private: bool
    local: Callable[[str], str | None]  # sha256 of the file behind an address that this computer serves itself

    def by_shard(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """Rows by the name of their shard."""
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(table.shard_name(table.bucket_of(row["identity_id"], self.buckets)), []).append(row)
        return found

    def jobs(self, rows: Sequence[Row], again: Again) -> list[Job]:
        """What must be asked for, person by person; the schedule mixes it."""
        return [job for shard, group in sorted(self.by_shard(rows).items()) for job in self._jobs(shard, group, again)]

    def _jobs(self, shard: str, rows: Sequence[Row], again: Again) -> Iterator[Job]:
        answers = Answers(self.data, shard)
        for row in rows:
            if not_asked(row, self.removed):
                continue
            record, local = answers.record(row["row_id"]), self.local(row["source"])
            known = record is not None and self._known(record, answers, local)
            if known and record is not None and not again.wants(record, row["source"]):
                continue
            job = Job(row["row_id"], row["source"], local=local)
            if known and again.refresh and record is not None and record.facts:
                job.held = record.facts
                if record.trace:
                    job.etag, job.last_modified = record.trace.etag, record.trace.last_modified
            yield job

    def _known(self, record: Record, answers: Answers, local: str | None) -> bool:
        if not still_holds(record, self.polite, self.allow_private, local):
            return False
        facts = record.facts
        wanted = facts is not None and isinstance(judged(facts, self.polite, self.removed), Facts)
        return not wanted or answers.has_body(record)

    def write_logs(self, rows: Sequence[Row]) -> None:
        """Bring the logs up to date with the spool."""
        spool = open_spool(self.data)
        for shard, group in sorted(self.by_shard(rows).items()):
            if any(row["row_id"] in spool for row in group):
                Answers(self.data, shard).write_log(row["row_id"] for row in group)

    def drifted(self, rows: Sequence[Row], jobs: Sequence[Job]) -> dict[str, int]:
        """How the pictures of a refresh have changed, counted by class."""
        held = {job.row_id: job.held for job in jobs if job.held}
        classes: list[drift.Drift] = []
        for shard, group in sorted(self.by_shard(rows).items()):
            asked = [row["row_id"] for row in group if row["row_id"] in held]
            classes += self._drifted(Answers(self.data, shard), {row_id: held[row_id] for row_id in asked})
        return drift.counted(classes)

    def _drifted(self, answers: Answers, held: Mapping[str, Facts]) -> Iterator[drift.Drift]:
        spool = open_spool(self.data)
        for row_id, facts in held.items():
            record = answers.record(row_id) if row_id in spool else None
            kind = drift.drift_of(record, facts.sha256)
            yield kind or drift.compare(answers.old_body(facts), spool.body(row_id), self.polite.max_pixels)


def parts_of(jobs: Sequence[Job], part: Part, processes: int) -> list[Part]:
    """The jobs divided among processes; `part` says how they are asked for."""
    wanted = max(1, min(processes, len(jobs) // _JOBS_PER_PROCESS))
    return [replace(part, jobs=group) for group in divided(jobs, wanted)]


def ask_for(jobs: Sequence[Job], part: Part, processes: int, data: Path) -> int:
    """Ask for jobs in so many processes; how many have their end. Raises DataError where the network stays dead."""
    parts = parts_of(jobs, part, processes)
    if not parts:
        return 0
    say(f"crawl      asking for {len(jobs):,} addresses")
    folder = events.folder_of(data)
    folder.mkdir(parents=True, exist_ok=True)
    with shown(part.folder, len(jobs), Events(folder / events.FILE, "crawl")):
        return sum(engine.map_shards(download, parts, len(parts)))
