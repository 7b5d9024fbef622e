"""Do two ways to name a face agree: confusion matrices, shares by class, the papers' groups of ages."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.scores import Figure, figure

AGE_GROUPS = ("young", "middle", "elder")
_OLDEST_YOUNG, _OLDEST_MIDDLE = 35, 65  # years: below the first young, up to and with the second middle
DECADES = (10, 20, 30, 40, 50, 60, 70)


def confusion(wanted: Sequence[str], found: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """How often each wanted label (rows) was called each label (columns)."""
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for right, called in zip(wanted, found, strict=True):
        counts[place[right], place[called]] += 1
    return counts


def by_row(counts: NDArray[np.int64]) -> list[list[float | None]]:
    """Shares of each row's total, as papers print them; None in rows of which there is nobody."""
    return [[float(n) / row.sum() if row.sum() else None for n in row] for row in counts]


def agreement(wanted: Sequence[str], found: Sequence[str], labels: Sequence[str]) -> dict[str, Figure | None]:
    """Share of the people of each label who were called so, and of all of them as `total`; None of nobody."""
    right = {label: [a == b for a, b in zip(wanted, found, strict=True) if a == label] for label in labels}
    right["total"] = [one for of in right.values() for one in of]
    return {label: figure([torch.tensor(of)]) if of else None for label, of in right.items()}


def age_group(years: float) -> str:
    """AR-SPM's groups: below 35, 35 to 65, above 65 years."""
    return AGE_GROUPS[0] if years < _OLDEST_YOUNG else AGE_GROUPS[1] if years <= _OLDEST_MIDDLE else AGE_GROUPS[2]


def decade(years: float) -> int:
    """Speech2Face's groups: 10 to 70, the youngest and the eldest in the first and the last."""
    return min(max(int(years // 10) * 10, DECADES[0]), DECADES[-1])
