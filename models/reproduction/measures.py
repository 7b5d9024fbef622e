"""What several ids measure alike: evaluations as tables, faces side by side, curves of losses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from manifests.errors import HqvoxError
from models import charts, data, listening, report
from models.data import Corpus, Draw
from models.listening import FRAMES_PER_S, Listening
from models.reproduction.entry import Entry, Found, Line, Member, Table, Value
from models.reproduction.lab import SECONDS, Lab
from models.scores import Figure
from models.sheet import contact_sheet
from models.state import Model
from models.system import Batch

T = TypeVar("T")
RECALLS = ("R@1", "R@2", "R@5", "R@10")
SF2F_METRICS = ("cosine", "L1", *RECALLS, "VFS")
RANDOM = "random"  # the line of a blind guess
_FACENET = "FaceNet, but for VFS"
_SHOWN = 8  # people on a sheet
_AT_ONCE = 64  # of a batch


class Heard(NamedTuple):
    """A line of a table: a member, and how it listens (`models.listening`)."""

    line: str
    member: Member
    how: str = "5 s"
    filtered: bool = False  # scored on the filtered pictures, whatever the member was trained on


def members(heard: Iterable[Heard]) -> tuple[Member, ...]:
    """The members of some lines, each once."""
    return tuple(dict.fromkeys(one.member for one in heard))


def each(items: Iterable[T], do: Callable[[T], Line]) -> tuple[tuple[Line, ...], tuple[HqvoxError, ...]]:
    """The lines that can be measured, and why the others cannot."""
    found: list[Line] = []
    errors: list[HqvoxError] = []
    for item in items:
        try:
            found.append(do(item))
        except HqvoxError as error:
            errors.append(error)
    return tuple(found), tuple(errors)


def judged(
    lab: Lab, entry: Entry, heard: Sequence[Heard], seconds: tuple[float, ...] = SECONDS, theirs: str = _FACENET
) -> Found:
    """SF2F's measures of every line, on split `test`; `theirs` is what the paper's numbers are by.

    Where the paper has a line `random`, so have we: a blind guess in our galleries.
    """
    guesses: list[Line] = []

    def line(one: Heard) -> Line:
        manifest = lab.manifest if one.filtered else lab.manifest_of(one.member)
        row = row_of(lab.report(one.member, seconds, manifest), one.how)
        guesses.append(Line(RANDOM, {f"R@{k}": 100 * figure["chance"] for k, figure in row["recall"].items()}))
        return Line(one.line, scores_of(row))

    ours, errors = each(heard, line)
    if any(one.name == RANDOM for one in entry.published):
        ours = (*guesses[:1], *ours)
    by = f"Judge `{lab.judge.name}` (sha256 {lab.judge.sha256[:12]})."
    title = f"{entry.asks} {by}{published_by(entry, theirs, lab.judge.name == 'facenet' and theirs == _FACENET)}"
    table = Table(title, entry.metrics, ours, entry.published, entry.claims)
    return Found((table,), missing=_no_classes(lab, entry), errors=errors)


def published_by(entry: Entry, theirs: str, same: bool = False) -> str:
    """A sentence that tells whose judgement an id's published lines are, unless there are none or it is ours too."""
    return "" if same or not entry.published else f" Published lines are by {theirs}."


def _no_classes(lab: Lab, entry: Entry) -> tuple[str, ...]:
    """Why there is no VGGFace Score, where one is asked for."""
    _, told = lab.classifier
    return (f"VFS: {told['why']}",) if "VFS" in entry.metrics and "why" in told else ()


def row_of(told: Figure, how: str) -> Figure:
    """The row of an evaluation by its way of listening; where a system has no fuser, the plain one of that length."""
    rows = {row["name"]: row for row in told["rows"]}
    row: Figure = rows.get(how) or rows[how.removesuffix(", fused")]
    return row


def scores_of(row: Figure) -> dict[str, Value]:
    """A row of an evaluation by the names of the papers' columns; shares in per cent."""
    values: dict[str, Value] = {"cosine": row["cosine"], "L1": row["l1"], "L2": row["l2"]}
    values |= {f"R@{k}": percent(figure) for k, figure in row["recall"].items()}
    values["VFS"] = row["vfs"].get("rgb")
    values["matching"], values["same gender"] = percent(row["matching"]), percent(row["matching_same_gender"])
    values["gender"] = percent(row["gender"])
    values |= {f"top-{k}": percent(row["closed_set"].get(f"top_{k}")) for k in (1, 5)}
    alarm = {"collapse": row["collapse"], "collapsed": float(row["collapsed"])}  # 1: the alarm has gone off
    return values | alarm | {"Fréchet": row["frechet"]["mean"], "Fréchet N": float(row["frechet"]["real"])}


