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
    mean distances of pairs of the same and of different genders; None where there are no such pairs.
    """
    x, y = cosine_distances(conditions, pairs), cosine_distances(faces, pairs)
    told: dict[str, Any] = {"pairs": len(pairs)} | correlation(x, y)
    known = torch.tensor([genders[a] is not None and genders[b] is not None for a, b in pairs.tolist()])
    alike = torch.tensor([genders[a] == genders[b] for a, b in pairs.tolist()])
    for name, chosen in (("same_gender", known & alike), ("different_gender", known & ~alike)):
        means = [float(values[chosen].mean()) if chosen.any() else None for values in (x, y)]
        told[name] = dict(zip(("conditions", "faces"), means, strict=True))
    return told


def correlation(x: Tensor, y: Tensor) -> dict[str, float | None]:
    """Pearson's r and its two-sided p-value; None where one of the two does not vary."""
    a, b = x.double().cpu().numpy(), y.double().cpu().numpy()
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return {"r": None, "p": None}
    found = pearsonr(a, b)
    return {"r": float(found.statistic), "p": float(found.pvalue)}


def preferred(one: Tensor, other: Tensor) -> Tensor:
    """QTA 2 (I2G): whether the inference network scores the one above the other, (N,) 0 or 1; ties count as wrong."""
    return (one > other).float()


def prior_convergence(features: Tensor, sizes: Sequence[int], seed: int) -> dict[str, float]:
    """L1 between the mean feature of n1 and of n2 images, for neighbouring `sizes` as "n1 - n2" (AR-SPM, Table 1).

    The smaller sample is part of the larger: the published distances fall as sqrt(1/n2 - 1/n1), which says so.
    Sizes beyond the number of images are left out.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    means = {n: features[order[:n].to(features.device)].double().mean(dim=0) for n in sizes if n <= len(features)}
    held = sorted(means)
    return {f"{n} - {m}": float((means[n] - means[m]).abs().sum()) for m, n in pairwise(held)}


def realness(logits: Tensor) -> dict[str, float]:
    """Mean and deviation (population) of a discriminator's output in 0..1 (voice2face)."""
    called = logits.double().sigmoid()
    return {"mean": float(called.mean()), "spread": float(called.std(correction=0)), "items": called.numel()}


def collapsed(found: Tensor, real: Tensor) -> bool:
    """The alarm: generated faces are more than halfway from as different as real people's to all the same.

    (N, D) embeddings of the faces, and references, of different people.
    """
    return metrics.collapse(found) > (1 + metrics.collapse(real)) / 2
