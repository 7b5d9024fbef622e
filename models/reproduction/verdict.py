"""Does ours agree with a published ordering: yes, no, or not decided by so many people."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from models.reproduction.entry import Claim, Line, Table, Value

Verdict = Literal["agrees", "within the interval", "disagrees", "not decided", "not measured"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_OF_SPREAD = 1.388  # half width for the mean of five splits: Student's t of 2.776, times sqrt(5 / 4) / sqrt(5)


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim, the published gap (None where the paper gives no numbers), ours, and the verdict."""

    claim: Claim
    published_gap: float | None
    gap: float | None
    half_width: float | None  # of the 95 % interval of our gap; None where one of the two lines has no interval
    verdict: Verdict


def verdicts(table: Table) -> list[Judged]:
    """Every claim of a table judged by its own lines."""
    return [_judged(claim, table.ours, table.published) for claim in table.claims]


def _judged(claim: Claim, ours: Sequence[Line], published: Sequence[Line]) -> Judged:
    printed = _gap(claim, [_mean(_find(published, name, claim.metric)) for name in claim[1:]])
    values = [_find(ours, name, claim.metric) for name in claim[1:]]
    gap = _gap(claim, [_mean(value) for value in values])
    if gap is None:
        return Judged(claim, printed, None, None, "not measured")
    # The intervals of both lines, as if they were of other people: wider than that of the difference of the same ones.
    halves = [_half_width(value) for value in values]
    known = [half for half in halves if half is not None]
    if not math.isfinite(gap) or len(known) < len(halves):
        return Judged(claim, printed, gap if math.isfinite(gap) else None, None, "not decided")
    half = math.hypot(*known)
    verdict: Verdict = "within the interval" if abs(gap) <= half else "agrees" if gap > 0 else "disagrees"
    return Judged(claim, printed, gap, half, verdict)


def _find(lines: Sequence[Line], name: str, metric: str) -> Value:
    return next((line.values.get(metric) for line in lines if line.name == name), None)


def _gap(claim: Claim, of: Sequence[float | None]) -> float | None:
    larger, smaller = of
    return None if larger is None or smaller is None else larger - smaller


def _mean(value: Value) -> float | None:
    if isinstance(value, Mapping):
        mean = value.get("mean")
        return None if mean is None else float(mean)
    return value


def _half_width(value: Value) -> float | None:
    """Of the 95 % interval; None where there is none, or it is of one item or of equal ones, which do not vary.

    A spread is over five splits, however many `items`, faces, they hold; where it is zero, nothing is decided either.
    """
    if not isinstance(value, Mapping):
        return None
    if "spread_over_splits" in value:
        half = _OF_SPREAD * float(value["spread_over_splits"])
        return half if math.isfinite(half) and half > 0 else None
    if "interval" not in value or value.get("items", 2) < 2:
        return None
    low, high = value["interval"]
    half = float(high - low) / 2
    return half if math.isfinite(half) and (half > 0 or "items" not in value) else None  # without items it is known
