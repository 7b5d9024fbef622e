"""Score a trained system on people it never saw: generated against real faces, by a face network outside the loss.

Ten runs over other stretches of the voices; intervals over the people. The protocol is SF2F's (section 4.2), with
random galleries; `authors` is that of the released evaluator. The JSON report holds:

    format       what wrote it, and of which form
    checkpoint   sha256, experiment, system, settings, seed, place in the run, validation metric that it is the best by
                 (or null), parameters by network
    trained_on   digest of the manifest, front end, VAD, number of identities, judge of the loss, judge of the
                 validation and network whose features were learned from (name, sha256; or null)
    judge        name, sha256: the face network that scored
    classifier   name, sha256: of the VGGFace Score; or `why` there is none
    data         manifest (digest), split, people, front end, left out (people by what they lack)
    protocol     name, seed, gallery: the sizes, gt_renorm: whether people's mean embeddings are of unit length again
    versions     hq-vox, torch
    real         the ceiling: one real photograph of each person against their others, as a row; or `why` there is none
    gender_probe accuracy of the linear gender probe on those photographs; or `why` there is none
    rows         one for each way of listening: name, way, seconds (shortest and longest), runs, people, and
                 cosine, l1, l2, recall.K, recall_among_all.K, matching, matching_same_gender, gender,
                 closed_set.top_K     each {mean, spread_over_runs, interval: [low, high], items, …} or {why}
                 cosine_to_others, collapse, collapsed (the alarm), frechet.mean, vfs.rgb and vfs.bgr {mean,
                 spread_over_splits, items: the faces}; groups.gender and groups.nationality: {people, cosine,
                 recall_10} of each group

All shares are fractions. `chance` and `gender_only` stand beside the metrics that have them.
"""

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from manifests.errors import DataError, UsageError
from manifests.table import digest_of, write_text
from models import data, listening, metrics, pack, probes, scores, tables
from models.data import Corpus
from models.judges import Judge
from models.listening import Classes
from models.scores import Asked, Figure
from models.sheet import contact_sheet
from models.state import Model, expect_faces

