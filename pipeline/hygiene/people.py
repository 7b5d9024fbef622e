"""Who is on the pictures of each person: the group that agrees, its centre, and how far each picture lies from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Embeddings = NDArray[np.float32]  # pictures x numbers
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

NOBODY: Final = -1

_LEAST_OTHERS: Final = 10  # people before their distances say how far strangers lie
_LEAST_SPREAD: Final = 1e-3  # of those distances
_AT_ONCE: Final = 1024  # pictures compared with all centres in one go


@dataclass(frozen=True, slots=True)
class Agreement:
    """When pictures show a person reliably enough to judge others by them."""

    radius: float  # embedding distance within which two pictures agree
    least: int  # pictures that must agree; and they must be more than half of the person's


@dataclass(frozen=True, slots=True)
class Fits:
    """How well each picture fits its own person and the best other one; NaN or NOBODY where that cannot be judged."""

    agreeing: Numbers  # pictures in the person's largest agreeing group
    own_distance: Floats  # from the centre of that group, the picture itself left out
    own_norm: Floats  # the same as a score among its distances from everybody else's centre: 0 is a stranger's
    other: Numbers  # the other person whose centre is nearest
    other_distance: Floats


def fits(people: Numbers, embeddings: Embeddings, counted: NDArray[np.bool_], agreement: Agreement) -> Fits:
    """Judge every picture; `people` are their persons' numbers, those of one person next to each other.

    Pictures that are not counted (copies, which agree with themselves) are judged but belong to no group.
    """
    agreeing = np.zeros(len(people), dtype=np.int64)
    own = np.full(len(people), np.nan)
    centres: dict[int, Floats] = {}
    for span in spans(people):
        points = embeddings[span].astype(np.float64)
        group = _largest_group(points, counted[span], agreement.radius)
        agreeing[span] = count = int(group.sum())
        if count >= max(2, agreement.least) and 2 * count > counted[span].sum():
            centres[int(people[span.start])] = points[group].mean(axis=0)
            own[span] = _from_centre(points, group)
    return Fits(agreeing, own, *_beside_others(people, embeddings, own, centres))


def spans(people: Numbers) -> Iterator[slice]:
    """Where the pictures of each person lie, those of one person next to each other."""
    starts = np.flatnonzero(np.diff(people, prepend=NOBODY))
    for start, end in pairwise([*starts.tolist(), len(people)]):
        yield slice(start, end)


def _largest_group(points: Floats, counted: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Which pictures lie within the radius of the one with most such neighbours; of equals, the closest group."""
    apart = cdist(points, points)
    near = (apart <= radius) & counted & counted[:, None]
    neighbours = near.sum(axis=1)
    spread = np.where(near, apart, 0.0).sum(axis=1) / np.maximum(1, neighbours)
    group: NDArray[np.bool_] = near[np.lexsort((spread, -neighbours))[0]]
    return group


def _from_centre(points: Floats, group: NDArray[np.bool_]) -> Floats:
    """Distances from the mean of the group; a member is left out of the mean that it is held against."""
    count, total = group.sum(), points[group].sum(axis=0)
    rest = total - np.where(group[:, None], points, 0.0)
    distances: Floats = np.linalg.norm(points - rest / (count - group)[:, None], axis=1)
    return distances


def _beside_others(
    people: Numbers, embeddings: Embeddings, own: Floats, centres: dict[int, Floats]
) -> tuple[Floats, Numbers, Floats]:
    """Own distances normed by those from all others (T-norm, Auckenthaler et al. 2000), the nearest other, how near."""
    normed, nearest = np.full(len(people), np.nan), np.full(len(people), np.nan)
    other = np.full(len(people), NOBODY)
    if not centres:
        return normed, other, nearest
    names, points = np.array(list(centres)), np.stack(list(centres.values()))
    for low in range(0, len(people), _AT_ONCE):
        block = slice(low, low + _AT_ONCE)
        others = people[block, None] != names
        apart = np.where(others, _distances(embeddings[block].astype(np.float64), points), np.inf)
        best = apart.argmin(axis=1)
        nearest[block] = apart[np.arange(len(best)), best]
        other[block] = names[best]
        if len(names) > _LEAST_OTHERS:
            usual, spread = apart.mean(axis=1, where=others), apart.std(axis=1, where=others)
            normed[block] = (own[block] - usual) / np.maximum(spread, _LEAST_SPREAD)
    alone = np.isinf(nearest)
    return normed, np.where(alone, NOBODY, other), np.where(alone, np.nan, nearest)


def _distances(points: Floats, centres: Floats) -> Floats:
    """All distances by one product of matrices: many times faster than differences, and exact to 1e-7 of a unit."""
    squared = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2.0 * points @ centres.T
    distances: Floats = np.sqrt(np.maximum(squared, 0.0))
    return distances
