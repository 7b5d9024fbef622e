"""How far reviewers agree beyond chance, on the pictures that several of them decided.

The statistics packages load only where there is something to measure: the report of an automatic run needs none.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.review.decisions import DECISIONS, Decision, last_words

Words = Mapping[str, Mapping[str, Decision]]  # task_id -> reviewer -> what they said last


@dataclass(frozen=True, slots=True)
class Pair:
    """Two reviewers on the pictures both decided."""

    first: str
    second: str
    pictures: int
    agreed: float  # share
    cohen_kappa: float | None  # None where chance alone explains all: both always said the same one word


@dataclass(frozen=True, slots=True)
class Agreement:
    """All reviewers on the pictures that at least two decided; None where there are none, or only one word was said."""

    pictures: int
    agreed: float | None  # share of the pairs of decisions about one picture that are the same
    krippendorff_alpha: float | None  # nominal; any number of reviewers per picture
    fleiss_kappa: float | None  # of the pictures with the commonest number of reviewers, for it needs an equal one
    fleiss_reviewers: int  # that number
    fleiss_pictures: int
    pairs: tuple[Pair, ...]


def by_task(decisions: Iterable[Decision]) -> dict[str, dict[str, Decision]]:
    """Each reviewer's last word about each task; a task is one picture as it was shown in one round."""
    tasks: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        tasks[decision.task_id].append(decision)
    return {task: last_words(said) for task, said in tasks.items()}


def measure(words: Words) -> Agreement:
    """Agreement of the reviewers; tasks of one reviewer do not count."""
    shared = [list(said.values()) for said in words.values() if len(said) > 1]
    if not shared:
        return Agreement(0, None, None, None, 0, 0, ())
    counts = _counts(shared)
    reviewers, pictures, kappa = _fleiss(counts)
    return Agreement(
        len(shared),
        _agreed(counts),
        _alpha(counts),
        kappa,
        reviewers,
        pictures,
        tuple(_pairs(shared)),
    )


def _counts(shared: Sequence[Sequence[Decision]]) -> NDArray[np.int64]:
    """How many reviewers said each word of each picture: pictures x words."""
    counts = np.zeros((len(shared), len(DECISIONS)), np.int64)
    for row, said in zip(counts, shared, strict=True):
        for decision in said:
            row[DECISIONS.index(decision.decision)] += 1
    return counts


def _agreed(counts: NDArray[np.int64]) -> float:
    total = counts.sum(axis=1)
    return float((counts * (counts - 1)).sum() / (total * (total - 1)).sum())


def _several_words(counts: NDArray[np.int64]) -> bool:
    """Whether chance-corrected agreement is defined at all: with one word, chance explains everything."""
    return int((counts.sum(axis=0) > 0).sum()) > 1


def _alpha(counts: NDArray[np.int64]) -> float | None:
    import krippendorff

    if not _several_words(counts):
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _fleiss(counts: NDArray[np.int64]) -> tuple[int, int, float | None]:
    """Reviewers per picture, pictures that have so many, and their kappa."""
    from statsmodels.stats.inter_rater import fleiss_kappa

    total = counts.sum(axis=1)
    reviewers = min(Counter(total.tolist()).items(), key=lambda item: (-item[1], item[0]))[0]
    equal = counts[total == reviewers]
    return reviewers, len(equal), float(fleiss_kappa(equal)) if _several_words(equal) else None


def _pairs(shared: Sequence[Sequence[Decision]]) -> list[Pair]:
    """Every two reviewers who share a picture, by name."""
    said: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for decisions in shared:
        ordered = sorted(decisions, key=lambda decision: decision.reviewer)
        for one, other in combinations(ordered, 2):
            said[one.reviewer, other.reviewer].append((one.decision, other.decision))
    return [_pair(first, second, words) for (first, second), words in sorted(said.items())]


def _pair(first: str, second: str, words: Sequence[tuple[str, str]]) -> Pair:
    from sklearn.metrics import cohen_kappa_score  # type: ignore[import-untyped]

    agreed = sum(one == other for one, other in words) / len(words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one word throughout: the kappa is then not a number
        kappa = float(cohen_kappa_score(*zip(*words, strict=True)))
    return Pair(first, second, len(words), agreed, None if np.isnan(kappa) else kappa)
