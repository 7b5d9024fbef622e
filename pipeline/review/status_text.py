"""The status of the review as text for the terminal."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from pipeline.review.agreement import Agreement
from pipeline.review.people import Wanted
from pipeline.review.reviewers import Reviewer
from pipeline.review.status import Question, Status
from pipeline.terminal import cell, number, percent, render, table

_SHOWN = 12  # lines of a list; the JSON has all


def text(found: Status, wanted: Wanted) -> str:
    """Who did what, how far they agree, what is open, and what to do next."""
    parts: list[RenderableType] = [cell(_headline(found, wanted))]
    if found.reviewers:
        parts.append(_reviewers(found.reviewers))
        parts += [cell(f"- {one.name} {drift}.") for one in found.reviewers for drift in one.drifts]
    if found.agreement.pictures:
        parts += [cell(_agreement(found.agreement)), _pairs(found.agreement)]
    parts += [cell(line) for line in (*_next_round(found), *_people(found, wanted))]
    return render(parts)


def next_step(found: Status) -> str:
    """What to do now."""
    if found.unseen or found.conflicts or found.unsure:
        return "Next: `pipeline review-export`, decide, `pipeline review-import FILE`."
    return "Nothing is left to decide: `dvc repro` builds the data set."


def _headline(found: Status, wanted: Wanted) -> str:
    stale = found.audit.stale + found.audit.unknown
    left_out = f" ({stale:,} about pictures that have changed or are gone do not count)" if stale else ""
    return (
        f"{found.lines:,} decisions{left_out}; {found.settled:,} of {found.pictures:,} pictures settled, "
        f"{found.kept:,} kept; {found.people_ready:,} of {found.people:,} people have {wanted.least} or more."
    )


def _reviewers(reviewers: Sequence[Reviewer]) -> Table:
    counted = ["pictures", "kept", "reject", "wrong", "unsure", "hours", "s each"]
    made = table("Reviewers", ["reviewer", *counted, "agrees", "gold", "repeats"])
    for one in reviewers:
        pace = "-" if one.median_s is None else f"{one.median_s:.1f}"
        counts = [number(count) for count in one.words.values()]
        checks = (
            _of(one.agreed, one.shared),
            _of(one.gold_right, one.gold),
            _of(one.repeats_same, one.repeats),
        )
        made.add_row(*map(cell, (one.name, number(one.pictures), *counts, f"{one.hours:.2f}", pace, *checks)))
    return made


def _of(share: float | None, count: int) -> str:
    return "-" if share is None else f"{percent(share)} of {count:,}"


def _kappa(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def _agreement(found: Agreement) -> str:
    return (
        f"Decided by several: {found.pictures:,} pictures, {percent(found.agreed)} of the pairs of decisions the same; "
        f"Krippendorff's alpha {_kappa(found.krippendorff_alpha)}; Fleiss' kappa {_kappa(found.fleiss_kappa)} "
        f"({found.fleiss_pictures:,} pictures with {found.fleiss_reviewers} reviewers)."
    )


def _pairs(found: Agreement) -> Table:
    made = table("Every two reviewers", ["first", "second", "pictures", "the same", "Cohen's kappa"], left=["second"])
    for pair in found.pairs[:_SHOWN]:
        kappa = _kappa(pair.cohen_kappa)
        made.add_row(*map(cell, (pair.first, pair.second, number(pair.pictures), percent(pair.agreed), kappa)))
    return made


def _next_round(found: Status) -> list[str]:
    """What is open, and the pictures that reviewers differ on."""
    lines = [
        f"To decide: {found.unseen:,} pictures that nobody has seen, {len(found.conflicts):,} on which reviewers "
        f"differ, {len(found.unsure):,} of which nobody is sure."
    ]
    return lines + _listed([_question(question) for question in (*found.conflicts, *found.unsure)])


def _question(question: Question) -> str:
    said = ", ".join(f"{name}: {word}" for name, word in question.said.items())
    return f"  {question.identity_id} {question.sample_id}  {said}"


def _people(found: Status, wanted: Wanted) -> list[str]:
    lines = []
    if found.people_over:
        lines.append(
            f"People with more than {wanted.most} kept: {found.people_over:,}; the best {wanted.most} by quality stay."
        )
    if found.too_few:
        lines.append(f"People who cannot reach {wanted.least} pictures any more: {len(found.too_few):,}")
    names = [f"{person.identity_id} {person.name or ''}".strip() for person in found.too_few]
    facts = [f"{one.kept} kept, {one.open} open of {one.pictures}" for one in found.too_few]
    return lines + _listed([f"  {name}: {fact}" for name, fact in zip(names, facts, strict=True)])


def _listed(lines: Sequence[str]) -> list[str]:
    more = [f"  and {len(lines) - _SHOWN:,} more (`--format json` has all)"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]
