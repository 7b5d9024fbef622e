"""Who gets what: people are dealt to reviewers and packed into batches, the same way whenever it is asked again.

Everything random is a hash of the seed and a name, so that people who are finished leave the rest where they were.
"""

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from manifests.errors import UsageError
from pipeline.names import safe_id
from pipeline.review.people import Person
from pipeline.review.tasks import Task, task_id

MAX_PEOPLE = 500  # of one batch: what the page is made for
_REVIEWER = re.compile(r"[\w .-]{1,40}")


@dataclass(frozen=True, slots=True)
class Options:
    """How the work is divided. Raises UsageError where reviewers cannot be told apart or named, or no share is one."""

    reviewers: tuple[str, ...] = ("reviewer",)
    batch_size: int = 1000  # pictures; nobody is split, so a batch may hold more where one person has more
    overlap: float = 0.1  # share of people that two reviewers see in the first round
    gold: int = 0  # pictures with a known answer in each batch
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.reviewers:
            if not _REVIEWER.fullmatch(name) or not name.strip(" .-_"):
                raise UsageError(f"reviewer {name!r}: expected up to 40 letters, digits, spaces, '.', '-' or '_'")
        folded = [name.casefold() for name in self.reviewers]
        if not folded or len(set(folded)) < len(folded):
            raise UsageError(f"reviewers {', '.join(self.reviewers) or 'none'}: expected different names, one or more")
        if not 0.0 <= self.overlap <= 1.0:  # also what is no number, which passes the command line's range
            raise UsageError(f"overlap is {self.overlap}; expected a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one reviewer is given at once; `tasks` of its people are what is asked, and all of it."""

    name: str
    reviewer: str
    round: int
    people: tuple[Person, ...]

    @property
    def tasks(self) -> Iterator[Task]:
        """All pictures, in the order they are shown."""
        return (task for person in self.people for task in person.tasks)


def order(seed: int, *names: object) -> str:
    """A place that is random and always the same: to sort by."""
    return hashlib.sha256(json.dumps([seed, *names]).encode()).hexdigest()


def read_twice(identity_ids: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """The people whose pictures two reviewers see: a seeded share of all, finished ones too, rounded up."""
    ranked = sorted(identity_ids, key=lambda name: order(seed, "overlap", name))
    # A share such as 0.07 of 100 people is 7, not the 7.000000000000001 of floating point.
    return frozenset(ranked[: math.ceil(round(share * len(ranked), 6))])


def reviewers_of(person: Person, twice: bool, options: Options) -> list[str]:
    """Who is asked about somebody: one reviewer, or two, who have not spoken about the open pictures if possible.

    Only the first round is read twice: a later one is there to settle it.
    """
    ranked = sorted(
        options.reviewers, key=lambda name: (name in person.seen, order(options.seed, person.identity_id, name))
    )
    return ranked[: 2 if twice and person.round == 1 else 1]


def _packed(people: Iterable[Person], size: int) -> Iterator[list[Person]]:
    """Runs of people with at most `size` pictures and MAX_PEOPLE people each; somebody with more is a run alone."""
    run: list[Person] = []
    pictures = 0
    for person in people:
        if run and (pictures + len(person.tasks) > size or len(run) == MAX_PEOPLE):
            yield run
            run, pictures = [], 0
        run.append(person)
        pictures += len(person.tasks)
    if run:
        yield run


def _asked(task: Task, round_: int) -> Task:
    """The task as another round asks it."""
    return replace(task, round=round_, task_id=task_id(task.sample_id, task.shown_sha256, round_))


def _joined(person: Person, tasks: Iterable[Task]) -> Person:
    """The person with more pictures to ask about, best first."""
    more = sorted((*person.tasks, *tasks), key=lambda task: (-task.quality, task.row_id))
    return replace(person, tasks=tuple(more))


def _with_gold(batch: Batch, pool: dict[str, Person], taken: set[str], options: Options) -> Batch:
    """The batch with pictures of known answer mixed in, up to the number wanted; who is used leaves the pool.

    Pictures join their person where that person is in the batch, which shows least. Others come as people of their
    own, unless they are among those `taken` by another batch of this reviewer: nobody is split.
    """
    people = {person.identity_id: person for person in batch.people}
    lacking = options.gold - sum(task.gold for task in batch.tasks)
    places = list(people)
    for name in sorted(pool, key=lambda name: (name not in people, order(options.seed, batch.reviewer, name))):
        if lacking <= 0 or (name in taken and name not in people):
            continue
        person = people.get(name) or replace(pool[name], round=batch.round, tasks=())
        there = {task.sample_id for task in person.tasks}
        new = [_asked(task, batch.round) for task in pool.pop(name).golden if task.sample_id not in there][:lacking]
        lacking -= len(new)
        people[name] = _joined(person, new)
        if name not in taken:
            taken.add(name)
            # Anywhere, so that the place does not give them away.
            places.insert(int(order(options.seed, batch.name, name), 16) % (len(places) + 1), name)
    return replace(batch, people=tuple(people[name] for name in places))


def plan(people: Sequence[Person], options: Options) -> list[Batch]:
    """All batches: later rounds first, then urgent people first; everybody whole, and once for each reviewer."""
    share = options.overlap if len(options.reviewers) > 1 else 0.0
    twice = read_twice((person.identity_id for person in people), share, options.seed)
    given: defaultdict[tuple[str, int], list[Person]] = defaultdict(list)
    for person in sorted(people, key=lambda one: (one.urgency, order(options.seed, one.identity_id))):
        if person.tasks:
            for reviewer in reviewers_of(person, person.identity_id in twice, options):
                given[reviewer, person.round].append(person)
    batches = []
    for reviewer in options.reviewers:
        mine = sorted((round_ for name, round_ in given if name == reviewer), reverse=True)
        taken = {person.identity_id for round_ in mine for person in given[reviewer, round_]}
        pool = {person.identity_id: person for person in people if person.golden}
        for round_ in mine:
            for number, run in enumerate(_packed(given[reviewer, round_], options.batch_size), start=1):
                name = f"round{round_}-batch{number:03d}-{safe_id(reviewer)}"
                batch = Batch(name, reviewer, round_, tuple(run))
                batches.append(_with_gold(batch, pool, taken, options) if options.gold else batch)
    return batches


def blind(batch: Batch, seed: int) -> Batch:
    """The batch without what the machine thinks: no suggestion, no score, and pictures in no order of merit."""
    return replace(batch, people=tuple(_blinded(person, seed) for person in batch.people))


def _blinded(person: Person, seed: int) -> Person:
    shuffled = sorted(person.tasks, key=lambda task: order(seed, "blind", task.sample_id))
    return replace(person, tasks=tuple(replace(task, suggested=None, scores=()) for task in shuffled))


def anonymous(batch: Batch) -> Batch:
    """The batch without names, ids and addresses: people are numbered as they come."""
    people = (_unnamed(person, f"person {number}") for number, person in enumerate(batch.people, start=1))
    return replace(batch, people=tuple(people))


def _unnamed(person: Person, label: str) -> Person:
    tasks = tuple(replace(task, identity_id=label, row_id="", source="") for task in person.tasks)
    return replace(
        person, identity_id=label, name=None, gender=None, nationality=None, seen=frozenset(), tasks=tasks, golden=()
    )
