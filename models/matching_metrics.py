"""Metrics of systems that match voices and faces: K-way choices, verification, retrieval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Reals = NDArray[np.float64]
Distance = Literal["l1", "l2", "cosine"]


@dataclass(frozen=True, slots=True)
class Trials:
    """Whom probes are asked about: P people, T trials of each, K candidates."""

    probes: NDArray[np.int64]  # (P,) people
    people: NDArray[np.int64]  # (P, T, K): the person and K - 1 others, in any order
    place: NDArray[np.int64]  # (P, T): where the person stands


def trials(groups: Sequence[str | None], candidates: int, count: int, rng: np.random.Generator) -> Trials:
    """At least `count` trials, as many of everybody, whose K - 1 impostors are different people of the same group.

    People of no known group, or of one too small, are not asked about: P may be 0.
    """
    pools = {name: np.flatnonzero([other == name for other in groups]) for name in set(groups) - {None}}
    probes = [i for i, name in enumerate(groups) if name is not None and len(pools[name]) >= candidates]
    of_each = -(-count // max(len(probes), 1))
    people = np.empty((len(probes), of_each, candidates), np.int64)
    for row, probe in enumerate(probes):
        pool = pools[groups[probe]]
        others = pool[pool != probe]
        people[row, :, 0] = probe
        people[row, :, 1:] = others[
            rng.random((of_each, len(others))).argpartition(candidates - 2)[:, : candidates - 1]
        ]
    people = rng.permuted(people, axis=2)
    chosen = np.array(probes, np.int64)
    return Trials(chosen, people, (people == chosen[:, None, None]).argmax(axis=2))


def right(scores: Tensor, place: Tensor) -> Tensor:
    """Whether the candidate at `place` (…) has strictly the largest of the scores (…, K).

    Ties are wrong, and so is a score that is not finite.
    """
    own = scores.gather(-1, place[..., None])
    return torch.isfinite(scores).all(dim=-1) & ((scores >= own).sum(dim=-1) == 1)


def roc(scores: Reals, same: NDArray[np.bool_], weights: Reals | None = None) -> tuple[Reals, Reals]:
    """Shares (R, points) of different pairs and of same pairs that are accepted, as the threshold falls.

    Of pairs (N,), of which `same` are of one person. Each row of `weights` (R, N) says how often a pair counts;
    without it, once. Pairs of equal score are accepted together.
    """
    order = np.argsort(-scores, kind="stable")
    counts = np.ones((1, len(scores))) if weights is None else weights
    firsts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])

    def accepted(of: NDArray[np.bool_]) -> Reals:
        summed = np.add.reduceat((counts * of)[:, order], firsts, axis=1).cumsum(axis=1)
        shares: Reals = np.pad(summed / summed[:, -1:], ((0, 0), (1, 0)))
        return shares

    return accepted(~same), accepted(same)


def auc(false: Reals, true: Reals) -> Reals:
    """Area under each ROC (R,): how often a same pair scores above a different one, ties counting half."""
    area: Reals = (np.diff(false) * (true[:, 1:] + true[:, :-1])).sum(axis=1) / 2  # trapezoids
    return area


def eer(false: Reals, true: Reals) -> Reals:
    """Equal error rate (R,): where as many different pairs are accepted as same pairs refused, linear in between."""
    gap = false + true - 1  # rises from -1 to 1
    after = (gap >= 0).argmax(axis=1)
    rows = np.arange(len(gap))
    low, high = gap[rows, after - 1], gap[rows, after]
    share = -low / (high - low)
    error: Reals = false[rows, after - 1] + share * (false[rows, after] - false[rows, after - 1])
    return error


def average_precision(scores: Tensor, relevant: Tensor) -> Tensor:
    """Of each query (Q,): the mean, over what is relevant in its gallery, of the precision up to there.

    Scores (Q, G) and bool (Q, G), at least one relevant for each query. Of equal scores the irrelevant come first.
    """
    relevant, order = relevant.sort(dim=1, stable=True)
    ranked = relevant.gather(1, scores.gather(1, order).argsort(dim=1, descending=True, stable=True)).double()
    places = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    return (ranked * ranked.cumsum(dim=1) / places).sum(dim=1) / ranked.sum(dim=1)


def chance_precision(relevant: int, size: int) -> float:
    """Expected average precision of a random order of `size`, of which some are relevant."""
    harmonic = sum(1 / place for place in range(1, size + 1))
    return (harmonic + (relevant - 1) * (size - harmonic) / max(size - 1, 1)) / size


def nearness(queries: Tensor, gallery: Tensor, distance: Distance) -> Tensor:
    """Scores (Q, G) of queries (Q, D) in a gallery (G, D): larger is nearer."""
    queries, gallery = queries.double(), gallery.double()
    if distance == "cosine":
        return F.normalize(queries) @ F.normalize(gallery).T
    return -torch.cdist(queries, gallery, p={"l1": 1.0, "l2": 2.0}[distance])


def found_any(scores: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Whether any of the `k` best of a gallery is relevant, (Q,): scores and bool (Q, G). Ties miss.

    Speech2Face, Table 3: a gallery of several faces of each of 100 people.
    """
    best = scores.masked_fill(~relevant, -torch.inf).max(dim=1).values
    return torch.isfinite(best) & ((scores >= best[:, None]) & ~relevant).sum(dim=1).lt(k)


def chance_any(relevant: int, size: int, k: int) -> float:
    """Share of random orders of `size` that have one or more of the relevant among the first `k`."""
    return 1 - comb(size - relevant, k) / comb(size, k)


def resampled(owners: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> Reals:
    """How often each of N items counts (R, N) when their owners are drawn with replacement, as many as there are."""
    people, of = np.unique(owners, return_inverse=True)
    counts = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), resamples)
    times: Reals = counts[:, of].astype(np.float64)
    return times
