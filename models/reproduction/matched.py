"""Matching as tables: what a trained system that matches says of K candidates, by way and stratum."""

from collections.abc import Mapping
from typing import NamedTuple

from models import matching
from models.matching_scores import Plan
from models.reproduction.entry import Entry, Found, Line, Member, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.measures import each, percent
from models.scores import Figure
from models.system import Way


class Choice(NamedTuple):
    """A column of a matching table."""

    way: Way
    candidates: int
    stratum: str = "U"


class Asked(NamedTuple):
    """A line: for each column the member that fills it, and how it is asked."""

    line: str
    columns: Mapping[str, tuple[Member, Choice]]


def always(line: str, member: Member, choices: Mapping[str, Choice]) -> Asked:
    """A line that one member fills."""
    return Asked(line, {column: (member, choice) for column, choice in choices.items()})


def report_of(lab: Lab, member: Member) -> Figure:
    """A member's matching report on split `test`."""
    run = lab.trained(member)

    def made() -> Figure:
        plan = Plan(seed=lab.seed)
        found = matching.evaluate(lab.model(member), lab.manifest, plan, lab.cache, lab.device)
        matching.write(run, found, plan)
        return found

    return lab.once(("matching", run.name), made)


def accuracy(told: Figure, choice: Choice) -> Value:
    """The accuracy of a choice in per cent; None where it was not measured."""
    for one in told["choices"]:
        if (one["way"], one["candidates"], one["stratum"]) == tuple(choice):
            return percent(one)
    return None


def matched(lab: Lab, entry: Entry, asked: tuple[Asked, ...]) -> Found:
    """One line for each of `asked`."""

    def line(one: Asked) -> Line:
        return Line(
            one.line,
            {column: accuracy(report_of(lab, member), choice) for column, (member, choice) in one.columns.items()},
        )

    ours, errors = each(asked, line)
    return Found((Table(entry.asks, entry.metrics, ours, entry.published, entry.claims),), errors=errors)
