"""The figures of a system that matches: accuracy of choices, verification, retrieval; as a report's JSON holds them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from manifests.errors import DataError
from models import data, matching_media, matching_metrics, metrics
from models.data import Ints
from models.matching_media import Media
from models.matching_metrics import Reals, Trials
from models.scores import Figure, figure
from models.state import Model
from models.system import Way, matcher

WAYS: tuple[Way, ...] = ("V-F", "F-V")
STRATA = ("U", "G", "N", "GN")  # whose impostors are anybody, of the same gender, nationality, both
_PLOTTED = tuple(range(2, 11))  # numbers of candidates
_STRATIFIED = (2, 10)  # those with impostors like the person too
_KS = (1, 2, 5, 10)
_AMONG = 100  # people of a gallery of several media each
_RESAMPLES, _BLOCKS = 2000, 20  # of the people, and how many parts they are worked through in
_AT_ONCE = 32  # queries
_SCORED_AT_ONCE = 1 << 20  # embeddings of candidates, times their numbers
Sizes = Mapping[Way, tuple[int, ...] | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, on whom, how often."""

    split: str = "test"
    seed: int = 0
    runs: int = 5  # draws of impostors
    trials: int = 4000  # of each run, at least
    longest_s: int = 60  # so that a rare long recording does not take all memory; a system may hear less
    most: int = 20  # recordings, and faces, of a person


