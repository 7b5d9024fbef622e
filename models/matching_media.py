"""Embeddings of everybody's recordings and faces by a system that matches them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models import data
from models.data import Corpus, Draw, Ints
from models.state import Model
from models.system import matcher
from pipeline.frontend import WAVE

_FRAMES_PER_S = 100
_BEYOND = 2  # frames that a waveform has more than its spectrogram, whose windows of 25 ms lie within it
_AT_ONCE = 32  # recordings or faces


@dataclass(frozen=True, slots=True)
class Media:
    """Embeddings of the recordings, or of the faces, of everybody; those of a person lie side by side."""

    embeddings: Tensor  # (n, D)
    owner: Ints  # (n,)
    owned: tuple[Ints, Ints]  # first of each person, and how many


def recordings(model: Model, corpus: Corpus, most: int, longest_s: int, rng: np.random.Generator) -> Media:
    """At most `most` of each person, heard from their start in whole seconds, at least one and at most `longest_s`.

    Those of equally many seconds are heard together.
    """
    clips = some(corpus.clips, most, rng)
    owner = _owners(corpus.clips, clips)
    beyond = _BEYOND if model.system.FRONT_END == WAVE else 0
    seconds = np.clip((corpus.clip_frames[clips] - beyond) // _FRAMES_PER_S, 1, longest_s)
    found: dict[int, Tensor] = {}
    for length in np.unique(seconds).tolist():
        alike = np.flatnonzero(seconds == length)
        for rows in np.split(alike, range(_AT_ONCE, len(alike), _AT_ONCE)):
            who, frames = owner[rows], length * _FRAMES_PER_S + beyond
            drawn = Draw(clips[rows], np.zeros(len(rows), np.int64), frames, who, corpus.portraits[0][who], who)
            batch = data.gather(corpus, drawn, _device(model))
            embeddings = matcher(model.system).voices(model.networks, model.settings, batch)
            found |= dict(zip(rows.tolist(), embeddings, strict=True))
    return _media(torch.stack([found[row] for row in range(len(clips))]), owner, corpus.n_people)


def faces(model: Model, corpus: Corpus, most: int, rng: np.random.Generator) -> Media:
    """At most `most` of each person."""
    chosen = some(corpus.portraits, most, rng)
    parts = torch.split(torch.from_numpy(chosen).to(corpus.faces.device), _AT_ONCE)
    shown = (corpus.faces[part].to(_device(model)).float() / 255 for part in parts)
    embeddings = [matcher(model.system).portraits(model.networks, model.settings, part) for part in shown]
    return _media(torch.cat(embeddings), _owners(corpus.portraits, chosen), corpus.n_people)


def some(owned: tuple[Ints, Ints], most: int, rng: np.random.Generator) -> Ints:
    """At most `most` places of each owner, in order; `owned` as in `Media`."""
    ranges = [first + np.arange(count) for first, count in zip(*owned, strict=True)]
    return np.concatenate([own if len(own) <= most else np.sort(rng.permutation(own)[:most]) for own in ranges])


def _owners(owned: tuple[Ints, Ints], places: Ints) -> Ints:
    return np.searchsorted(owned[0], places, side="right") - 1


def _media(embeddings: Tensor, owner: Ints, people: int) -> Media:
    counts = np.bincount(owner, minlength=people)
    return Media(embeddings, owner, (np.cumsum(counts) - counts, counts))


def _device(model: Model) -> torch.device:
    """Where the model is."""
    return next(weight.device for network in model.networks.values() for weight in network.parameters())
