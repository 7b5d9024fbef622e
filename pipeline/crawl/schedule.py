"""Who is asked next: one queue for each site, taken in turns at each site's own pace; no request is made here.

The rules of a site are asked for before anything else. A fault that may pass puts the job back with a growing pause; a
site that fails again and again is left alone; and while our own network is dead (`pipeline.crawl.network`), everything
waits, and no job is blamed for it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from math import inf

from manifests.errors import DataError
from pipeline.crawl.agenda import Agenda
from pipeline.crawl.network import Lost, Network
from pipeline.crawl.pace import Pace
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.replies import Blame, Later
from pipeline.crawl.site import Refusal, Site
from pipeline.crawl.turns import Ask, AskRules, GiveUp, Job, Probe, Turn
from pipeline.stage import Drop


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
        self._polite, self._ours, self._now = polite, ours, now
        self._changed = threading.Condition()
        self._sites: dict[str, Site] = {}
        self._agenda = Agenda()
        self._over: deque[Job] = deque()  # to be given up
        self._open = 0  # jobs without an end
        self._watched: list[float] = []  # when waiting threads wake
        self._network = Network(polite, say)
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
            job.move(url)
            self._queue(job, first=True)

    def later(self, job: Job, fault: Later, alive: bool) -> None:
        """A fault that may pass: the job comes back, or is given up."""
        with self._changed:
            site = self._back(job)
            job.fault = fault.drop
            if alive:
                self._see_life(site)
            if fault.blame is Blame.NETWORK and self._polite.network_wait_s:
                self._network.lose(job, self._now())
            else:
                self._give_up(site.failed(job, fault, self._polite, self._now()))
            self._arrange(site)

    def cleared(self, site_name: str, refusal: Refusal, delay_s: float, valid_s: float) -> None:
        """The rules of a site are known, ask for this delay and hold for so long."""
        with self._changed:
            site = self._sites[site_name]
            waiting = site.set_aside()
        judged = [(job, refusal(job.url)) for job in waiting]  # without the lock: hostile rules make this slow
        with self._changed:
            site.running -= 1
            site.pace.asked(self._now())  # robots.txt and tdmrep.json are two requests
            self._give_up(site.learned(refusal, delay_s, self._now() + valid_s, judged))
            self._see_life(site)
            self._arrange(site)

    def not_cleared(self, site_name: str, fault: Later) -> bool:
        """The rules of a site did not come; False: the tries are used up, say what is to become of the site."""
        with self._changed:
            site = self._sites[site_name]
            lost = fault.blame is Blame.NETWORK and self._polite.network_wait_s > 0
            if not lost and site.rules_tries >= self._polite.retries:
                return False
            site.running -= 1
            if lost:
                site.last, site.lost = fault.drop, True
                self._network.lose(site, self._now())
            else:
                site.rules_later(self._polite, self._now(), fault.wait_s)
            self._arrange(site)
            return True

    def closed(self, site_name: str, drop: Drop) -> None:
        """Nothing of a site can be had, since its rules cannot: this becomes of all its jobs."""
        with self._changed:
            site = self._sites[site_name]
            site.running -= 1
            self._give_up(site.leave(drop))
            self._arrange(site)

    def probed(self, reached: bool) -> None:
        """What became of a Probe."""
        with self._changed:
            if reached:
                self._network.reached(self._now())
                self._revive()
            else:
                self._network.failed_probes += 1
            self._changed.notify()

    # -- all below under the lock ----------------------------------------------------------------------------------

    def _queue(self, job: Job, first: bool = False) -> None:
        site = self._site(job.site)
        if not site.put(job, first):
            self._over.append(job)
        self._arrange(site)

    def _site(self, name: str) -> Site:
        if name not in self._sites:
            polite = self._polite
            self._sites[name] = (
                Site(name, Pace(inf), 1 << 16, rules_until=inf)
                if name in self._ours
                else Site(name, Pace(polite.requests_per_s), polite.per_host)
            )
        return self._sites[name]

    def _back(self, job: Job) -> Site:
        site = self._sites[job.site]
        site.running -= 1
        return site

    def _give_up(self, jobs: Iterable[Job]) -> None:
        self._over.extend(jobs)

    def _arrange(self, site: Site) -> None:
        """Put a site's place in the agenda right."""
        if self._agenda.arrange(site) or self._over or not self._open:
            self._changed.notify()

    def _next(self) -> Turn | None:
        if self._over:
            self._open -= 1
            return GiveUp(self._over.popleft())
        now = self._now()
        if self._network.dead_since is not None:
            return self._try_network(now)
        site = self._agenda.due(now)
        if site is not None:
            turn = site.start(now)
            self._arrange(site)
            return turn
        if self._network.lost and not self._agenda and not any(site.running for site in self._sites.values()):
            self._revive()  # too few sites to suspect the network: they are to blame themselves
            return self._next()
        return None

    def _wait(self) -> None:
        """Until something changes, or the time of the next request has come; one thread watches the time."""
        until = self._agenda.next_at
        if self._network.dead_since is not None:
            until = self._network.probe_at
        if any(watched <= until for watched in self._watched):
            self._changed.wait()
            return
        self._watched.append(until)
        self._changed.wait(None if until == inf else max(0.0, until - self._now()))
        self._watched.remove(until)

    def _alive(self, site: Site, latency_s: float) -> None:
        site.pace.answered(self._now(), latency_s)
        site.faults = 0
        self._see_life(site)

    def _see_life(self, site: Site) -> None:
        if site.name not in self._ours:
            self._network.answered(site.name)
        if self._network.lost:
            self._revive()

    def _try_network(self, now: float) -> Turn | None:
        try:
            found = self._network.next_try(now)
        except DataError as error:
            self._stopped = error
            raise
        if found is None:
            return None
        if isinstance(found, str):
            return Probe(found)
        if isinstance(found, Site):
            found.running += 1
            found.lost = False
            return AskRules(found.name)
        self._sites[found.site].running += 1
        return Ask(found)

    def _revive(self) -> None:
        """The network lives. What was lost while it was dead starts afresh; else the hosts themselves are at fault."""
        lost, blameless = self._network.revive()
        for each in lost:
            self._settle(each, blameless)

    def _settle(self, lost: Lost, blameless: bool) -> None:
        site = lost if isinstance(lost, Site) else self._sites[lost.site]
        site.lost = False
        if isinstance(lost, Job):
            if blameless:
                site.jobs.appendleft(lost)
            else:
                self._give_up(site.failed(lost, Later(lost.fault, Blame.PAGE), self._polite, self._now()))
        elif not blameless and site.rules_tries >= self._polite.retries:
            self._give_up(site.leave(site.last))
        elif not blameless:
            site.rules_later(self._polite, self._now(), None)
        self._arrange(site)