@dataclass(frozen=True, slots=True)
class Asked:
    """A model, and what it makes of a split."""

    model: Model
    plan: Plan
    media: dict[str, Media]  # by V and F
    strata: dict[str, list[str | None]]  # whom each person's impostors are drawn from, by name
    genders: list[str | None]
    nationalities: list[str | None]

    def scores(self, probes: Tensor, gallery: Tensor, way: Way) -> Tensor:
        """(B, K) of probes (B, D) and galleries (B, K, D), in pieces, on the CPU.

        Raises DataError if any is not finite.
        """
        many = max(1, _SCORED_AT_ONCE // (gallery.shape[1] * gallery.shape[2]))
        system, held = matcher(self.model.system), (self.model.networks, self.model.settings)
        parts = zip(torch.split(probes, many), torch.split(gallery, many), strict=True)
        found = torch.cat([system.scores(*held, probe, each, way).float().cpu() for probe, each in parts])
        if not torch.isfinite(found).all():
            raise DataError("scores that are not finite: the training went wrong, evaluate another checkpoint")
        return found


def choices(asked: Asked, sizes: Sizes) -> Iterator[Figure]:
    """Accuracy each way, by the number of candidates and the stratum of their impostors."""
    for way in WAYS:
        able = sizes[way]
        for candidates in _PLOTTED if able is None else able:
            for stratum in STRATA if able is not None or candidates in _STRATIFIED else STRATA[:1]:
                told = {"way": way, "candidates": candidates, "stratum": stratum}
                yield told | _accuracy(asked, way, candidates, stratum)


def _accuracy(asked: Asked, way: Way, candidates: int, stratum: str) -> Figure:
    groups = asked.strata[stratum]
    runs = [_run(asked, way, candidates, stratum, run)[1] for run in range(asked.plan.runs)]
    if not len(runs[0]):
        return {"why": f"nobody has {candidates - 1} known impostors"}
    return figure([run.double().mean(dim=1) for run in runs]) | {
        "trials": runs[0].numel() * len(runs),
        "chance": 1 / candidates,
        "gender_only": metrics.matching_by_gender(asked.genders, candidates, groups),
    }


def _run(asked: Asked, way: Way, candidates: int, stratum: str, run: int) -> tuple[Trials, Tensor]:
    """The trials of one run, and whether each was right (P, T)."""
    trials, scores = _trials(asked, way, candidates, stratum, run)
    return trials, matching_metrics.right(scores, torch.from_numpy(trials.place))


def _trials(asked: Asked, way: Way, candidates: int, stratum: str, run: int) -> tuple[Trials, Tensor]:
    """Trials of one run, and the scores of their candidates (P, T, K)."""
    rng = np.random.default_rng([asked.plan.seed, 1, run, WAYS.index(way), candidates, STRATA.index(stratum)])
    trials = matching_metrics.trials(asked.strata[stratum], candidates, asked.plan.trials, rng)
    people, each, _ = trials.people.shape
    if not people:
        return trials, torch.empty(trials.people.shape)
    of_probes, of_gallery = (asked.media[kind] for kind in way.split("-"))
    probe = data.one_each(of_probes.owned, np.repeat(trials.probes, each), rng)
    gallery = data.one_each(of_gallery.owned, trials.people.reshape(-1, candidates), rng)
    scores = asked.scores(of_probes.embeddings[probe], of_gallery.embeddings[gallery], way)
    return trials, scores.view(people, each, candidates)


def groups(asked: Asked, sizes: Sizes) -> Figure:
    """Accuracy of the people of each gender, and of each nationality."""
    able = sizes["V-F"]
    way: Way = "V-F" if able is None or able else "F-V"
    candidates = min(sizes[way] or _PLOTTED)
    runs = [_run(asked, way, candidates, "U", run) for run in range(asked.plan.runs)]
    if not len(runs[0][1]):
        return {"why": f"nobody has {candidates - 1} impostors"}
    probes, shares = runs[0][0].probes, [right.double().mean(dim=1) for _, right in runs]
    found: Figure = {"way": way, "candidates": candidates}
    for name, values in (("gender", asked.genders), ("nationality", asked.nationalities)):
        of = np.array([values[i] or "" for i in probes])
        found[name] = {
            value: figure([share[torch.from_numpy(of == value)] for share in shares]) for value in sorted({*of} - {""})
        }
    return found


def verified(asked: Asked, stratum: str) -> Figure:
    """Equal error rate and area under the ROC over as many pairs of one person as of two, a voice and a face each."""
    trials, scores = _trials(asked, "V-F", 2, stratum, 0)
    if not len(trials.probes):
        return {"why": "no two people of one known group"}
    same = (np.arange(2) == trials.place[..., None]).ravel()
    flat = scores.double().numpy().ravel()
    owners = np.repeat(trials.probes, flat.size // len(trials.probes))
    rng = np.random.default_rng(asked.plan.seed)
    curve, measured = matching_metrics.roc(flat, same), {"eer": matching_metrics.eer, "auc": matching_metrics.auc}
    again: dict[str, list[Reals]] = {name: [] for name in measured}
    for _ in range(_BLOCKS):
        times = matching_metrics.resampled(owners, _RESAMPLES // _BLOCKS, rng)
        resampled = matching_metrics.roc(flat, same, times)
        for name, measure in measured.items():
            again[name].append(measure(*resampled))
    found: Figure = {"pairs": len(flat)}
    for name, measure in measured.items():
        low, high = np.percentile(np.concatenate(again[name]), [2.5, 97.5])
        found[name] = {"mean": float(measure(*curve)[0]), "interval": [float(low), float(high)], "chance": 0.5}
    return found


def retrieved(asked: Asked, way: Way) -> Figure:
    """Mean average precision with everything as gallery; hits among 100 people of several media each."""
    queries, gallery = (asked.media[kind] for kind in way.split("-"))
    precision = torch.cat(
        [
            matching_metrics.average_precision(
                _ranked(asked, part, gallery, way), _relevant(queries.owner[part], gallery)
            )
            for part in _split(len(queries.owner))
        ]
    )
    people = len(queries.owned[0])
    mean = torch.zeros(people, dtype=torch.double).index_add_(0, torch.from_numpy(queries.owner), precision)
    chance = [matching_metrics.chance_precision(int(count), len(gallery.owner)) for count in gallery.owned[1]]
    return {
        "gallery": len(gallery.owner),
        "map": figure([mean / torch.from_numpy(queries.owned[1])]) | {"chance": float(np.mean(chance))},
        "among": _among(asked, way),
    }


def _among(asked: Asked, way: Way) -> Figure:
    """Whether the person is among the first K of the media of 100 people, as many of each (Speech2Face, Table 3)."""
    queries, gallery = (asked.media[kind] for kind in way.split("-"))
    places = metrics.galleries(len(queries.owned[0]), _AMONG, asked.plan.seed)
    each = int(gallery.owned[1].min())
    hits: dict[int, list[Tensor]] = {k: [] for k in _KS if k < len(places[0])}
    for run in range(asked.plan.runs):
        rng = np.random.default_rng([asked.plan.seed, 2, run])
        found = []
        for place in places:
            owned = gallery.owned[0][place.numpy()], gallery.owned[1][place.numpy()]
            media = matching_media.some(owned, each, rng)
            held = Media(gallery.embeddings[media], gallery.owner[media], owned)
            query = data.one_each(queries.owned, place.numpy(), rng)
            found.append((_ranked(asked, query, held, way), _relevant(queries.owner[query], held)))
        for k, runs in hits.items():
            runs.append(torch.cat([matching_metrics.found_any(*scored, k).double() for scored in found]))
    size = len(places[0])
    return {"people": size, "of_each": each} | {
        str(k): figure(runs) | {"chance": matching_metrics.chance_any(each, each * size, k)} for k, runs in hits.items()
    }


def _ranked(asked: Asked, queries: Ints, gallery: Media, way: Way) -> Tensor:
    """Scores (Q, G) of all of a gallery."""
    kind = way[0]
    probes = asked.media[kind].embeddings[queries]
    return asked.scores(probes, gallery.embeddings.expand(len(probes), -1, -1), way)


def _relevant(owners: Ints, gallery: Media) -> Tensor:
    return torch.from_numpy(owners[:, None] == gallery.owner)


def _split(count: int) -> list[Ints]:
    return np.array_split(np.arange(count), -(-count // _AT_ONCE))