_SHOWN = 12  # people on the contact sheet
_AUTHORS_EPSILON = 1e-6  # which their distances add to every difference
Protocol = Literal["default", "authors"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, on whom, how often."""

    split: str = "test"
    protocol: Protocol = "default"
    runs: int = 10
    seconds: tuple[float, ...] = (1.25, 5.0)
    gallery: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the contact sheet shows."""

    columns: tuple[str, ...]
    faces: Tensor  # (people, columns, 3, S, S) uint8


def default_judge(model: Model, protocol: Protocol) -> str:
    """The judge where none is named: the paper's in the authors' protocol, else dlib's.

    Raises UsageError where dlib's was in the loss.
    """
    if protocol == "authors":
        return "facenet"
    loss = model.facts.get("loss_judge")
    if loss is not None and loss["name"] == "dlib":
        raise UsageError(
            "this model was trained against dlib's face network, which so cannot judge it: name another with --judge, "
            "`facenet` or a file that `models pretrain-face` wrote"
        )
    return "dlib"


def evaluate(model: Model, manifest: Path, judge: Judge, plan: Plan, cache: Path) -> tuple[Figure, Sheet]:
    """The report, and faces to look at.

    Raises UsageError where the judge was in the loss (the authors' protocol allows it) or the system makes no faces,
    DataError for a split of one person and for mels that were made otherwise than those the model was trained on.
    """
    _may_judge(model, judge, plan.protocol)
    authors = plan.protocol == "authors"
    corpus = corpus_of(model, manifest, plan.split, cache, judge.device)
    people = corpus.n_people
    if people < 2:
        raise DataError(f"{manifest}: split {plan.split} has one person: nobody to tell them from")
    real, owner = metrics.embedded(judge, corpus), metrics.owners(corpus)
    asked = Asked(
        wanted=metrics.mean_of_each(real, owner, people, renormalised=not authors),
        real=real,
        genders=list(corpus.packed.genders),
        nationalities=list(corpus.packed.nationalities),
        places=_places(plan, people),
        seed=plan.seed,
        epsilon=_AUTHORS_EPSILON if authors else 0.0,
    )
    classes, classifier = probes.classifier(judge.device)
    known = _known(model, manifest, cache, judge)
    firsts = torch.from_numpy(corpus.portraits[0])
    photograph = real[firsts.to(real.device)]
    rows, columns, shown = [], ["real"], [corpus.faces[firsts[:_SHOWN].to(corpus.faces.device)].cpu()]
    for how in listening.authors(model) if authors else listening.default(model, plan.seconds):
        runs = 1 if authors else plan.runs
        heard = [listening.hear(model, corpus, how, judge, (plan.seed, run), classes) for run in range(runs)]
        found = [made.embeddings for made in heard]
        rows.append(
            {"name": how.name, "way": how.way, "seconds": [frames / listening.FRAMES_PER_S for frames in how.frames]}
            | scores.row(asked, found)
            | {
                "gender": known.gender_of(found, asked.genders),
                "closed_set": known.closed_set(model, how, judge, plan.seed),
                "vfs": probes.face_score([made.classes for made in heard], classifier.get("why", ""), plan.seed),
            }
        )
        columns.append(how.name)
        shown.append(heard[0].faces[:_SHOWN])
    report = {
        "format": tables.FORMAT,
        **made_of(model, corpus),
        "judge": {"name": judge.name, "sha256": judge.sha256},
        "classifier": classifier,
        "protocol": {
            "name": plan.protocol,
            "seed": plan.seed,
            "gallery": [len(place) for place in asked.places],
            "gt_renorm": not authors,
        },
        "real": _ceiling(asked, corpus, photograph, plan, classes),
        "gender_probe": known.gender_of([photograph], asked.genders),
        "rows": rows,
    }
    return report, Sheet(tuple(columns), torch.stack(shown, dim=1))


def _may_judge(model: Model, judge: Judge, protocol: Protocol) -> None:
    expect_faces(model)
    loss = model.facts.get("loss_judge")
    if protocol == "default" and loss is not None and loss["sha256"] == judge.sha256:
        raise UsageError(
            f"judge {judge.name} was in the loss of this model: name another with --judge, or use --protocol authors, "
            "which judges so"
        )


def corpus_of(model: Model, manifest: Path, split: str, cache: Path, device: torch.device) -> Corpus:
    """A split as the model hears and sees it. Raises DataError for recordings that were cut otherwise than its own."""
    packed = pack.pack(manifest, split, model.system.FRONT_END, model.system.side(model.settings), cache)
    if packed.vad != model.facts["vad"]:
        raise DataError(
            f"{manifest} was made with the voice activity detection {packed.vad!r}, this model hears what "
            f"{model.facts['vad']!r} leaves: set `voices.vads` in params.yaml, then `pipeline run voices manifest`"
        )
    return data.load(packed, device)


def _known(model: Model, manifest: Path, cache: Path, judge: Judge) -> probes.Known:
    try:
        return probes.known(
            corpus_of(model, manifest, "train", cache, judge.device), judge, model.facts.get("manifest")
        )
    except DataError as error:
        return probes.unknown(str(error))


def _places(plan: Plan, people: int) -> list[Tensor]:
    if plan.protocol == "authors":
        return metrics.consecutive(people)
    return metrics.galleries(people, plan.gallery, plan.seed)


def _ceiling(asked: Asked, corpus: Corpus, photograph: Tensor, plan: Plan, classes: Classes | None) -> Figure:
    """A real photograph in the place of a generated face, against the mean of the person's others."""
    counts = torch.from_numpy(corpus.portraits[1]).to(asked.real.device)
    having = (counts > 1).nonzero().flatten()
    if len(having) < 2:
        return {"why": "fewer than two people have a second photograph"}
    means = metrics.mean_of_each(asked.real, metrics.owners(corpus), corpus.n_people, renormalised=False)
    others = (means * counts[:, None] - photograph)[having] / (counts[having, None] - 1)
    among = replace(
        asked,
        wanted=others if plan.protocol == "authors" else torch.nn.functional.normalize(others),
        genders=[asked.genders[i] for i in having.tolist()],
        nationalities=[asked.nationalities[i] for i in having.tolist()],
        places=_places(plan, len(having)),
    )
    found: list[dict[str, Tensor]] = [] if classes is None else [classes(_floats(corpus.faces))]
    return {
        "name": "real photograph",
        **scores.row(among, [photograph[having]]),
        "vfs": probes.face_score(found, "no classifier", plan.seed),
    }


def _floats(faces: Tensor) -> Tensor:
    return faces.float() / 255


def made_of(model: Model, corpus: Corpus) -> Figure:
    """What the figures depend on, but for the judge: checkpoint, training, data, versions."""
    facts, packed = model.facts, corpus.packed
    sizes = {name: sum(weight.numel() for weight in one.parameters()) for name, one in model.networks.items()}
    return {
        "checkpoint": {
            "sha256": model.sha256,
            **{name: facts[name] for name in ("experiment", "system", "settings", "seed", "place")},
            "chosen_by": facts.get("chosen_by"),
            "parameters": sizes,
        },
        "trained_on": {
            name: facts.get(name)
            for name in ("manifest", "front_end", "vad", "n_identities", "loss_judge", "validation_judge", "features")
        },
        "data": {
            "manifest": packed.digest,
            "split": packed.split,
            "people": corpus.n_people,
            "front_end": packed.profile,
            "left_out": packed.left_out,
        },
        "versions": {"hq-vox": version("hq-vox"), "torch": torch.__version__, "python": platform.python_version()},
    }


def write(out: Path, report: dict[str, Any], sheet: Sheet, plan: Plan) -> list[Path]:
    """JSON, a Markdown table and a contact sheet; their names tell judge and `stem`'s apart."""
    judge = f"{report['judge']['name']}-{report['judge']['sha256'][:8]}"
    changed = plan != Plan(split=plan.split, protocol=plan.protocol)
    name = stem(("evaluation", report["data"]["split"], judge, report["protocol"]["name"]), report, plan, changed)
    paths = [out / f"{name}{suffix}" for suffix in (".json", ".md", ".png")]
    write_text(paths[0], json.dumps(report, indent=2) + "\n")
    write_text(paths[1], tables.markdown([report]))
    contact_sheet(paths[2], sheet.columns, np.asarray(sheet.faces))
    return paths


def stem(names: Sequence[str], report: Figure, plan: Any, changed: bool) -> str:
    """A report's file name, by checkpoint and manifest, and by the plan where that is `changed` from the default."""
    digests = (report["checkpoint"]["sha256"][:8], report["data"]["manifest"][:8])
    planned = (digest_of(asdict(plan))[:8],) if changed else ()
    return re.sub(r"[^\w-]", "_", "-".join((*names, *digests, *planned)))
