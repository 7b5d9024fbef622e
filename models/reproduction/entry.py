"""What an experiment id is made of: whom it trains, how it measures them, what was published, what is found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from manifests.errors import HqvoxError
from models.scores import Figure

if TYPE_CHECKING:
    from models.reproduction.lab import Lab

Budget = Literal["smoke", "small", "full"]
Value = Figure | float | None  # a figure with its interval, a plain number, or nothing


@dataclass(frozen=True, slots=True)
class Member:
    """A system that an id trains: the paper's settings at full size, a small preset with the same change below it."""

    name: str  # of its line in the tables
    full: str  # experiment
    small: str  # preset
    changes: tuple[str, ...] = ()  # of the small preset, as `--set` takes them
    full_changes: tuple[str, ...] = ()  # likewise of the experiment
    start: "Member | None" = None  # whose networks the small preset begins with
    full_start: "Member | None" = None  # likewise the experiment
    raw: bool = False  # trained on the manifest of the unfiltered data


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table, measured or published; shares in per cent."""

    name: str
    values: Mapping[str, Value]


class Claim(NamedTuple):
    """What a paper's numbers, or its text, say of two lines: the first has the larger value."""

    metric: str
    larger: str
    smaller: str


@dataclass(frozen=True, slots=True)
class Table:
    """Ours beside the paper's."""

    title: str
    metrics: tuple[str, ...]
    ours: tuple[Line, ...]
    published: tuple[Line, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What an id gave: tables, pictures, in words what is missing for the rest of it, and what lines ended with."""

    tables: tuple[Table, ...] = ()
    pictures: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    errors: tuple[HqvoxError, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment id."""

    id: str
    source: str  # paper, and table or figure
    asks: str  # what it is about, a sentence
    measure: Callable[["Lab", "Entry"], Found]
    members: tuple[Member, ...] = ()
    metrics: tuple[str, ...] = ()
    published: tuple[Line, ...] = ()
    claims: tuple[Claim, ...] = field(default=())


def lines(metrics: Sequence[str], rows: Mapping[str, Sequence[float | None]]) -> tuple[Line, ...]:
    """A paper's table: per line a name and a number for each metric; None where it prints none."""
    return tuple(Line(name, dict(zip(metrics, numbers, strict=True))) for name, numbers in rows.items())


def against(first: str, published: Sequence[Line], metrics: Sequence[str]) -> tuple[Claim, ...]:
    """The claims that a table's numbers make of one line against each other line."""
    values = next(line.values for line in published if line.name == first)
    claims = []
    for metric in metrics:
        here = values.get(metric)
        for line in published:
            there = line.values.get(metric)
            if isinstance(here, float) and isinstance(there, float) and here != there:
                claims.append(Claim(metric, *((first, line.name) if here > there else (line.name, first))))
    return tuple(claims)
