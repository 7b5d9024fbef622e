"""Who is on the pictures of each person: the group that agrees, its centre, and how far each picture lies from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float64]  # n x numbers

_LEAST: Final = 0.1  # median distance: the faces of nobody lie closer together than this, but for copies
_AT_ONCE: Final = 1024  # pictures compared with all centres in one go


@dataclass(frozen=True, slots=True)
class Agreement:
    """When pictures show a person reliably enough to judge others by them."""

    radius: float  # embedding distance within which two pictures agree
    least: int  # pictures that must agree; and they must be more than half of the person's


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a picture fits its own person and the best other one; None where that could not be judged."""

    agreeing: int  # pictures in the person's largest agreeing group
    own_distance: float | None = None  # from the centre of that group, the picture itself left out
    own_ratio: float | None = None  # by the median of the group's own distances
    other: str | None = None  # the other listed person whose centre is nearest
    other_distance: float | None = None


def fits(people: Sequence[str], embeddings: Embeddings, counted: NDArray[np.bool_], agreement: Agreement) -> list[Fit]:
    """One Fit per picture; `people` are their identities, those of one person next to each other.

    Pictures that are not counted (copies, which agree with themselves) are judged but belong to no group.
    """
    centres: dict[str, Embeddings] = {}
    agreeing = np.zeros(len(people), dtype=np.int64)
    own, ratio = np.full(len(people), np.nan), np.full(len(people), np.nan)
    for person, span in _spans(people):
        group = _largest_group(embeddings[span], counted[span], agreement.radius)
        agreeing[span] = count = int(group.sum())
        if count >= max(2, agreement.least) and 2 * count > counted[span].sum():
            centres[person] = embeddings[span][group].mean(axis=0)
            own[span] = _from_centre(embeddings[span], group)
            ratio[span] = own[span] / max(float(np.median(own[span][group])), _LEAST)
    others = _nearest_others(people, embeddings, centres)
    return [
        Fit(int(count), None, None, *other)
        if np.isnan(distance)
        else Fit(int(count), float(distance), float(times), *other)
        for count, distance, times, other in zip(agreeing, own, ratio, others, strict=True)
    ]


def _spans(people: Sequence[str]) -> Iterator[tuple[str, slice]]:
    start = 0
    for person, same in groupby(people):
        end = start + len(list(same))
        yield person, slice(start, end)
        start = end


def _largest_group(embeddings: Embeddings, counted: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Which pictures lie within the radius of the one with most such neighbours; of equals, the closest group."""
    apart = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    near = (apart <= radius) & counted & counted[:, None]
    neighbours = near.sum(axis=1)
    spread = np.where(near, apart, 0.0).sum(axis=1) / np.maximum(1, neighbours)
    group: NDArray[np.bool_] = near[np.lexsort((spread, -neighbours))[0]]
    return group


def _from_centre(embeddings: Embeddings, group: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distances from the mean of the group; a member is left out of the mean that it is held against."""
    count, total = group.sum(), embeddings[group].sum(axis=0)
    rest = total - np.where(group[:, None], embeddings, 0.0)
    distances: NDArray[np.float64] = np.linalg.norm(embeddings - rest / (count - group)[:, None], axis=1)
    return distances


def _nearest_others(
    people: Sequence[str], embeddings: Embeddings, centres: dict[str, Embeddings]
) -> list[tuple[str | None, float | None]]:
    """The nearest centre of another person, and its distance, for every picture."""
    names = list(centres)
    number = {name: i for i, name in enumerate(names)}
    if not names:
        return [(None, None)] * len(people)
    points = np.stack([centres[name] for name in names])
    lengths = (points**2).sum(axis=1)
    found: list[tuple[str | None, float | None]] = []
    for low in range(0, len(people), _AT_ONCE):
        rows = embeddings[low : low + _AT_ONCE]
        squared = lengths - 2.0 * rows @ points.T  # but for the rows' own lengths, which change no order
        for row, person in enumerate(people[low : low + _AT_ONCE]):
            if person in number:
                squared[row, number[person]] = np.inf
        nearest = squared.argmin(axis=1)
        apart = np.linalg.norm(rows - points[nearest], axis=1)
        alone = np.isinf(squared[np.arange(len(rows)), nearest])
        found += [
            (None, None) if nobody else (names[place], float(distance))
            for nobody, place, distance in zip(alone, nearest, apart, strict=True)
        ]
    return found
