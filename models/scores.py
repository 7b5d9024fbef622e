"""The figures of a report: means over people and runs with 95 % intervals over the people, as JSON holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import distances, metrics

KS = (1, 2, 5, 10, 20, 50)
_RESAMPLES = 2000
_TRIALS = 20_000
_GROUPED_K = 10
Figure = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom generated faces are compared with."""

    wanted: Tensor  # (N, D) references
    real: Tensor  # (faces, D) embeddings of every real face
    genders: list[str | None]
    nationalities: list[str | None]
    places: list[Tensor]  # galleries
    seed: int
    epsilon: float = 0.0  # of the distances


def row(asked: Asked, runs: Sequence[Tensor]) -> Figure:
    """Every metric of one way of listening, from the embeddings (N, D) of each run."""
    wanted, genders = asked.wanted, asked.genders
    one: Figure = {
        "runs": len(runs),
        "people": len(wanted),
        "cosine": figure([metrics.cosine(found, wanted) for found in runs]),
        "l1": figure([metrics.l1(found, wanted, asked.epsilon) for found in runs]),
        "l2": figure([metrics.l2(found, wanted, asked.epsilon) for found in runs]),
        "cosine_to_others": _mean([metrics.to_others(found, wanted) for found in runs]),
        "collapse": _mean([metrics.collapse(found) for found in runs]),
        "collapsed": any(distances.collapsed(found, wanted) for found in runs),
        "frechet": {"mean": _mean([metrics.frechet(found, asked.real) for found in runs]), "real": len(asked.real)},
    }
    everybody = [torch.arange(len(wanted))]
    for title, places in (("recall", asked.places), ("recall_among_all", everybody)):
        one[title] = {
            str(k): figure([metrics.recall(found, wanted, places, k) for found in runs])
            | {"chance": metrics.chance(places, k), "gender_only": metrics.knows_gender_only(genders, places, k)}
            for k in KS
            if k < min(len(place) for place in places)
        }
    one["matching"] = _matched(asked, runs, same_gender=False)
    one["matching_same_gender"] = _matched(asked, runs, same_gender=True)
    one["groups"] = {
        "gender": _of_groups(asked, runs, asked.genders),
        "nationality": _of_groups(asked, runs, asked.nationalities),
    }
    return one


def _of_groups(asked: Asked, runs: Sequence[Tensor], groups: Sequence[str | None]) -> Figure:
    """Cosine and recall of the people of each known group, in the galleries of everybody."""
    k = _GROUPED_K if min(len(place) for place in asked.places) > _GROUPED_K else None
    placed = torch.cat(asked.places)  # the order of recall's values; people beyond the last gallery have none
    cosines = [metrics.cosine(found, asked.wanted).cpu() for found in runs]
    recalls = [] if k is None else [metrics.recall(found, asked.wanted, asked.places, k).cpu() for found in runs]
    told: Figure = {}
    for group in sorted({name for name in groups if name is not None}):
        of = torch.tensor([name == group for name in groups])
        told[group] = {"people": int(of.sum()), "cosine": figure([cosine[of] for cosine in cosines])}
        among = of[placed]
        if recalls and among.any():
            told[group][f"recall_{k}"] = figure([recall[among] for recall in recalls])
    return told


def _matched(asked: Asked, runs: Sequence[Tensor], same_gender: bool) -> Figure:
    """voice2face's trials; beside the interval over people, the binomial one over trials that the paper implies."""
    probes, others = metrics.impostors(asked.genders, _TRIALS, same_gender, asked.seed)
    if not len(probes):
        return {"why": "no two people of one known gender"}
    found = figure([metrics.matching(embeddings, asked.wanted, probes, others) for embeddings in runs])
    half = 1.96 * float(np.sqrt(found["mean"] * (1 - found["mean"]) / others.numel()))
    knowing = 0.5 if same_gender else metrics.matching_by_gender(asked.genders)
    return found | {"trials": others.numel(), "binomial": half, "chance": 0.5, "gender_only": knowing}


def figure(per_run: Sequence[Tensor]) -> Figure:
    """Mean of a metric given per person, (N,) for each run, and how sure it is.

    `spread_over_runs` is the deviation of the runs' means (population); `interval` the 95 % bootstrap interval over
    people, each with the mean of their runs; `items` the number of people.
    """
    values = torch.stack([run.double().cpu() for run in per_run]).numpy()
    of_person = values.mean(axis=0)
    drawn = np.random.default_rng(0).choice(of_person, (_RESAMPLES, len(of_person))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "mean": float(of_person.mean()),
        "spread_over_runs": float(values.mean(axis=1).std()),
        "interval": [float(low), float(high)],
        "items": len(of_person),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
