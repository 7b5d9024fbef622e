"""Carry out a schedule: ask, follow redirects, obey robots.txt, and write every answer to the spool."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from manifests import removals
from manifests.removals import REMOVED
from pipeline.crawl.fetch import Blame, Fetcher, Got, Later, Moved, Text, Unchanged
from pipeline.crawl.outcome import HTTP_ERROR, PASSING_STATUS, Outcome, outcome_of
from pipeline.crawl.record import MAX_DETAIL, Facts, Record, Trace
from pipeline.crawl.robots import MAX_BYTES, VALID_S, RobotsCache, rules_of
from pipeline.crawl.schedule import (
    Ask,
    AskRobots,
    GiveUp,
    Job,
    Politeness,
    Probe,
    Schedule,
    Turn,
    site_of,
    start,
)
from pipeline.crawl.spool import SpoolWriter, spool_folder
from pipeline.names import clean
from pipeline.progress import say
from pipeline.stage import Drop, failure

# Faults without an answer from anybody: no proof that the network lives.
_SILENT = frozenset({"timeout", "connection", "silent_name_server", "unknown_host", "private_address", "bad_address"})


@dataclass(frozen=True, slots=True)
class Part:
    """The addresses that one process asks for, and all it needs to know for that."""

    jobs: Sequence[Job]
    polite: Politeness
    folder: Path  # of the spool and the robots cache
    contact: str = ""
    connect_to: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # hosts that this computer serves itself
    allow_private: bool = False
    threads: int = 8
    removals: Path | None = None


def download(part: Part) -> int:
    """Ask for every job of a part, each answer going to the spool; the number of answers written.

    Raises DataError where the network is dead and stays so.
    """
    removed = removals.load(part.removals)
    ours = frozenset(f"http://{host}" for host in part.connect_to)
    schedule = Schedule(part.polite, ours, say)
    for job in part.jobs:
        schedule.add(job)
    fetcher = Fetcher(part.polite, part.contact, part.connect_to, part.allow_private, part.threads)
    with fetcher, SpoolWriter(spool_folder(part.folder)) as spool:
        robots = RobotsCache(part.folder / "robots")
        work = Worker(schedule, fetcher, robots, spool, lambda url: removed.blocks(source=url))
        start(schedule, min(part.threads, max(1, len(part.jobs))), work)
    return work.written


def divided(jobs: Sequence[Job], parts: int) -> list[list[Job]]:
    """Jobs in parts of about one size; a site is never in two, since its pace is kept within one process."""
    by_site: dict[str, list[Job]] = {}
    for job in jobs:
        by_site.setdefault(site_of(job.url), []).append(job)
    made: list[list[Job]] = [[] for _ in range(parts)]
    for _, group in sorted(by_site.items(), key=lambda item: (-len(item[1]), item[0])):
        min(made, key=len).extend(group)
    return [part for part in made if part]


class Worker:
    """Does one turn of a schedule at a time, in any number of threads."""

    def __init__(
        self,
        schedule: Schedule,
        fetcher: Fetcher,
        robots: RobotsCache,
        spool: SpoolWriter,
        removed: Callable[[str], bool],
    ) -> None:
        self._schedule, self._fetcher, self._robots = schedule, fetcher, robots
        self._spool, self._removed = spool, removed
        self._lock = threading.Lock()
        self.written = 0

    def __call__(self, turn: Turn) -> None:
        """Do what the schedule says."""
        match turn:
            case Ask(job):
                self._ask(job)
            case AskRobots(site):
                self._ask_robots(site)
            case GiveUp(job):
                self._write(job, job.fault)
            case Probe(site):
                self._schedule.probed(self._fetcher.reaches(site))

    def _ask(self, job: Job) -> None:
        began = time.monotonic()
        try:
            answer = self._fetcher.ask(job.url, job.etag, job.last_modified)
        except Exception as error:  # noqa: BLE001  # a defect of ours costs one row, and counts against `run.max_failed`
            answer = failure(error)
        took_s = time.monotonic() - began
        if isinstance(answer, Later):
            self._schedule.later(job, answer, took_s, answer.drop.reason not in _SILENT)
            return
        if isinstance(answer, Moved):
            drop = self._not_followed(job, answer.url)
            if drop is None:
                self._schedule.moved(job, answer.url, took_s)
                return
            answer = drop
        self._write(job, answer)  # before the job has its end: what is done is on its way to the disk
        silent = isinstance(answer, Drop) and answer.reason in _SILENT
        self._schedule.answered(job, took_s, alive=not silent)

    def _not_followed(self, job: Job, url: str) -> Drop | None:
        """Why a redirect is not followed."""
        limit = self._fetcher.limits.max_redirects
        if job.hops >= limit:
            return Drop("too_many_redirects", limit=limit)
        if self._removed(url):
            return Drop(REMOVED, detail="redirected to a removed address")
        return None

    def _ask_robots(self, site: str) -> None:
        rules = self._robots.get(site)
        if rules is None:
            answer = self._fetcher.text(f"{site}/robots.txt", MAX_BYTES)
            fault = _fault(answer)
            if fault is not None and self._schedule.not_cleared(site, fault):
                return
            rules = rules_of(site, answer, time.time())
            if rules.status is None:
                assert isinstance(answer, Later | Drop)
                self._schedule.closed(site, answer.drop if isinstance(answer, Later) else answer)
                return
            self._robots.put(rules)
        valid_s = VALID_S - (time.time() - rules.asked_at)
        self._schedule.cleared(site, rules.refusal, rules.delay_s, valid_s)

    def _write(self, job: Job, answer: Got | Unchanged | Drop) -> None:
        """One record in the spool, but for what a refresh did not reach: the old answer then stands."""
        if job.held and isinstance(answer, Drop) and outcome_of(answer) is Outcome.FAILED_TRANSIENT:
            return
        record = self._record(job, answer)
        new = isinstance(answer, Got) and record.facts != job.held
        self._spool.append(record, answer.picture.data if new and isinstance(answer, Got) else b"")
        with self._lock:
            self.written += 1

    def _record(self, job: Job, answer: Got | Unchanged | Drop) -> Record:
        rules = self._robots.get(site_of(job.url))
        evidence = rules.evidence if rules else None
        etag, changed = job.etag, job.last_modified
        result: Facts | Drop
        if isinstance(answer, Got):
            result, etag, changed = Facts.of(answer.picture), answer.etag, answer.last_modified
        elif isinstance(answer, Unchanged):
            result = job.held or Drop(HTTP_ERROR, 304, detail="HTTP status 304")
        else:
            result = replace(answer, detail=answer.detail and clean(answer.detail)[:MAX_DETAIL])
        asked_at = datetime.now(UTC).isoformat(timespec="seconds")
        return Record(
            job.row_id, result, Trace(asked_at, job.attempts + 1, job.url, evidence, etag, changed, job.local)
        )


def _fault(answer: Text | Later | Drop) -> Later | None:
    """The passing fault that the answer to a request for robots.txt is."""
    if isinstance(answer, Later):
        return answer
    if isinstance(answer, Text) and answer.status in PASSING_STATUS:
        drop = Drop(HTTP_ERROR, answer.status, detail=f"HTTP status {answer.status}")
        return Later(drop, Blame.PAGE, answer.wait_s)
    return None
