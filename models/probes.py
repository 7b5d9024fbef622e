"""Scores that ask more than the split's own faces: VGGFace Score, gender by a linear probe, closed-set identity."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manifests import weights
from manifests.errors import Missing
from models import listening, metrics, vggface2
from models.data import Corpus
from models.judges import Judge
from models.listening import Classes, Listening
from models.scores import Figure, figure
from models.state import Model

CLASSIFIER = "vggface2-resnet50"
_SPLITS = 5
_ORDERS: tuple[vggface2.Order, ...] = ("rgb", "bgr")


def classifier(device: torch.device) -> tuple[Classes | None, Figure]:
    """What gives a face its classes for the VGGFace Score, with its name and sha256; None and why there is none."""
    try:
        network = vggface2.load(device)
    except Missing as error:
        return None, {"why": str(error)}

    def classes(faces: Tensor) -> dict[str, Tensor]:
        return {order: vggface2.probabilities(network, faces, order) for order in _ORDERS}

    return classes, {"name": CLASSIFIER, "sha256": weights.digest(CLASSIFIER)}


def face_score(of_runs: Sequence[dict[str, Tensor]], why: str, seed: int) -> Figure:
    """VGGFace Score over the faces of all runs: mean and deviation (population) over five splits, by colour order."""
    faces = sum(len(next(iter(run.values()))) for run in of_runs if run)
    if not faces:
        return {"why": why}
    if faces < _SPLITS:
        return {"why": f"{faces} faces cannot be cut into {_SPLITS} splits"}
    of_order = {order: scored(torch.cat([run[order] for run in of_runs]), seed) for order in _ORDERS}
    return {"faces": faces, "splits": _SPLITS} | of_order


def scored(probabilities: Tensor, seed: int) -> Figure:
    """The score of faces' classes (N, classes) over five splits; it grows with N, which so stands beside it."""
    scores = metrics.face_score(probabilities, _SPLITS, seed)
    return {
        "mean": float(scores.mean()),
        "spread_over_splits": float(scores.std(correction=0)),
        "items": len(probabilities),
    }


@dataclass(frozen=True, slots=True)
class Known:
    """Training people, by whose real faces others are judged."""

    corpus: Corpus | None  # None: there are none to be named in a closed set, for the reason `why`
    references: Tensor  # (people, D)
    gender: metrics.LinearGender | None
    why: str
    why_no_gender: str

    def gender_of(self, runs: Sequence[Tensor], genders: list[str | None]) -> Figure:
        """Share of faces (N, D) of each run that the probe calls their person's gender; chance: always the commoner."""
        if self.gender is None:
            return {"why": self.why_no_gender}
        right = [self.gender.right(found, genders).float() for found in runs]
        if not len(right[0]):
            return {"why": "nobody's gender is known"}
        return figure(right) | {"chance": max(map(genders.count, ("f", "m"))) / len(right[0]), "gender_only": 1.0}

    def closed_set(self, model: Model, how: Listening, judge: Judge, seed: int) -> Figure:
        """Faces for recordings of the training people, named by the nearest of all their references.

        voice2face, section 5: the recordings were trained on. One face of each person.
        """
        if self.corpus is None:
            return {"why": self.why}
        found = listening.hear(model, self.corpus, how, judge, (seed, 0)).embeddings
        people = self.corpus.n_people
        return {"people": people} | {
            f"top_{k}": figure([metrics.hits(found, self.references, k).float()]) | {"chance": k / people}
            for k in (1, 5)
            if k < people
        }


def known(corpus: Corpus, judge: Judge, manifest: str | None) -> Known:
    """Training people of the manifest at hand; only if its digest is `manifest` did the model hear them."""
    real, owner = metrics.embedded(judge, corpus), metrics.owners(corpus)
    genders = [corpus.packed.genders[i] for i in owner.tolist()]
    both = {"m", "f"} <= set(genders)
    heard = corpus.packed.digest == manifest
    return Known(
        corpus if heard else None,
        metrics.mean_of_each(real, owner, corpus.n_people),
        metrics.LinearGender(real, genders) if both else None,
        "" if heard else "the model was trained on another manifest",
        ""
        if both
        else "the training people are not known to be of both genders: column `gender` of the manifest, which "
        "`pipeline run` fills from the files of voices.metadata in params.yaml",
    )


def unknown(why: str) -> Known:
    """Nobody."""
    return Known(None, torch.empty(0, 0), None, why, why)
