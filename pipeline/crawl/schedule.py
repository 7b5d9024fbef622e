"""Who is asked next: one queue for each site, taken in turns at each site's own pace; no request is made here.

A site is `scheme://host[:port]`. Its robots.txt is asked for before anything else. A fault that may pass puts the job
back with a growing pause; a site that fails again and again is left alone; and when several sites in a row cannot be
reached at all while nobody answers, it is our network that is dead: everything waits, and no job is blamed for it.
"""

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from typing import Any

from urllib3.util import parse_url

from manifests.errors import DataError
from manifests.settings import MoreThanZero, NotNegative, Positive
from pipeline.crawl.fetch import Blame, FetchLimits, Later
from pipeline.crawl.pace import Pace
from pipeline.crawl.record import Facts
from pipeline.stage import HOW, Drop

_SUSPECTS = 3  # sites out of reach, one after another, before the network is suspected
_TRUSTED_S = 60.0  # for so long after a proof of life, the network is not suspected
_KNOWN_GOOD = 3  # sites that answered lately, to try the network with


@dataclass(frozen=True, slots=True)
class Politeness(FetchLimits):
    """How strangers' hosts are treated."""

    requests_per_s: MoreThanZero = field(default=4.0, metadata={HOW: True})  # of one site, at most
    per_host: Positive = field(default=2, metadata={HOW: True})  # requests to one site at once
    host_faults: Positive = field(default=20, metadata={HOW: True})  # in a row, before a site is left alone
    # how long a dead network is waited for; 0: never suspect the network
    network_wait_s: NotNegative = field(default=3600.0, metadata={HOW: True})
    probe_s: MoreThanZero = field(default=5.0, metadata={HOW: True})  # between two looks whether the network is back


@dataclass(slots=True)
class Job:
    """One address to ask for."""

    row_id: str
    url: str
    etag: str | None = None
    last_modified: str | None = None
    held: Facts | None = None  # the picture that an earlier crawl keeps
    local: str | None = None  # sha256 of the file, where this computer serves it to itself
    attempts: int = 0
    hops: int = 0  # redirects so far
    fault: Drop = field(default_factory=lambda: Drop("connection"))  # what becomes of it when it is given up


@dataclass(frozen=True, slots=True)
class Ask:
    """Make this request now."""

    job: Job


