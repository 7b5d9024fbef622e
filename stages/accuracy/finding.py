"""One figure of the accuracy table, with its interval, its count and what it should be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

_RESAMPLES = 2000
_Z = 1.96  # of a 95 % interval

Unit = Literal["%", "°", "IoU", "", "ms"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; a share is 0..1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be: at least, or at most, `value`."""

    side: Literal[">=", "<="]
    value: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A measured figure."""

    stage: str  # which measure
    what: str  # the figure, in a few words
    on: str  # the pictures or recordings, in a few words
    count: int  # of them
    figure: Interval
    unit: Unit = "%"  # a share is printed in per cent
    aim: Aim | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the figure (not its interval) meets the aim; None without an aim."""
        if self.aim is None:
            return None
        ahead = self.figure.value - self.aim.value
        return ahead >= 0 if self.aim.side == ">=" else ahead <= 0


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A figure that this data cannot give, and why."""

    stage: str
    what: str
    why: str


def share(part: int, whole: int) -> Interval:
    """A share of a count with Wilson's (1927) interval. Raises ZeroDivisionError for nothing counted."""
    p = part / whole
    centre = (p + _Z * _Z / (2 * whole)) / (1 + _Z * _Z / whole)
    half = _Z / (1 + _Z * _Z / whole) * float(np.sqrt(p * (1 - p) / whole + _Z * _Z / (4 * whole * whole)))
    return Interval(p, max(centre - half, 0.0), min(centre + half, 1.0))


def bootstrap(values: Sequence[float], statistic: Callable[..., object] = np.mean) -> Interval:
    """A statistic (NumPy's mean, median, …: it takes `axis`) with its percentile bootstrap interval."""
    drawn = np.random.default_rng(0).choice(np.asarray(values, dtype=np.float64), (_RESAMPLES, len(values)))
    low, high = np.percentile(np.asarray(statistic(drawn, axis=1)), [2.5, 97.5])
    return Interval(float(np.asarray(statistic(np.asarray(values)[None], axis=1))[0]), float(low), float(high))