def percent(figure: Figure | None) -> Figure | None:
    """A share as per cent; None where it was not measured."""
    if figure is None or "mean" not in figure:
        return None
    scaled = {"mean": 100 * figure["mean"], "interval": [100 * edge for edge in figure["interval"]]}
    return {**figure, **scaled}


def of_length(model: Model, seconds: float, fused: bool = False) -> Listening:
    """To listen for so long; fused where the model can and the stretch holds several windows."""
    frames = round(seconds * FRAMES_PER_S)
    can = fused and model.fusing is not None and frames > model.fusing.frames[0]
    return Listening(f"{seconds:g} s", "fused" if can else "crop", (frames, frames))


def everybody(lab: Lab, corpus: Corpus, frames: int) -> list[Batch]:
    """Batches of `frames` of one recording of each person, in order, from its first on; the same for every member.

    Shorter recordings are repeated. So Speech2Face, AR-SPM and I2G are heard, from the beginning.
    """
    rng = np.random.default_rng(lab.seed)
    people = np.arange(corpus.n_people)
    clip = data.one_each(corpus.clips, people, rng)
    start = np.zeros_like(clip)
    face = corpus.portraits[0]
    return [
        data.gather(corpus, Draw(clip[rows], start[rows], frames, rows, face[rows], rows), lab.device)
        for rows in np.array_split(people, -(-len(people) // _AT_ONCE))
    ]


def portraits(corpus: Corpus) -> Tensor:
    """The first real face of each person, (N, 3, S, S) uint8."""
    return corpus.faces[torch.from_numpy(corpus.portraits[0]).to(corpus.faces.device)].cpu()


def resized(faces: Tensor, side: int) -> Tensor:
    """Faces (N, 3, S, S) uint8 of any size as (N, 3, side, side), so that they can lie on one sheet."""
    if faces.shape[-1] == side:
        return faces
    shown = torch.nn.functional.interpolate(faces.float(), size=(side, side), mode="bilinear", antialias=True)
    return shown.round().clamp(0, 255).to(torch.uint8)


def bytes_of(faces: Tensor) -> Tensor:
    """Faces in 0..1 as uint8, on the CPU."""
    return (faces * 255).round().clamp(0, 255).to(torch.uint8).cpu()


def sheet(lab: Lab, entry: Entry, columns: Mapping[str, Tensor], name: str = "faces") -> Found:
    """A contact sheet of faces (N, 3, S, S) uint8 of the same people, in a column each, enlarged to the largest."""
    side = max(faces.shape[-1] for faces in columns.values())
    stacked = torch.stack([resized(faces, side) for faces in columns.values()], dim=1)
    path = lab.pictures(entry.id) / f"{name}.png"
    contact_sheet(path, tuple(columns), stacked.numpy())
    return Found(pictures=(path,))


def side_by_side(lab: Lab, entry: Entry, columns: Mapping[str, tuple[Member, float]]) -> Found:
    """A real face of each person, then what each column's member makes of so many seconds of their voice."""
    shown: dict[str, Tensor] = {}
    for column, (member, seconds) in columns.items():
        model = lab.model(member)
        corpus = lab.corpus(model)
        shown.setdefault("real", portraits(corpus)[:_SHOWN])
        how = of_length(model, seconds, fused=True)
        shown[column] = listening.hear(model, corpus, how, lab.judge, (lab.seed, 0)).faces[:_SHOWN]
    return sheet(lab, entry, shown)


def loss_curves(lab: Lab, entry: Entry, losses: Sequence[str]) -> Found:
    """Each loss of every member over the iterations, a picture a loss."""
    pictures = []
    for loss in losses:
        of = {one.name: _curve(report.lines(lab.trained(one)), loss) for one in entry.members}
        held = {name: points for name, points in of.items() if len(points)}
        if held:
            pictures.append(
                charts.curves(lab.pictures(entry.id) / f"loss-{loss}.png", f"loss {loss}", ("iteration", loss), held)
            )
    return Found(pictures=tuple(pictures))


def _curve(told: Sequence[Mapping[str, Any]], loss: str) -> charts.Points:
    points = [(line["iteration"], line["losses"][loss]) for line in told if loss in line.get("losses", {})]
    return np.array(points, np.float64).reshape(-1, 2)


def together(*found: Found) -> Found:
    """Several measurements of an id as one."""
    return Found(
        tuple(table for one in found for table in one.tables),
        tuple(path for one in found for path in one.pictures),
        tuple(dict.fromkeys(text for one in found for text in one.missing)),
        tuple(error for one in found for error in one.errors),
    )
