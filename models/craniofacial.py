"""Craniofacial measures of 68 landmarks, and how they agree between two pictures of each person (Speech2Face).

Numbers of points are the usual ones of the 68, from 0: jaw 0-16, nose 27-35, eyes 36-47, mouth 48-67.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.distances import correlation, people_drawn

POINTS = 68
_JAW = (4, 12)  # gonia
_CHEEKS = (1, 15)  # zygia
_CHIN = 8
_NOSE_ROOT, _NOSE_BASE, _WINGS = 27, 33, (31, 35)
_NOSE = (27, 31, 32, 33, 34, 35)
_EYES_OUTER, _EYES_INNER = (36, 45), (39, 42)
_MOUTH = (48, 54)
_LIPS = tuple(range(48, 60))  # outer contour
_LIP_TOP, _LIP_BOTTOM = 51, 57
_INNER_TOP, _INNER_BOTTOM = 62, 66
_PHILTRUM = (50, 52)


def _between(points: Tensor, a: int, b: int) -> Tensor:
    apart: Tensor = torch.linalg.vector_norm(points[:, a] - points[:, b], dim=-1)
    return apart


def _from_mouth(points: Tensor, a: int) -> Tensor:
    """Distance of a point from the stomion, where the lips meet."""
    stomion = (points[:, _INNER_TOP] + points[:, _INNER_BOTTOM]) / 2
    away: Tensor = torch.linalg.vector_norm(points[:, a] - stomion, dim=-1)
    return away


def _area(points: Tensor, ring: tuple[int, ...]) -> Tensor:
    """Of a polygon, by the shoelace formula."""
    x, y = points[:, ring].unbind(-1)
    return (x * y.roll(-1, 1) - x.roll(-1, 1) * y).sum(1).abs() / 2


def _lateral_lip(points: Tensor) -> Tensor:
    """Wing of the nose to the edge of the upper lip below it, mean of both sides."""
    (left, right), (left_lip, right_lip) = _WINGS, _PHILTRUM
    return (_between(points, left, left_lip) + _between(points, right, right_lip)) / 2


# Distances in units of the distance of the outer corners of the eyes, areas of its square, indices without unit.
MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "upper lip height": lambda p: _from_mouth(p, _NOSE_BASE),
    "lateral upper lip heights": _lateral_lip,
    "jaw width": lambda p: _between(p, *_JAW),
    "nose height": lambda p: _between(p, _NOSE_ROOT, _NOSE_BASE),
    "nose width": lambda p: _between(p, *_WINGS),
    "labio-oral region": lambda p: _area(p, _LIPS),
    "mandibular index": lambda p: _from_mouth(p, _CHIN) / _between(p, *_JAW),
    "intercanthal index": lambda p: _between(p, *_EYES_INNER) / _between(p, *_EYES_OUTER),
    "nasal index": lambda p: _between(p, *_WINGS) / _between(p, _NOSE_ROOT, _NOSE_BASE),
    "vermilion height index": lambda p: _from_mouth(p, _LIP_TOP) / _from_mouth(p, _LIP_BOTTOM),
    "mouth-face width index": lambda p: _between(p, *_MOUTH) / _between(p, *_CHEEKS),
    "nose area": lambda p: _area(p, _NOSE),
    "philtrum width": lambda p: _between(p, *_PHILTRUM),
}


def measures(landmarks: Tensor) -> dict[str, Tensor]:
    """Every measure of faces' landmarks (N, 68, 2), (N,) each; independent of the size of the pictures."""
    points = landmarks.double()
    points = points / _between(points, *_EYES_OUTER)[:, None, None]
    return {name: measure(points) for name, measure in MEASURES.items()}


def correlations(one: Tensor, other: Tensor, seed: int) -> dict[str, dict[str, Any]]:
    """Pearson's r of each measure between two sets of landmarks (N, 68, 2) of the same people, and its p-value.

    r comes with its interval over people. `shuffled` is r with the people of the other set in random order, which knows
    nothing of anybody. People whose landmarks are not finite in one of the sets are left out.
    """
    known = torch.isfinite(one).flatten(1).all(1) & torch.isfinite(other).flatten(1).all(1)
    a, b = measures(one[known]), measures(other[known])
    people = int(known.sum())
    order, times = torch.randperm(people, generator=torch.Generator().manual_seed(seed)), people_drawn(people)
    return {
        name: correlation(a[name], b[name], times)
        | {"shuffled": correlation(a[name], b[name][order], times)["r"], "items": people}
        for name in MEASURES
    }
