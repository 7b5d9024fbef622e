"""How strongly each term of a voice's loss pulls at the features it says, and weights that make them pull alike.

So Speech2Face chose its weights, after 1,000 iterations; with another face network they must be chosen again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from torch import Tensor

from manifests.errors import DataError, UsageError
from models import data, face_features
from models.evaluate import corpus_of
from models.face_features import FaceFeatures
from models.facts import named
from models.state import Model
from models.system import Batch, Losses


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one term."""

    norm: float  # of its gradient with respect to one voice's features, without its weight; a mean over voices
    weight: float  # that it has
    proposed: float  # with which it pulls as the first term does


def measure(
    model: Model, manifest: Path, cache: Path, batches: int, device: torch.device, seed: int = 0
) -> dict[str, Balance]:
    """Every term of the voice's loss by name, measured on batches of split `train`.

    Raises UsageError for a system whose loss has no such terms, Missing and DataError for data or weights that are
    absent or broken, and for a face network that is not the one trained with.
    """
    module = cast(ModuleType, model.system)
    if not hasattr(module, "terms"):
        raise UsageError(f"system {model.facts['system']} says no face features: there is nothing to balance")
    features = face_features.load(model.settings.features, device)
    learned = model.facts["features"]
    if learned != named(features):
        raise DataError(
            f"{model.settings.features} has sha256 {features.sha256}; this model learned the features of "
            f"{learned and learned['sha256']}: put that file back, or train anew"
        )
    corpus = corpus_of(model, manifest, "train", cache, device)
    phases = module.phases(model.settings)
    drawn = data.batches(corpus, replace(phases[-1], iterations=batches), seed, len(phases) - 1, 0, (0, 1), device)
    found = [norms(module, model, features, batch) for batch in drawn]
    mean = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
    return proposed(mean, module.weights(model.settings))


def proposed(pulls: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, Balance]:
    """The first term keeps its weight; the others are given the pull that it has with it."""
    first = next(iter(weights))
    wanted = weights[first] * pulls[first]
    return {
        name: Balance(pulls[name], weight, wanted / pulls[name] if pulls[name] else math.inf)
        for name, weight in weights.items()
    }


def norms(module: ModuleType, model: Model, features: FaceFeatures, batch: Batch) -> dict[str, float]:
    """The mean norm over voices of each term's gradient with respect to the features that a voice says."""
    with torch.no_grad():
        shown = features.features(batch.face, model.settings.rectified)
        said: Tensor = module.embed(model.networks, model.settings, batch)
    said.requires_grad_()
    terms: Losses = module.terms(model.networks, model.settings, features, said, shown)
    found = {}
    for name, term in terms.items():
        (gradient,) = torch.autograd.grad(term * len(said), said)  # a term is a mean over voices
        found[name] = float(gradient.norm(dim=1).mean())
    return found
