"""Score a trained system on people it never saw: real against generated faces, by a face network outside the loss.

Ten runs over other crops of the voices; intervals over the people. The protocol is SF2F's (section 4.2), with random
galleries; `authors` is that of the released evaluator.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from manifests.errors import DataError, UsageError
from manifests.table import write_text
from models import data, metrics, pack, tables
from models.data import Corpus, Draw
from models.judges import Judge
from models.report import save_grid
from models.state import Model

FRAMES_PER_S = 100
KS = (1, 2, 5, 10, 20, 50)
_AT_ONCE = 64  # people
_RESAMPLES = 2000
_TRIALS = 20_000
_SHOWN = 12  # people on the contact sheet
Protocol = Literal["default", "authors"]


@dataclass(frozen=True, slots=True)
class Listening:
    """How a voice is heard: how much of it, and whether windows of it are fused."""

    seconds: float
    fused: bool

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.seconds:g} s{', fused' if self.fused else ''}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, on whom, how often."""

    split: str = "test"
    protocol: Protocol = "default"
    runs: int = 10
    seconds: tuple[float, ...] = (1.25, 5.0)
    gallery: int = 100
    seed: int = 0


def default_judge(model: Model, protocol: Protocol) -> str:
    """The judge where none is named: the paper's in the authors' protocol, else dlib's.

    Raises UsageError where dlib's was in the loss.
    """
    if protocol == "authors":
        return "facenet"
    loss = model.facts["loss_judge"]
    if loss is not None and loss["name"] == "dlib":
        raise UsageError(
            "this model was trained against dlib's face network, which so cannot judge it: name another with --judge, "
            "`facenet` or a file that `models pretrain-face` wrote"
        )
    return "dlib"


def evaluate(model: Model, manifest: Path, judge: Judge, plan: Plan, cache: Path) -> tuple[dict[str, Any], Tensor]:
    """The report (JSON) and (people, columns, 3, S, S) real and generated faces for a contact sheet.

    Raises UsageError where the judge was in the loss (the authors' protocol allows it) or the system makes no faces.
    """
    _may_judge(model, judge, plan.protocol)
    system = model.system
    side = system.side(model.settings)
    corpus = _corpus(manifest, plan.split, model, side, cache, judge.device)
    wanted = metrics.references(judge, corpus, renormalised=plan.protocol == "default").to(judge.device)
    classify = _Gender(manifest, model, side, cache, judge)
    authors = plan.protocol == "authors"
    people = corpus.n_people
    places = metrics.consecutive(people) if authors else metrics.galleries(people, plan.gallery, plan.seed)
    rows, columns = [_real(corpus, wanted, places, judge)], [_first_faces(corpus)]
    for listening in _listenings(model, plan):
        runs = 1 if authors else plan.runs
        heard = [_hear(model, corpus, listening, plan, run, judge) for run in range(runs)]
        rows.append(_row(listening.name, [embedded for embedded, _ in heard], corpus, wanted, places, plan.seed))
        rows[-1] |= {"seconds": listening.seconds, "fused": listening.fused} | classify(heard[0][0], corpus)
        columns.append(heard[0][1])
    report = {
        "checkpoint": {
            "sha256": model.sha256,
            **{k: model.facts[k] for k in ("experiment", "system", "settings", "seed")},
        },
        "place": model.facts["place"],
        "loss_judge": model.facts["loss_judge"],
        "judge": {"name": judge.name, "sha256": judge.sha256},
        "data": {
            "manifest": corpus.packed.digest,
            "split": plan.split,
            "people": people,
            "front_end": corpus.packed.profile,
        },
        "left_out": corpus.packed.left_out,
        "protocol": {"name": plan.protocol, "seed": plan.seed, "gallery": [len(place) for place in places]},
        "gender_of_real_faces": classify.on_real,
        "rows": rows,
    }
    return report, torch.stack(columns, dim=1)


def _may_judge(model: Model, judge: Judge, protocol: Protocol) -> None:
    if not model.system.GENERATES:
        raise UsageError(f"experiment {model.facts['experiment']} makes no faces: there is nothing to score")
    loss = model.facts["loss_judge"]
    if protocol == "default" and loss is not None and loss["sha256"] == judge.sha256:
        raise UsageError(
            f"judge {judge.name} was in the loss of this model: name another with --judge, or use --protocol authors, "
            "which judges so"
        )


