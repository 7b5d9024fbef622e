"""One queue of people for several reviewers: each person is lent to as many at a time as are to see them, no more.

Nothing here reads a clock, a file or the network.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HELD_AT_MOST = 5  # people lent to one reviewer at a time: who pages on must not empty the queue


@dataclass(frozen=True, slots=True)
class Entry:
    """One person in the queue."""

    person: Mapping[str, Any]  # as the page shows it
    tasks: frozenset[str]  # task ids
    wanted: int  # reviewers who are to decide, from 1
    reviewers: frozenset[str]  # whom the export meant it for; they get it first, but anybody may


@dataclass(frozen=True, slots=True)
class Given:
    """The answer to a reviewer who asks for work."""

    entry: Entry | None
    left: int  # people still free for this reviewer
    lent: int  # people that would be, were they not with others


def merge(batches: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The people of exported batches, in order; who is in several of them is one entry that wants several reviewers."""
    found: list[Entry] = []
    place_of: dict[str, int] = {}  # task id -> entry
    for batch in batches:
        for person in batch["people"]:
            tasks = frozenset(task["task_id"] for task in person["tasks"])
            entry = Entry({**person, "round": batch["round"]}, tasks, 1, frozenset({batch["reviewer"]}))
            place = min((place_of[task] for task in tasks if task in place_of), default=len(found))
            if place < len(found):
                found[place] = _joined(found[place], entry)
            else:
                found.append(entry)
            place_of |= dict.fromkeys(tasks, place)
    return found


def _joined(one: Entry, other: Entry) -> Entry:
    """One entry for the same person in two batches, which may hold different pictures of known answer."""
    more = [task for task in other.person["tasks"] if task["task_id"] not in one.tasks]
    person = one.person
    if more:  # among the others, so that their place does not give them away; a blind batch has no order of merit
        tasks = [*person["tasks"], *more]
        tasks.sort(key=lambda task: (-(task["quality"] or 0.0), task["sample_id"]))
        person = {**person, "tasks": tasks}
    return Entry(person, one.tasks | other.tasks, one.wanted + other.wanted, one.reviewers | other.reviewers)


class Queue:
    """Who has which people, until when, and who is through with whom. Times are seconds of any one clock."""

    def __init__(self, entries: Sequence[Entry], lease_s: float = 600.0) -> None:
        self.entries = tuple(entries)
        self.lease_s = lease_s
        self._places: dict[str, list[int]] = defaultdict(list)  # task id -> the people it belongs to
        for place, entry in enumerate(entries):
            for task in entry.tasks:
                self._places[task].append(place)
        self._leases: list[dict[str, float]] = [{} for _ in entries]  # reviewer -> when it runs out
        self._decided: list[dict[str, set[str]]] = [{} for _ in entries]  # reviewer -> task ids
        self._lost: dict[str, set[int]] = {}  # reviewer -> places of people that went to somebody else

    def decided(self, reviewer: str, tasks: Iterable[str]) -> None:
        """Note what a reviewer has decided; whom they are through with, they need no longer hold."""
        for task in tasks:
            for place in self._places.get(task, ()):
                self._decided[place].setdefault(reviewer, set()).add(task)
                if self._is_through(place, reviewer):
                    self._leases[place].pop(reviewer, None)

    def take(self, reviewer: str, now: float) -> Given:
        """Lend one more person: those begun before first, then those meant for this reviewer, then the others."""
        open_ = [place for place in range(len(self.entries)) if self._is_open(place, reviewer)]
        free = [place for place in open_ if self._is_free(place, reviewer, now)]
        held = sum(reviewer in leases for leases in self._leases)
        others = len(open_) - len(free)
        if not free or held >= HELD_AT_MOST:
            return Given(None, len(free), others)
        place = min(free, key=lambda place: (*self._rank(place, reviewer), place))
        self._evict(place, now)
        self._leases[place][reviewer] = now + self.lease_s
        return Given(self.entries[place], len(free) - 1, others)

    def renew(self, reviewer: str, now: float) -> list[Entry]:
        """Extend all that a reviewer holds; returns those who meanwhile went to somebody else, each once."""
        for leases in self._leases:
            if reviewer in leases:
                leases[reviewer] = now + self.lease_s
        return [self.entries[place] for place in sorted(self._lost.pop(reviewer, ()))]

    def left(self, reviewer: str, now: float) -> int:
        """How many people are free for a reviewer."""
        return sum(self._is_free(place, reviewer, now) for place in range(len(self.entries)))

    def of(self, reviewer: str) -> list[Entry]:
        """The people that a reviewer holds or has decided something about."""
        return [
            entry
            for entry, leases, decided in zip(self.entries, self._leases, self._decided, strict=True)
            if reviewer in leases or reviewer in decided
        ]

    def _rank(self, place: int, reviewer: str) -> tuple[bool, bool]:
        return reviewer not in self._decided[place], reviewer not in self.entries[place].reviewers

    def _is_through(self, place: int, reviewer: str) -> bool:
        return self._decided[place].get(reviewer, set()) >= self.entries[place].tasks

    def _through(self, place: int) -> int:
        return sum(said >= self.entries[place].tasks for said in self._decided[place].values())

    def _is_open(self, place: int, reviewer: str) -> bool:
        """Whether a person still waits for somebody like this reviewer, be they with others just now or not."""
        mine = reviewer in self._leases[place] or self._is_through(place, reviewer)
        return not mine and self._through(place) < self.entries[place].wanted

    def _is_free(self, place: int, reviewer: str, now: float) -> bool:
        holding = sum(deadline > now for deadline in self._leases[place].values())
        return self._is_open(place, reviewer) and self._through(place) + holding < self.entries[place].wanted

    def _evict(self, place: int, now: float) -> None:
        """End the leases that ran out: until somebody wants the person, they do no harm."""
        for reviewer in [name for name, deadline in self._leases[place].items() if deadline <= now]:
            del self._leases[place][reviewer]
            self._lost.setdefault(reviewer, set()).add(place)