@dataclass(frozen=True, slots=True)
class AskRobots:
    """Ask for this site's robots.txt now."""

    site: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Write down `job.fault`: it will not be asked again."""

    job: Job


@dataclass(frozen=True, slots=True)
class Probe:
    """See whether this site, which answered before, takes a connection."""

    site: str


Turn = Ask | AskRobots | GiveUp | Probe
Refusal = Callable[[str], Drop | None]  # why an address of a site may not be asked for


def site_of(url: str) -> str:
    """scheme://host[:port] of a canonical address."""
    parts = parse_url(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(slots=True)
class _Site:
    name: str
    pace: Pace
    at_once: int
    cleared_until: float  # its robots.txt is known, and may be used until then
    jobs: deque[Job] = field(default_factory=deque)
    again: list[tuple[float, int, Job]] = field(default_factory=list)  # heap by the time before which to wait
    running: int = 0
    faults: int = 0  # in a row
    robots_tries: int = 0
    refusal: Refusal = lambda _: None
    last: Drop = field(default_factory=lambda: Drop("connection"))  # the newest fault in the way of its rules
    lost: bool = False  # out of reach, and nobody has answered since
    left_alone: Drop | None = None  # why nothing more is asked
    entry: int = -1  # its valid entry in the plan

    def ready_at(self) -> float | None:
        """When it may next be asked; None: not before something else happens."""
        if (
            self.lost
            or not (self.jobs or self.again)
            or self.running >= (self.at_once if self.cleared_until > -inf else 1)
        ):
            return None
        if self.jobs or self.cleared_until == -inf:
            return self.pace.next_at
        return max(self.pace.next_at, self.again[0][0])


class Schedule:
    """The queues of one process; every method may be called from any thread."""

    def __init__(
        self,
        polite: Politeness,
        ours: frozenset[str] = frozenset(),
        say: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ours` are sites of this computer: neither slowed down nor asked for rules."""
        self._polite, self._ours, self._say, self._now = polite, ours, say, now
        self._changed = threading.Condition()
        self._sites: dict[str, _Site] = {}
        self._plan: list[tuple[float, int, _Site]] = []
        self._numbers = count()
        self._over: deque[Job] = deque()  # to be given up
        self._open = 0  # jobs without an end
        self._watched: list[float] = []  # when waiting threads wake
        self._lost: list[_Site | Job] = []  # out of reach, and nobody has answered since
        self._good: deque[str] = deque(maxlen=_KNOWN_GOOD)
        self._dead_since: float | None = None
        self._probe_at = 0.0
        self._failed_probes = 0
        self._said = False
        self._trusted_until = -inf
        self._stopped: Exception | None = None

    def add(self, job: Job) -> None:
        """Queue a job."""
        with self._changed:
            self._open += 1
            self._queue(job)

    def take(self) -> Turn | None:
        """The next thing to do, as soon as it may be done; None when all is done. Raises DataError: dead network."""
        with self._changed:
            while True:
                if self._stopped is not None:
                    raise self._stopped
                turn = self._next()
                if turn is not None:
                    self._changed.notify()  # another watches the time now
                    return turn
                if not self._open:
                    self._changed.notify_all()
                    return None
                self._wait()

    def stop(self, error: Exception) -> None:
        """Let every thread's `take` raise this."""
        with self._changed:
            self._stopped = self._stopped or error
            self._changed.notify_all()

    # -- what came of a turn ---------------------------------------------------------------------------------------

    def answered(self, job: Job, latency_s: float, alive: bool = True) -> None:
        """The job has its end; `alive`: somebody answered, whatever it was."""
        with self._changed:
            site = self._back(job)
            self._open -= 1
            if alive:
                self._alive(site, latency_s)
            self._arrange(site)

    def moved(self, job: Job, url: str, latency_s: float) -> None:
        """A redirect: the job goes on at another address, and in that site's queue."""
        with self._changed:
            site = self._back(job)
            self._alive(site, latency_s)
            self._arrange(site)
            job.url, job.hops = url, job.hops + 1
            self._queue(job, first=True)

    def later(self, job: Job, fault: Later, latency_s: float, alive: bool) -> None:
        """A fault that may pass: the job comes back, or is given up."""
        with self._changed:
            site = self._back(job)
            job.fault = fault.drop
            if alive:
                self._see_life(site)
            if fault.blame is Blame.NETWORK and self._polite.network_wait_s:
                self._lost.append(job)
                self._suspect()
            else:
                self._fault(site, job, fault)
            self._arrange(site)

    def cleared(self, site_name: str, refusal: Refusal, delay_s: float, valid_s: float, alive: bool = True) -> None:
        """The rules of a site are known, ask for this delay and hold for so long."""
        with self._changed:
            site = self._sites[site_name]
            site.running -= 1
            site.refusal, site.cleared_until, site.robots_tries = refusal, self._now() + valid_s, 0
            site.pace.keep_to(delay_s)
            if alive:
                self._see_life(site)
            jobs, site.jobs = site.jobs, deque()
            for job in jobs:
                self._sort_in(site, job)
            self._arrange(site)

    def not_cleared(self, site_name: str, fault: Later) -> bool:
        """The rules of a site did not come; False: the tries are used up, say what is to become of the site."""
        with self._changed:
            site = self._sites[site_name]
            if fault.blame is Blame.NETWORK and self._polite.network_wait_s:
                site.running -= 1
                site.last, site.lost = fault.drop, True
                self._lost.append(site)
                self._suspect()
            elif site.robots_tries < self._polite.retries:
                site.running -= 1
                self._robots_again(site, fault.wait_s)
            else:
                return False
            self._arrange(site)
            return True

    def closed(self, site_name: str, drop: Drop) -> None:
        """Nothing of a site can be had, since its rules cannot: this becomes of all its jobs."""
        with self._changed:
            site = self._sites[site_name]
            site.running -= 1
            self._leave(site, drop)
            self._arrange(site)

    def probed(self, reached: bool) -> None:
        """What became of a Probe."""
        with self._changed:
            if reached:
                self._trusted_until = self._now() + _TRUSTED_S
                self._revive()
            else:
                self._failed_probes += 1
            self._changed.notify()

    # -- all below under the lock ----------------------------------------------------------------------------------

    def _site(self, name: str) -> _Site:
        if name not in self._sites:
            ours = name in self._ours
            rate, at_once = (inf, 1 << 16) if ours else (self._polite.requests_per_s, self._polite.per_host)
            self._sites[name] = _Site(name, Pace(rate), at_once, inf if ours else -inf)
        return self._sites[name]

    def _queue(self, job: Job, first: bool = False) -> None:
        site = self._site(site_of(job.url))
        self._sort_in(site, job, first)
        self._arrange(site)

    def _sort_in(self, site: _Site, job: Job, first: bool = False) -> None:
        refusal = site.left_alone or site.refusal(job.url)
        if refusal:
            job.fault = refusal
            self._over.append(job)
        elif first:
            site.jobs.appendleft(job)
        else:
            site.jobs.append(job)

    def _back(self, job: Job) -> _Site:
        site = self._sites[site_of(job.url)]
        site.running -= 1
        return site

    def _arrange(self, site: _Site) -> None:
        """Put a site's place in the plan right."""
        at = site.ready_at()
        site.entry = next(self._numbers)
        if at is not None:
            heapq.heappush(self._plan, (at, site.entry, site))
        if at is not None or self._over or not self._open:
            self._changed.notify()

    def _next(self) -> Turn | None:
        if self._over:
            self._open -= 1
            return GiveUp(self._over.popleft())
        now = self._now()
        if self._dead_since is not None:
            return self._look_for_network(now)
        while self._plan and (self._plan[0][0] <= now or self._plan[0][1] != self._plan[0][2].entry):
            _, entry, site = heapq.heappop(self._plan)
            if entry == site.entry:
                return self._start(site, now)
        if self._lost and not self._plan and not any(site.running for site in self._sites.values()):
            self._revive()  # too few sites to suspect the network: they are to blame themselves
            return self._next()
        return None

    def _start(self, site: _Site, now: float) -> Turn:
        site.running += 1
        site.pace.asked(now)
        turn: Turn = AskRobots(site.name)
        if site.cleared_until <= now:
            site.cleared_until = -inf
        else:
            late = not site.jobs or (site.again and site.again[0][0] <= now)
            turn = Ask(heapq.heappop(site.again)[2] if late else site.jobs.popleft())
        self._arrange(site)
        return turn

    def _wait(self) -> None:
        """Until something changes, or the time of the next in the plan has come; one thread watches the time."""
        until = self._plan[0][0] if self._plan else inf
        if self._dead_since is not None:
            until = self._probe_at
        if any(watched <= until for watched in self._watched):
            self._changed.wait()
            return
        self._watched.append(until)
        self._changed.wait(None if until == inf else max(0.0, until - self._now()))
        self._watched.remove(until)

    def _alive(self, site: _Site, latency_s: float) -> None:
        site.pace.answered(self._now(), latency_s)
        site.faults = 0
        self._see_life(site)

    def _see_life(self, site: _Site) -> None:
        if site.name not in self._ours and site.name not in self._good:
            self._good.append(site.name)
        if self._lost:
            self._revive()

    def _fault(self, site: _Site, job: Job, fault: Later) -> None:
        now, polite = self._now(), self._polite
        if site.left_alone:
            self._over.append(job)
            return
        site.faults += 1
        wait_s = self._backoff_s(site.faults if fault.blame is Blame.HOST else job.attempts)
        if fault.blame is Blame.HOST:
            site.pace.refused(now, fault.wait_s or wait_s)
        else:
            job.attempts += 1
        asks_too_much = fault.wait_s is not None and fault.wait_s > polite.max_wait_s
        if asks_too_much or site.faults >= polite.host_faults:
            self._over.append(job)
            words = "" if asks_too_much else "; the site is left alone after faults in a row"
            self._leave(site, replace(fault.drop, detail=f"{fault.drop.detail}{words}"))
        elif job.attempts > polite.retries:
            self._over.append(job)
        else:
            heapq.heappush(site.again, (now + max(wait_s, fault.wait_s or 0.0), next(self._numbers), job))

    def _leave(self, site: _Site, drop: Drop) -> None:
        """Ask a site nothing more in this run."""
        site.left_alone = drop
        for job in [*site.jobs, *(job for _, _, job in site.again)]:
            job.fault = drop
            self._over.append(job)
        site.jobs.clear()
        site.again.clear()

    def _backoff_s(self, tries: int) -> float:
        """Exponential back-off with full jitter (Brooker 2015), never below the base."""
        base, most = self._polite.backoff_s, self._polite.max_wait_s
        top = min(most, base * 2.0 ** min(tries, 30))
        return min(most, max(base, random.uniform(0, top)))  # noqa: S311  # a pause, not a secret

    def _robots_again(self, site: _Site, wait_s: float | None) -> None:
        site.robots_tries += 1
        pause_s = min(max(self._backoff_s(site.robots_tries), wait_s or 0.0), self._polite.max_wait_s)
        site.pace.next_at = max(site.pace.next_at, self._now() + pause_s)

    # -- is our network alive? -------------------------------------------------------------------------------------

    def _suspect(self) -> None:
        now = self._now()
        names = {lost.name if isinstance(lost, _Site) else site_of(lost.url) for lost in self._lost}
        if self._dead_since is None and len(names) >= _SUSPECTS and now >= self._trusted_until:
            self._dead_since = self._probe_at = now
            self._failed_probes, self._said = 0, False

    def _look_for_network(self, now: float) -> Turn | None:
        assert self._dead_since is not None
        if now < self._probe_at:
            return None
        if now - self._dead_since > self._polite.network_wait_s:
            self._stopped = DataError(
                f"nothing could be reached for {self._polite.network_wait_s:g} s: the network is down, or every "
                "remaining host is. No row was marked as failed: run the same command again, or set "
                "crawl.network_wait_s to 0 to let the hosts be at fault"
            )
            raise self._stopped
        if self._failed_probes and not self._said:
            self._said = True
            self._say("crawl: no host can be reached; waiting for the network")
        self._probe_at = now + self._polite.probe_s
        if self._good:
            return Probe(self._good[self._failed_probes % len(self._good)])
        self._failed_probes += 1
        return self._try_again(self._lost.pop(0)) if self._lost else None

    def _try_again(self, lost: "_Site | Job") -> Turn:
        if isinstance(lost, _Site):
            lost.running += 1
            lost.lost = False
            return AskRobots(lost.name)
        self._sites[site_of(lost.url)].running += 1
        return Ask(lost)

    def _revive(self) -> None:
        """The network lives. What was lost while it was dead starts afresh; else the hosts themselves are at fault."""
        blameless = self._dead_since is not None and self._failed_probes > 0
        if self._dead_since is not None and self._said:
            self._say("crawl: the network is back")
        self._dead_since = None
        lost, self._lost = self._lost, []
        for each in lost:
            self._settle(each, blameless)

    def _settle(self, lost: "_Site | Job", blameless: bool) -> None:
        site = lost if isinstance(lost, _Site) else self._sites[site_of(lost.url)]
        site.lost = False
        if isinstance(lost, Job):
            if blameless:
                site.jobs.appendleft(lost)
            else:
                self._fault(site, lost, Later(lost.fault, Blame.PAGE))
        elif not blameless and site.robots_tries >= self._polite.retries:
            self._leave(site, site.last)
        elif not blameless:
            self._robots_again(site, None)
        self._arrange(site)


def start(schedule: Schedule, threads: int, work: Callable[[Turn], Any]) -> None:
    """Do all turns of a schedule in so many threads; raises what a turn raised, after all threads have ended."""

    def loop() -> None:
        try:
            while (turn := schedule.take()) is not None:
                work(turn)
        except BaseException as error:  # noqa: BLE001  # the other threads must not wait for this one
            failures.append(error)
            schedule.stop(DataError("another thread of the crawl failed"))

    failures: list[BaseException] = []
    pool = [threading.Thread(target=loop, name="crawl", daemon=True) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    if failures:
        raise failures[0]
