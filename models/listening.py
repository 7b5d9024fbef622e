"""How a voice is heard when a system is scored: how much of it, and how several windows of it become one face."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from models import data
from models.data import Corpus, Draw
from models.fusers import mean_of_windows
from models.judges import Judge
from models.state import Model
from models.system import generator

FRAMES_PER_S = 100
_AT_ONCE = 64  # faces made together
_AUTHORS_WINDOWS, _AUTHORS_FRAMES = 20, 125  # at most, and how long; one begins where the one before ends
_AUTHORS_CROP = (100, 150)  # frames

Way = Literal["crop", "fused", "mean face", "mean voice"]
Classes = Callable[[Tensor], dict[str, Tensor]]  # faces to the classes' probabilities, by order of the colours


@dataclass(frozen=True, slots=True)
class Listening:
    """One way to hear everybody.

    crop: a random stretch of one recording. fused: the fuser over windows. mean face: a face for each window, and the
    mean of their embeddings. mean voice: the face of the windows' mean voice embedding.
    """

    name: str
    way: Way
    frames: tuple[int, int]  # shortest and longest stretch
    authors: bool = False  # windows as the released evaluator cuts them: the first 20, end to end, nothing random


@dataclass(frozen=True, slots=True)
class Made:
    """What one run over everybody's voices gave."""

    embeddings: Tensor  # (N, D) by the judge
    faces: Tensor  # (N, 3, S, S) uint8, on the CPU; where each window has its face, the first one
    classes: dict[str, Tensor]  # (N, classes) by order of the colours; empty without a classifier


def default(model: Model, seconds: tuple[float, ...]) -> Iterator[Listening]:
    """SF2F's section 4.2: stretches of each length, and the same stretches fused where they hold several windows."""
    for length in seconds:
        frames = round(length * FRAMES_PER_S)
        yield Listening(f"{length:g} s", "crop", (frames, frames))
        if model.fusing is not None and frames > model.fusing.frames[0]:
            yield Listening(f"{length:g} s, fused", "fused", (frames, frames))


def authors(model: Model) -> Iterator[Listening]:
    """The released evaluator's modes."""
    whole = (_AUTHORS_WINDOWS * _AUTHORS_FRAMES,) * 2
    yield Listening("1-1.5 s", "crop", _AUTHORS_CROP, authors=True)
    yield Listening("25 s, mean of faces", "mean face", whole, authors=True)
    yield Listening("25 s, mean of voices", "mean voice", whole, authors=True)
    if model.fusing is not None:
        yield Listening("25 s, fused", "fused", whole, authors=True)


def hear(
    model: Model, corpus: Corpus, how: Listening, judge: Judge, key: tuple[int, int], classes: Classes | None = None
) -> Made:
    """One face of everybody's; random stretches depend on `key`, a seed and the number of the run, and their length."""
    rng = np.random.default_rng([*key, how.frames[1]])  # fused or not, the stretches are the same
    everybody = _drawn(model, corpus, np.arange(corpus.n_people), how, rng)
    at_once = max(1, _AT_ONCE // everybody.clip[0].size)
    make = _mean_faces if how.way == "mean face" else _faces
    parts = []
    for first in range(0, corpus.n_people, at_once):
        drawn = _rows(everybody, slice(first, first + at_once))
        embeddings, faces = make(model, corpus, drawn, judge, _networks(model, how.way))
        shown = (faces * 255).round().to(torch.uint8).cpu()
        parts.append(Made(embeddings, shown, classes(faces) if classes else {}))
    orders = parts[0].classes
    return Made(
        torch.cat([part.embeddings for part in parts]),
        torch.cat([part.faces for part in parts]),
        {order: torch.cat([part.classes[order] for part in parts]) for order in orders},
    )


def _drawn(model: Model, corpus: Corpus, people: data.Ints, how: Listening, rng: np.random.Generator) -> Draw:
    """Where to listen: one stretch each, or its windows."""
    face = corpus.portraits[0][people]
    if how.authors and how.way != "crop":
        length = _AUTHORS_FRAMES
        clip, start, count = data.windows(corpus, people, length, length, _AUTHORS_WINDOWS, None)
        return Draw(clip, start, length, people, face, people, count)
    frames = int(rng.integers(how.frames[0], how.frames[1] + 1))
    clip = data.one_each(corpus.clips, people, rng)
    start = data.crop_start(corpus, clip, frames, rng)
    if how.way == "crop":
        return Draw(clip, start, frames, people, face, people)
    assert model.fusing is not None
    window = model.fusing.frames[0]
    offsets = np.arange(0, frames - window + 1, half(window))
    clips = np.repeat(clip[:, None], len(offsets), axis=1)
    count = np.full(len(people), len(offsets))
    return Draw(clips, start[:, None] + offsets, window, people, face, people, count)


def _rows(drawn: Draw, which: slice) -> Draw:
    """Some people of a draw."""
    held = {field.name: getattr(drawn, field.name) for field in fields(drawn)}
    cut: dict[str, Any] = {n: value[which] if isinstance(value, np.ndarray) else value for n, value in held.items()}
    return Draw(**cut)


def half(window: int) -> int:
    """Frames between the starts of windows that overlap by half."""
    return -(-window // 2)


class _MeanVoice(nn.Module):
    """In the place of a fuser: the plain mean of a person's voice embeddings."""

    def forward(self, each: Tensor, count: Tensor) -> Tensor:
        """(B, N, E), of which the first `count` of each count, to (B, E)."""
        return mean_of_windows(each, count)


def _networks(model: Model, way: Way) -> Mapping[str, nn.Module]:
    """The model's; to hear the mean voice, its fuser does nothing but average. A system without one averages anyway."""
    return {**model.networks, "fuser": _MeanVoice()} if way == "mean voice" else model.networks


def _faces(
    model: Model, corpus: Corpus, drawn: Draw, judge: Judge, networks: Mapping[str, nn.Module]
) -> tuple[Tensor, Tensor]:
    faces = generator(model.system).faces(networks, model.settings, data.gather(corpus, drawn, judge.device))
    return judge.embed(faces), faces


def _mean_faces(
    model: Model, corpus: Corpus, drawn: Draw, judge: Judge, networks: Mapping[str, nn.Module]
) -> tuple[Tensor, Tensor]:
    """Each person's mean embedding (not of unit length), and the first of their faces."""
    count: Any = drawn.n_windows
    counts = np.arange(drawn.clip.shape[1]) < count[:, None]
    row = np.repeat(np.arange(len(count)), count)
    who, face = drawn.person[row], drawn.face[row]
    each = Draw(drawn.clip[counts], drawn.start[counts], drawn.frames, who, face, who)
    embeddings, faces = _faces(model, corpus, each, judge, networks)
    first = torch.from_numpy(np.cumsum(count) - count)
    owner = torch.from_numpy(row).to(embeddings.device)
    total = torch.zeros(len(count), embeddings.shape[1], device=embeddings.device).index_add_(0, owner, embeddings)
    return total / torch.from_numpy(count).to(total)[:, None], faces[first.to(faces.device)]
