"""Carry out the turns of a schedule: ask, follow redirects, obey a site's rules, write every answer to the spool."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from manifests.errors import DataError
from manifests.removals import REMOVED
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.outcome import HTTP_ERROR, PASSING_STATUS, Outcome, outcome_of
from pipeline.crawl.record import MAX_DETAIL, Facts, Record, Trace
from pipeline.crawl.replies import Blame, Got, Later, Moved, Text, Unchanged
from pipeline.crawl.robots import MAX_BYTES, VALID_S, RobotsCache, Rules, rules_of
from pipeline.crawl.schedule import Schedule
from pipeline.crawl.spool import SpoolWriter
from pipeline.crawl.tally import Tally
from pipeline.crawl.tdmrep import PATH
from pipeline.crawl.turns import Ask, AskRules, GiveUp, Job, Probe, Turn
from pipeline.names import clean
from pipeline.stage import Drop, failure

_OK = 200
# Faults without an answer from anybody: no proof that the network lives.
_SILENT = frozenset({"timeout", "connection", "silent_name_server", "unknown_host", "private_address", "bad_address"})


class Worker:
    """Does one turn of a schedule at a time, in any number of threads."""

    def __init__(
        self,
        schedule: Schedule,
        fetcher: Fetcher,
        robots: RobotsCache,
        spool: SpoolWriter,
        tally: Tally,
        removed: Callable[[str], bool],
    ) -> None:
        self._schedule, self._fetcher, self._robots = schedule, fetcher, robots
        self._spool, self._tally, self._removed = spool, tally, removed
        self._halves: dict[str, Rules] = {}  # sites whose robots.txt came, and whose tdmrep.json is awaited

    def __call__(self, turn: Turn) -> None:
        """Do what the schedule says."""
        match turn:
            case Ask(job):
                self._ask(job)
            case AskRules(site):
                self._ask_rules(site)
            case GiveUp(job):
                self._write(job, job.fault, job.attempts)
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
            self._schedule.later(job, answer, answer.drop.reason not in _SILENT)
            return
        if isinstance(answer, Moved):
            drop = self._not_followed(job, answer.url)
            if drop is None:
                self._schedule.moved(job, answer.url, took_s)
                return
            answer = drop
        self._write(job, answer, job.attempts + 1)  # before the job has its end: what is done is on its way to the disk
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

    def _ask_rules(self, site: str) -> None:
        rules = self._robots.get(site) or self._new_rules(site)
        if rules is not None:
            valid_s = VALID_S - (time.time() - rules.asked_at)
            self._schedule.cleared(site, rules.refusal, rules.delay_s, valid_s)

    def _new_rules(self, site: str) -> Rules | None:
        """What the site answers to the requests for its rules; None where the schedule was told that it did not."""
        rules = self._halves.pop(site, None) or self._robots_of(site)
        if rules is None:
            return None
        if rules.refusal(f"{site}{PATH}") is None:
            answer = self._fetcher.text(f"{site}{PATH}", MAX_BYTES)
            fault = _fault(answer)
            if fault is not None and self._schedule.not_cleared(site, fault):
                self._halves[site] = rules
                return None
            if isinstance(answer, Text) and answer.status == _OK:
                rules = replace(rules, tdmrep=answer.body.decode("utf-8", "replace"))
        self._robots.put(rules)
        return rules

    def _robots_of(self, site: str) -> Rules | None:
        answer = self._fetcher.text(f"{site}/robots.txt", MAX_BYTES)
        fault = _fault(answer)
        if fault is not None and self._schedule.not_cleared(site, fault):
            return None
        rules = rules_of(site, answer, time.time())
        if rules.status is None:
            assert isinstance(answer, Later | Drop)
            self._schedule.closed(site, answer.drop if isinstance(answer, Later) else answer)
            return None
        return rules

    def _write(self, job: Job, answer: Got | Unchanged | Drop, attempts: int) -> None:
        """One record in the spool, but for what a refresh did not reach: the old answer then stands."""
        if job.held and isinstance(answer, Drop) and outcome_of(answer) is Outcome.FAILED_TRANSIENT:
            self._tally.add(Outcome.FAILED_TRANSIENT)
            return
        record = self._record(job, answer, attempts)
        new = isinstance(answer, Got) and record.facts != job.held
        self._spool.append(record, answer.picture.data if new and isinstance(answer, Got) else b"")
        self._tally.add(outcome_of(record.drop))

    def _record(self, job: Job, answer: Got | Unchanged | Drop, attempts: int) -> Record:
        rules = self._robots.get(job.site)
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
        return Record(job.row_id, result, Trace(asked_at, attempts, job.url, evidence, etag, changed, job.local))


def _fault(answer: Text | Later | Drop) -> Later | None:
    """The passing fault that the answer to a request for a site's rules is."""
    if isinstance(answer, Later):
        return answer
    if isinstance(answer, Text) and answer.status in PASSING_STATUS:
        drop = Drop(HTTP_ERROR, answer.status, detail=f"HTTP status {answer.status}")
        return Later(drop, Blame.PAGE, answer.wait_s)
    return None


def start(schedule: Schedule, threads: int, work: Callable[[Turn], None]) -> None:
    """Do all turns of a schedule in so many threads; raises what a turn raised, after all threads have ended."""
    failures: list[BaseException] = []

    def loop() -> None:
        try:
            while (turn := schedule.take()) is not None:
                work(turn)
        except BaseException as error:  # noqa: BLE001  # the other threads must not wait for this one
            failures.append(error)
            schedule.stop(DataError("another thread of the crawl failed"))

    pool = [threading.Thread(target=loop, name="crawl", daemon=True) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    if failures:
        raise failures[0]
