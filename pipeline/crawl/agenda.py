"""When each site may next be asked, the earliest first."""

import heapq
from itertools import count
from math import inf

from pipeline.crawl.site import Site


class Agenda:
    """A heap of sites by the time of their next request; of several entries for one site the newest is valid."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Site]] = []
        self._numbers = count()

    def __bool__(self) -> bool:
        self._forget_old()
        return bool(self._heap)

    def arrange(self, site: Site) -> bool:
        """Put a site's place right; whether it has one."""
        at = site.ready_at()
        site.entry = next(self._numbers)
        if at is not None:
            heapq.heappush(self._heap, (at, site.entry, site))
        return at is not None

    @property
    def next_at(self) -> float:
        """The time of the next request; inf where none is planned."""
        self._forget_old()
        return self._heap[0][0] if self._heap else inf

    def due(self, now: float) -> Site | None:
        """The site whose turn it is, which leaves the agenda."""
        return heapq.heappop(self._heap)[2] if self.next_at <= now else None

    def _forget_old(self) -> None:
        while self._heap and self._heap[0][1] != self._heap[0][2].entry:
            heapq.heappop(self._heap)
