"""Metrics of features and conditions: distances in degrees, QTA 1 and 2, prior convergence, realness, collapse."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr
from torch import Tensor

from models import metrics
from models.matching_metrics import Reals, resampled

_RESAMPLES = 1000  # of the people
_DRAWS = 20  # of the images of priors
DISTANCES = ("L1", "L2", "unit L1", "unit L2", "cosine distance", "degrees")


def degrees(found: Tensor, wanted: Tensor) -> Tensor:
    """Angle of each row with its own reference, (N,), 0 to 180.

    Average these: the mean of angles is not the angle of the mean cosine.
    """
    cosine = F.cosine_similarity(found.double(), wanted.to(found.device).double())
    return cosine.clamp(-1, 1).arccos().rad2deg()


def feature_distances(found: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Every distance of `DISTANCES` of each row to its own reference, (N,) each (Speech2Face, AR-SPM).

    Raw L1 and L2 depend on the length of the features, so only the angles may be compared between networks.
    """
    found, wanted = found.double(), wanted.to(found.device).double()
    unit = F.normalize(found), F.normalize(wanted)
    return {
        "L1": metrics.l1(found, wanted),
        "L2": metrics.l2(found, wanted),
        "unit L1": metrics.l1(*unit),
        "unit L2": metrics.l2(*unit),
        "cosine distance": 1 - metrics.cosine(found, wanted),
        "degrees": degrees(found, wanted),
    }


def pairs_of_people(people: int, count: int, seed: int) -> Tensor:
    """`count` random pairs of different people, (count, 2)."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(people, (count,), generator=generator)
    return torch.stack([first, (first + torch.randint(1, people, (count,), generator=generator)) % people], dim=1)


def cosine_distances(embeddings: Tensor, pairs: Tensor) -> Tensor:
    """1 - cosine of the two people of each pair, (P,)."""
    of = embeddings.cpu().double()[pairs]
    return 1 - F.cosine_similarity(of[:, 0], of[:, 1])


def condition_follows(
    conditions: Tensor, faces: Tensor, genders: Sequence[str | None], pairs: Tensor
) -> dict[str, Any]:
    """QTA 1 (I2G): whether the embeddings of generated faces lie as far apart as the conditions they were made from.

    Row n of `conditions` and of `faces`, the embeddings, are person n's. Pearson's r over pairs with its p-value, and
    mean distances of pairs of the same and of different genders; None where there are no such pairs. Intervals are over
    people, with whom all their pairs come and go.
    """
    x, y = cosine_distances(conditions, pairs), cosine_distances(faces, pairs)
    times = people_drawn(len(conditions))
    first, second = pairs.numpy().T
    weights = times[:, first] * times[:, second]
    told: dict[str, Any] = {"pairs": len(pairs)} | correlation(x, y, weights)
    known = torch.tensor([genders[a] is not None and genders[b] is not None for a, b in pairs.tolist()])
    alike = torch.tensor([genders[a] == genders[b] for a, b in pairs.tolist()])
    for name, chosen in (("same_gender", known & alike), ("different_gender", known & ~alike)):
        kept = weights[:, chosen.numpy()]
        told[name] = {
            of: _mean(values[chosen], kept) if chosen.any() else None
            for of, values in (("conditions", x), ("faces", y))
        }
    return told


def people_drawn(people: int) -> Reals:
    """How often each person counts in each bootstrap sample, (samples, people)."""
    if not people:
        return np.empty((_RESAMPLES, 0))
    return resampled(np.arange(people), _RESAMPLES, np.random.default_rng(0))


def correlation(x: Tensor, y: Tensor, weights: Reals) -> dict[str, Any]:
    """Pearson's r with its interval, and its two-sided p-value; None where one of the two does not vary.

    `weights` (samples, N) say how often each pair of values counts in each bootstrap sample.
    """
    a, b = x.double().cpu().numpy(), y.double().cpu().numpy()
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return {"r": None, "p": None}
    found = pearsonr(a, b)
    a, b = a - a.mean(), b - b.mean()
    with np.errstate(invalid="ignore", divide="ignore"):  # samples in which nothing varies have no r
        mean_a, mean_b, square_a, square_b, product = (_weighted(v, weights) for v in (a, b, a * a, b * b, a * b))
        drawn = (product - mean_a * mean_b) / np.sqrt((square_a - mean_a**2) * (square_b - mean_b**2))
    return {"r": _figure(float(found.statistic), drawn, len(a)), "p": float(found.pvalue)}


def _mean(values: Tensor, weights: Reals) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):  # samples may hold no pair of the kind
        return _figure(float(values.mean()), _weighted(values.numpy(), weights), len(values))


def _weighted(values: Reals, weights: Reals) -> Reals:
    """The mean of values (N,) in each bootstrap sample, (samples,)."""
    means: Reals = weights @ values / weights.sum(axis=1)
    return means


def _figure(mean: float, drawn: Reals, items: int) -> dict[str, Any]:
    """A mean with its 95 % interval, from what bootstrap samples gave; without one where none gave anything."""
    held = drawn[np.isfinite(drawn)]
    told: dict[str, Any] = {"mean": mean, "items": items}
    return told | ({"interval": np.percentile(held, [2.5, 97.5]).tolist()} if len(held) else {})


def preferred(one: Tensor, other: Tensor) -> Tensor:
    """QTA 2 (I2G): whether the inference network scores the one above the other, (N,) 0 or 1; ties count as wrong."""
    return (one > other).float()


def prior_convergence(features: Tensor, sizes: Sequence[int], seed: int) -> dict[str, dict[str, Any]]:
    """L1 between the mean feature of n1 and of n2 images, for neighbouring `sizes` as "n1 - n2" (AR-SPM, Table 1).

    The smaller sample is part of the larger: the published distances fall as sqrt(1/n2 - 1/n1), which says so.
    Sizes beyond the number of images are left out. Means over several draws of the images; where 95 % of a single
    draw's distances lie is the `interval`, from their deviation: to draw people would add its own noise to an L1.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {}
    for _ in range(_DRAWS):
        order = torch.randperm(len(features), generator=generator)
        means = {
            n: features[order[:n].to(features.device)].mean(dim=0, dtype=torch.double)
            for n in sizes
            if n <= len(features)
        }
        for m, n in pairwise(sorted(means)):
            found.setdefault(f"{n} - {m}", []).append(float((means[n] - means[m]).abs().sum()))
    told = {}
    for name, values in found.items():
        mean, half = float(np.mean(values)), 1.96 * float(np.std(values, ddof=1))
        told[name] = {"mean": mean, "interval": [mean - half, mean + half], "items": int(name.partition(" ")[0])}
    return told


def realness(logits: Tensor) -> Tensor:
    """A discriminator's output on each face in 0..1, (N,) (voice2face)."""
    return logits.double().sigmoid().flatten()


def collapsed(found: Tensor, real: Tensor) -> bool:
    """The alarm: generated faces are more than halfway from as different as real people's to all the same.

    (N, D) embeddings of the faces, and references, of different people.
    """
    return metrics.collapse(found) > (1 + metrics.collapse(real)) / 2
