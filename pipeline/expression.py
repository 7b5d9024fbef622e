"""Is a face neutral? Evidence from the 68 landmarks and the seven expression probabilities, as pure functions.

Lengths are shares of the distance between the eye centres, measured along and across the line between them, so that
neither the picture's size nor a tilted head changes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, tanh

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manifests.schema import EMOTIONS
from pipeline import geometry

# Indices of the 68 points (iBUG numbering from 0).
_INNER_BROWS, _INNER_EYE_CORNERS = [21, 22], [39, 42]
_EYES = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))  # corner, two upper, corner, two lower
_MOUTH_CORNERS, _LIP_MIDDLES = [48, 54], [51, 62, 66, 57]
_INNER_UPPER, _INNER_LOWER = [61, 62, 63], [67, 66, 65]


_SMALLEST = 0.1  # added to a probability before its logarithm: below it the network's answers are noise
# Where most neutral faces lie; beyond, brows are raised or knitted, eyes wide or narrowed, mouth corners pulled down.
_CALM_BROWS, _CALM_EYES = (0.22, 0.34), (0.28, 0.36)
_CLOSED_MOUTH_OPENING, _LEVEL_CORNER_LIFT = 0.08, -0.04
_NARROWEST_EYE = 0.01  # in the profile of a face an eye's corners can coincide

# Logistic regression on `evidence`: 258 real faces, 159 of them labelled by eye, classes of both collections weighted
# alike, standardised, L2 with C = 1. `stages.accuracy.expressions` fits it and measures its errors.
OFFSET = 3.235
SLOPES = (0.2, 0.52, 0.05, -0.775, 0.485, -0.233, 1.132, -8.881, -20.098, -10.59, -50.558)


@dataclass(frozen=True, slots=True)
class Features:
    """What the landmarks say of an expression."""

    mouth_opening: float  # gap between the inner lips
    corner_lift: float  # mouth corners above (positive) or below the middle of the lips
    brow_height: float  # inner brow ends above the inner eye corners
    eye_opening: float  # height of an eye over its width, mean of both


def features(landmarks: ArrayLike) -> Features:
    """Measure a face from its 68 landmarks (pixels, x0 y0 x1 y1 ... or 68 x 2)."""
    at = upright(landmarks)
    y = at[:, 1]
    return Features(
        mouth_opening=float(np.mean(y[_INNER_LOWER] - y[_INNER_UPPER])),
        corner_lift=float(y[_LIP_MIDDLES].mean() - y[_MOUTH_CORNERS].mean()),
        brow_height=float(np.mean(y[_INNER_EYE_CORNERS] - y[_INNER_BROWS])),
        eye_opening=float(np.mean([_opening(at[list(eye)]) for eye in _EYES])),
    )


def upright(landmarks: ArrayLike) -> NDArray[np.float64]:
    """The landmarks with the eye centres at (0, 0) and (1, 0), y downwards."""
    return geometry.apply(geometry.similarity(geometry.eye_centres(landmarks), [[0.0, 0.0], [1.0, 0.0]]), landmarks)


def _opening(eye: NDArray[np.float64]) -> float:
    """Eye aspect ratio (Soukupova and Cech 2016)."""
    heights = eye[[5, 4], 1] - eye[[1, 2], 1]
    width = max(float(np.hypot(*(eye[3] - eye[0]))), _NARROWEST_EYE)
    return float(heights.mean()) / width


def evidence(probabilities: Sequence[float], found: Features) -> tuple[float, ...]:
    """What `neutrality` weighs: seven log-probabilities in the order of EMOTIONS, then departures from a calm face.

    Those are: open mouth, brows, eyes, and mouth corners pulled down; each 0 within the scatter of neutral faces.
    """
    return (
        *(log(p + _SMALLEST) for p in probabilities),
        max(found.mouth_opening - _CLOSED_MOUTH_OPENING, 0.0),
        _beyond(found.brow_height, _CALM_BROWS),
        _beyond(found.eye_opening, _CALM_EYES),
        max(_LEVEL_CORNER_LIFT - found.corner_lift, 0.0),
    )


def _beyond(value: float, span: tuple[float, float]) -> float:
    return max(span[0] - value, value - span[1], 0.0)


def neutrality(probabilities: Sequence[float], found: Features) -> float:
    """How surely a face is neutral, 0..1: the network's probabilities corrected by the landmarks."""
    total = OFFSET + sum(a * b for a, b in zip(SLOPES, evidence(probabilities, found), strict=True))
    return 0.5 * (1.0 + tanh(0.5 * total))  # the logistic function, which never overflows in this form


def without_smile(probabilities: Sequence[float]) -> list[float]:
    """The probabilities with those of a smile counted as neutral."""
    happy, neutral = EMOTIONS.index("happy"), EMOTIONS.index("neutral")
    calm = list(probabilities)
    calm[neutral] += calm[happy]
    calm[happy] = 0.0
    return calm
