"""The queue of one site (`scheme://host[:port]`): its jobs, its pace, its rules and its faults."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf

from pipeline.crawl.pace import Pace
from pipeline.crawl.politeness import Politeness, backoff_s
from pipeline.crawl.replies import Blame, Later
from pipeline.crawl.turns import Ask, AskRules, Job
from pipeline.stage import Drop

Refusal = Callable[[str], Drop | None]  # why an address of a site may not be asked for

_NUMBERS = count()  # of entries in heaps: what was put in first comes out first


@dataclass(slots=True)
class Site:
    """Asked for its rules first; `at_once` requests may be under way after that. Times are monotonic seconds."""

    name: str
    pace: Pace
    at_once: int
    rules_until: float = -inf  # its rules are known, and may be used until then
    jobs: deque[Job] = field(default_factory=deque)
    again: list[tuple[float, int, Job]] = field(default_factory=list)  # heap by the time before which to wait
    running: int = 0
    faults: int = 0  # in a row
    rules_tries: int = 0
    refusal: Refusal = lambda _: None
    last: Drop = field(default_factory=lambda: Drop("connection"))  # the newest fault in the way of its rules
    lost: bool = False  # out of reach, and nobody has answered since
    left_alone: Drop | None = None  # why nothing more is asked
    entry: int = -1  # its valid entry in the agenda

    def put(self, job: Job, first: bool = False) -> bool:
        """Queue a job; False, and `job.fault` says why, where it may not be asked for."""
        refusal = self.left_alone or self.refusal(job.url)
        if refusal:
            job.fault = refusal
            return False
        (self.jobs.appendleft if first else self.jobs.append)(job)
        return True

    def ready_at(self) -> float | None:
        """When it may next be asked; None: not before something else happens."""
        at_once = self.at_once if self.rules_until > -inf else 1
        if self.lost or not (self.jobs or self.again) or self.running >= at_once:
            return None
        if self.jobs or self.rules_until == -inf:
            return self.pace.next_at
        return max(self.pace.next_at, self.again[0][0])

    def start(self, now: float) -> Ask | AskRules:
        """The next request, which begins now."""
        self.running += 1
        self.pace.asked(now)
        if self.rules_until <= now:
            self.rules_until = -inf
            return AskRules(self.name)
        late = not self.jobs or (self.again and self.again[0][0] <= now)
        return Ask(heapq.heappop(self.again)[2] if late else self.jobs.popleft())

    def set_aside(self) -> deque[Job]:
        """Its waiting jobs, which are taken away for their judgement by its rules."""
        waiting, self.jobs = self.jobs, deque()
        return waiting

    def learned(
        self, refusal: Refusal, delay_s: float, until: float, judged: Iterable[tuple[Job, Drop | None]]
    ) -> list[Job]:
        """Its rules are known, and judged the jobs set aside; the jobs that they forbid."""
        self.refusal, self.rules_until, self.rules_tries = refusal, until, 0
        self.pace.keep_to(delay_s)
        forbidden = []
        newcomers = self.set_aside()
        for job, drop in [*judged, *((job, refusal(job.url)) for job in newcomers)]:
            if drop is None:
                self.jobs.append(job)
            else:
                job.fault = drop
                forbidden.append(job)
        return forbidden

    def rules_later(self, polite: Politeness, now: float, wait_s: float | None) -> None:
        """Ask for its rules again, after a pause."""
        self.rules_tries += 1
        pause_s = min(max(backoff_s(polite, self.rules_tries), wait_s or 0.0), polite.max_wait_s)
        self.pace.next_at = max(self.pace.next_at, now + pause_s)

    def failed(self, job: Job, fault: Later, polite: Politeness, now: float) -> list[Job]:
        """A fault that may pass: the job comes back after a pause; the jobs that are given up instead."""
        if self.left_alone:
            return [job]
        self.faults += 1
        wait_s = backoff_s(polite, self.faults if fault.blame is Blame.HOST else job.attempts)
        if fault.blame is Blame.HOST:
            self.pace.refused(now, fault.wait_s or wait_s)
        else:
            job.attempts += 1
        asks_too_much = fault.wait_s is not None and fault.wait_s > polite.max_wait_s
        if asks_too_much or self.faults >= polite.host_faults:
            words = "" if asks_too_much else "; the site is left alone after faults in a row"
            return [job, *self.leave(replace(fault.drop, detail=f"{fault.drop.detail}{words}"))]
        if job.attempts > polite.retries:
            return [job]
        heapq.heappush(self.again, (now + max(wait_s, fault.wait_s or 0.0), next(_NUMBERS), job))
        return []

    def leave(self, drop: Drop) -> list[Job]:
        """Ask it nothing more in this run; the jobs that this ends."""
        self.left_alone = drop
        jobs = [*self.jobs, *(job for _, _, job in self.again)]
        for job in jobs:
            job.fault = drop
        self.jobs.clear()
        self.again.clear()
        return jobs