def _corpus(manifest: Path, split: str, model: Model, side: int, cache: Path, device: torch.device) -> Corpus:
    return data.load(pack.pack(manifest, split, model.system.FRONT_END, side, cache), device)


def _listenings(model: Model, plan: Plan) -> Iterator[Listening]:
    if plan.protocol == "authors":
        yield Listening(25.0, fused=model.fusing is not None)
        return
    for seconds in plan.seconds:
        yield Listening(seconds, fused=False)
        if model.fusing is not None and round(seconds * FRAMES_PER_S) > model.fusing.frames[0]:
            yield Listening(seconds, fused=True)


def _hear(
    model: Model, corpus: Corpus, listening: Listening, plan: Plan, run: int, judge: Judge
) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) of the faces made for one run over everybody's voices, and the first faces themselves."""
    rng = np.random.default_rng([plan.seed, run, round(listening.seconds * FRAMES_PER_S)])
    people = np.arange(corpus.n_people)
    found, shown = [], []
    for chunk in np.array_split(people, -(-len(people) // _AT_ONCE)):
        if plan.protocol == "authors":
            embedded, made = _as_authors(model, corpus, chunk, listening.fused, judge)
        else:
            made = model.system.faces(
                model.networks,
                model.settings,
                data.gather(corpus, _drawn(model, corpus, chunk, listening, rng), judge.device),
            )
            embedded = judge.embed(made)
        found.append(embedded)
        shown.append(made.cpu())
    return torch.cat(found), torch.cat(shown)[:_SHOWN]


def _drawn(model: Model, corpus: Corpus, people: data.Ints, listening: Listening, rng: np.random.Generator) -> Draw:
    """One random stretch of one recording each; fused: all windows of that stretch, half overlapping."""
    frames = round(listening.seconds * FRAMES_PER_S)
    clip = data.one_each(corpus.clips, people, rng)
    start = data.crop_start(corpus, clip, frames, rng)
    face = corpus.portraits[0][people]
    if not listening.fused:
        return Draw(clip, start, frames, people, face, people)
    assert model.fusing is not None
    window = model.fusing.frames[0]
    offsets = np.arange(0, frames - window + 1, window // 2)
    count = np.full(len(people), len(offsets))
    clips = np.repeat(clip[:, None], len(offsets), axis=1)
    return Draw(clips, start[:, None] + offsets, window, people, face, people, count)


def _as_authors(model: Model, corpus: Corpus, people: data.Ints, fused: bool, judge: Judge) -> tuple[Tensor, Tensor]:
    """Up to 20 windows of 125 frames per person, in order: one fused face, or the mean of the faces' embeddings."""
    clip, start, count = data.windows(corpus, people, 125, 125, 20, None)
    face = corpus.portraits[0][people]
    if fused:
        batch = data.gather(corpus, Draw(clip, start, 125, people, face, people, count), judge.device)
        made = model.system.faces(model.networks, model.settings, batch)
        return judge.embed(made), made
    means, firsts = [], []
    for row, person in enumerate(people):
        who, n = np.full(count[row], person), int(count[row])
        batch = data.gather(
            corpus, Draw(clip[row, :n], start[row, :n], 125, who, face[row].repeat(n), who), judge.device
        )
        made = model.system.faces(model.networks, model.settings, batch)
        means.append(judge.embed(made).mean(dim=0))
        firsts.append(made[0])
    return torch.stack(means), torch.stack(firsts)


def _first_faces(corpus: Corpus) -> Tensor:
    first = torch.from_numpy(corpus.portraits[0][:_SHOWN]).to(corpus.faces.device)
    return (corpus.faces[first].float() / 255).cpu()


def _real(corpus: Corpus, wanted: Tensor, places: list[Tensor], judge: Judge) -> dict[str, Any]:
    """The ceiling: a person's first real photograph in the place of a generated one, against the mean of the others."""
    first, count = corpus.portraits
    if (count < 2).any():
        return {"name": "real photograph", "why": f"{int((count < 2).sum())} people have one face only: no ceiling"}
    embedded = judge.embed(corpus.faces[torch.from_numpy(first).to(corpus.faces.device)].float() / 255)
    # The reference without this face: n / (n - 1) of the mean, less the face's own share.
    counts = torch.from_numpy(count).to(wanted)[:, None]
    means = metrics.references(judge, corpus, renormalised=False).to(wanted)
    others = torch.nn.functional.normalize(means * counts - embedded)
    return _row("real photograph", [embedded], corpus, others, places, 0)


def _row(
    name: str, found: list[Tensor], corpus: Corpus, wanted: Tensor, places: list[Tensor], seed: int
) -> dict[str, Any]:
    """The metrics of one listening, over all runs."""
    genders = list(corpus.packed.genders)
    everybody = [torch.arange(len(wanted))]
    row: dict[str, Any] = {
        "name": name,
        "runs": len(found),
        "people": len(wanted),
        "cosine": _figure([metrics.cosine(f, wanted) for f in found]),
        "l1": _figure([metrics.l1(f, wanted) for f in found]),
        "collapse": round(float(np.mean([metrics.collapse(f) for f in found])), 4),
    }
    for title, where in (("recall", places), ("recall_among_all", everybody)):
        people = min(len(place) for place in where)
        row[title] = {
            str(k): _figure([metrics.recall(f, wanted, where, k) for f in found])
            | {"chance": k / people, "gender_only": metrics.knows_gender_only(genders, where, k)}
            for k in KS
            if k < people
        }
    for title, same in (("matching", False), ("matching_same_gender", True)):
        pairs = metrics.impostors(genders, _TRIALS, same, seed).to(wanted.device)
        if len(pairs):
            right = [float(metrics.matching(f, wanted, pairs).float().mean()) for f in found]
            row[title] = _trials(float(np.mean(right)), len(pairs))
        else:
            row[title] = {"why": "no two people of one known gender"}
    return row


def _figure(per_run: list[Tensor]) -> dict[str, Any]:
    """Mean, deviation over the runs, and the 95 % interval over people of a per-person metric."""
    values = torch.stack(per_run).double().cpu().numpy()
    of_person = values.mean(axis=0)
    drawn = np.random.default_rng(0).choice(of_person, (_RESAMPLES, len(of_person))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "mean": float(of_person.mean()),
        "spread_over_runs": float(values.mean(axis=1).std()),
        "interval": [float(low), float(high)],
    }


def _trials(share: float, trials: int) -> dict[str, Any]:
    half = 1.96 * float(np.sqrt(share * (1 - share) / trials))
    return {"mean": share, "interval": [share - half, share + half], "trials": trials}


class _Gender:
    """Gender of generated faces, by a linear classifier on the judge's embeddings of real training faces."""

    def __init__(self, manifest: Path, model: Model, side: int, cache: Path, judge: Judge) -> None:
        try:
            train = _corpus(manifest, "train", model, side, cache, judge.device)
        except DataError as error:
            self._model, self.on_real = None, {"why": str(error)}
            return
        owner = train.packed.arrays["face_person"]
        genders = [train.packed.genders[i] for i in owner.tolist()]
        if not {"m", "f"} <= set(genders):
            self._model, self.on_real = None, {"why": "the training people are not known to be of both genders"}
            return
        embedded = torch.cat([judge.embed(part.float() / 255).cpu() for part in torch.split(train.faces, 64)])
        self._model = metrics.LinearGender(embedded, genders)
        self._judge = judge
        self.on_real = {}

    def __call__(self, embedded: Tensor, corpus: Corpus) -> dict[str, Any]:
        if self._model is None:
            return {"gender": self.on_real}
        genders = list(corpus.packed.genders)
        if not self.on_real:
            real = self._judge.embed(_every_first(corpus))
            self.on_real = _share(self._model.right(real, genders))
        return {"gender": _share(self._model.right(embedded, genders))}


def _every_first(corpus: Corpus) -> Tensor:
    return corpus.faces[torch.from_numpy(corpus.portraits[0]).to(corpus.faces.device)].float() / 255


def _share(right: Tensor) -> dict[str, Any]:
    if not len(right):
        return {"why": "nobody's gender is known"}
    return _trials(float(right.float().mean()), len(right))


def write(out: Path, report: dict[str, Any], shown: Tensor) -> list[Path]:
    """JSON, a Markdown table and a contact sheet, named by split, judge and protocol."""
    stem = f"{report['data']['split']}-{report['judge']['name']}-{report['protocol']['name']}"
    paths = [out / f"evaluation-{stem}{suffix}" for suffix in (".json", ".md", ".png")]
    write_text(paths[0], json.dumps(report, indent=2) + "\n")
    write_text(paths[1], tables.markdown([report]))
    save_grid(paths[2], shown.transpose(0, 1))
    return paths
