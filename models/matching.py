"""Score a system that matches voices and faces on people it never saw: K-way choices, verification, retrieval.

Recordings are heard in whole seconds from their start. Intervals are over people. The JSON report holds `checkpoint`,
`trained_on`, `data` and `versions` as `models.evaluate` describes them, and:

    format        what wrote it, and of which form
    protocol      seed, runs, trials of each run at least, seconds of a recording and media of a person at most
    choices       one for each way (V-F: a voice asks faces; F-V), K and stratum (U: impostors are anybody; G, N, GN: of
                  the same gender, nationality, both): way, candidates, stratum and {mean, spread_over_runs, interval,
                  items, trials, chance, gender_only} or {why}
    groups        accuracy of V-F (else F-V) with fewest candidates, U, by the gender and by the nationality of who asks
    verification  by stratum: pairs, and eer and auc {mean, interval, chance}; or {why}
    retrieval     by way: gallery, map {mean, interval, chance, …}, among: {people, of_each, k: {mean, chance, …}};
                  or {why}

All shares are fractions.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manifests.errors import DataError, UsageError
from manifests.table import write_text
from models import matching_media, matching_scores, matching_tables
from models.data import Corpus
from models.evaluate import corpus_of, made_of, stem
from models.matching_scores import STRATA, WAYS, Asked, Plan
from models.scores import Figure
from models.state import Model
from models.system import matcher


def evaluate(model: Model, manifest: Path, plan: Plan, cache: Path, device: torch.device) -> Figure:
    """The report.

    Raises UsageError where the system matches nothing, DataError for a split of one person and for recordings that were
    cut otherwise than those the model was trained on.
    """
    if not model.system.MATCHES:
        raise UsageError(f"experiment {model.facts['experiment']} matches nothing: name a checkpoint of one that does")
    corpus = corpus_of(model, manifest, plan.split, cache, device)
    if corpus.n_people < 2:
        raise DataError(f"{manifest}: split {plan.split} has one person: nobody to tell them from")
    asked = _asked(model, corpus, plan)
    sizes = {way: matcher(model.system).sizes(model.settings, way) for way in WAYS}
    free = all(size is None for size in sizes.values())
    single = {"why": "its head takes a gallery of one size: scores of single pairs cannot be compared"}
    return {
        "format": matching_tables.FORMAT,
        **made_of(model, corpus),
        "protocol": {name: value for name, value in asdict(plan).items() if name != "split"},
        "choices": list(matching_scores.choices(asked, sizes)),
        "groups": matching_scores.groups(asked, sizes),
        "verification": {name: matching_scores.verified(asked, name) for name in STRATA} if free else single,
        "retrieval": {way: matching_scores.retrieved(asked, way) for way in WAYS} if free else single,
    }


def _asked(model: Model, corpus: Corpus, plan: Plan) -> Asked:
    rng = np.random.default_rng([plan.seed, 0])
    genders, nationalities = list(corpus.packed.genders), list(corpus.packed.nationalities)
    both = [None if None in pair else "/".join(map(str, pair)) for pair in zip(genders, nationalities, strict=True)]
    strata: dict[str, list[str | None]] = {
        "U": ["anybody"] * corpus.n_people,
        "G": genders,
        "N": nationalities,
        "GN": both,
    }
    media = {
        "V": matching_media.recordings(model, corpus, plan.most, plan.longest_s, rng),
        "F": matching_media.faces(model, corpus, plan.most, rng),
    }
    return Asked(model, plan, media, strata, genders, nationalities)


def write(out: Path, report: dict[str, Any], plan: Plan) -> list[Path]:
    """JSON and a Markdown table, named as `evaluate.stem` does."""
    name = stem(("matching", report["data"]["split"]), report, plan, plan != Plan(split=plan.split))
    paths = [out / f"{name}{suffix}" for suffix in (".json", ".md")]
    write_text(paths[0], json.dumps(report, indent=2) + "\n")
    write_text(paths[1], matching_tables.markdown([report]))
    return paths
