"""Is it our own network that is dead? Several sites in a row out of reach, while nobody answers, say so."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from manifests.errors import DataError
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.site import Site
from pipeline.crawl.turns import Job

_SUSPECTS = 3  # sites out of reach, one after another, before the network is suspected
_TRUSTED_S = 60.0  # for so long after a proof of life, the network is not suspected
_KNOWN_GOOD = 3  # sites that answered lately, to try the network with

Lost = Site | Job  # a site whose rules could not be asked for, or a job


@dataclass(slots=True)
class Network:
    """What could not be reached since somebody last answered, and what is done about it."""

    polite: Politeness
    say: Callable[[str], None]
    lost: list[Lost] = field(default_factory=list)
    good: deque[str] = field(default_factory=lambda: deque(maxlen=_KNOWN_GOOD))
    dead_since: float | None = None
    probe_at: float = 0.0
    failed_probes: int = 0
    _said: bool = False
    _trusted_until: float = -inf

    def lose(self, each: Lost, now: float) -> None:
        """One more is out of reach."""
        self.lost.append(each)
        names = {lost.name if isinstance(lost, Site) else lost.site for lost in self.lost}
        if self.dead_since is None and len(names) >= _SUSPECTS and now >= self._trusted_until:
            self.dead_since = self.probe_at = now
            self.failed_probes, self._said = 0, False

    def answered(self, site: str) -> None:
        """A stranger's site answered: it will do to try the network with."""
        if site not in self.good:
            self.good.append(site)

    def next_try(self, now: float) -> str | Lost | None:
        """What to try a dead network with: a site that answered before, something lost, or nothing yet.

        Raises DataError when it was dead for too long.
        """
        assert self.dead_since is not None
        if now < self.probe_at:
            return None
        if now - self.dead_since > self.polite.network_wait_s:
            raise DataError(
                f"nothing could be reached for {self.polite.network_wait_s:g} s: the network is down, or every "
                "remaining host is. No row was marked as failed: run the same command again, or set "
                "crawl.network_wait_s to 0 to let the hosts be at fault"
            )
        if self.failed_probes and not self._said:
            self._said = True
            self.say("crawl: no host can be reached; waiting for the network")
        self.probe_at = now + self.polite.probe_s
        if self.good:
            return self.good[self.failed_probes % len(self.good)]
        self.failed_probes += 1
        return self.lost.pop(0) if self.lost else None

    def reached(self, now: float) -> None:
        """A try showed that it lives."""
        self._trusted_until = now + _TRUSTED_S

    def revive(self) -> tuple[list[Lost], bool]:
        """It lives: what was lost meanwhile, and whether that is without blame, since it had been dead."""
        blameless = self.dead_since is not None and self.failed_probes > 0
        if self.dead_since is not None and self._said:
            self.say("crawl: the network is back")
        self.dead_since = None
        lost, self.lost = self.lost, []
        return lost, blameless
