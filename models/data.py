"""Batches of one split: who, which recording, where in it, which face, all drawn from (seed, phase, iteration) alone.

Nothing of the draw is state, so a resumed run goes on with the very batch that an uninterrupted one would have had.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.pack import Packed
from models.system import Batch, Phase
from pipeline.frontend import FULL_SCALE

Ints = NDArray[np.int64]
_RESIDENT = 0.5  # share of the device's free memory that the data may take


@dataclass(frozen=True, slots=True)
class Corpus:
    """A packed split as tensors; recordings and faces of a person lie side by side."""

    packed: Packed
    mels: Tensor  # (frames, bands) float16, of a waveform int16: on the training device where it fits, else mapped
    faces: Tensor  # (n, 3, S, S) uint8, likewise
    landmarks: Tensor  # (n, 68, 2) float32
    mean: Tensor  # (clips, bands) float32; (clips, 0) of a waveform
    std: Tensor
    clip_start: Ints  # frame of `mels`
    clip_frames: Ints
    clips: tuple[Ints, Ints]  # first recording of each person, and how many
    portraits: tuple[Ints, Ints]  # first face of each person, and how many

    @property
    def n_people(self) -> int:
        """People of the split; a label is a place in the list of their ids."""
        return len(self.packed.people)


def load(packed: Packed, device: torch.device) -> Corpus:
    """Tensors of a packed split, moved to the device if they take at most half of its free memory."""
    a = packed.arrays
    mels, faces = _tensor(a["mels"]), _tensor(a["faces"])
    if device.type == "cuda" and mels.nbytes + faces.nbytes <= _RESIDENT * torch.cuda.mem_get_info(device)[0]:
        mels, faces = mels.to(device), faces.to(device)
    landmarks, mean, std = (_tensor(a[name]).to(mels.device) for name in ("landmarks", "clip_mean", "clip_std"))
    owners = (_ranges(a[name], len(packed.people)) for name in ("clip_person", "face_person"))
    place, frames = (np.asarray(a[name]) for name in ("clip_start", "clip_frames"))
    return Corpus(packed, mels, faces, landmarks, mean, std, place, frames, *owners)


def _tensor(array: NDArray[Any]) -> Tensor:
    """A mapped array as a tensor without a copy; nothing ever writes to it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "not writable"
        return torch.from_numpy(array)


def _ranges(person: NDArray[np.int64], people: int) -> tuple[Ints, Ints]:
    """First place and count of each person in a sorted list of owners."""
    edges = np.searchsorted(person, np.arange(people + 1))
    return edges[:-1], np.diff(edges)


@dataclass(frozen=True, slots=True)
class Draw:
    """Which frames and faces make a batch; places in the corpus."""

    clip: Ints  # (B,) or (B, N) recording; (B, 0) where no voices are read
    start: Ints  # likewise, first frame within the recording
    frames: int
    person: Ints  # (B,) whose voice
    face: Ints  # (B,)
    face_person: Ints  # (B,)
    n_windows: Ints | None = None

    def part(self, rank: int, world: int) -> "Draw":
        """The share of one of `world` processes."""
        whole = {f.name: getattr(self, f.name) for f in fields(self)}
        mine: dict[str, Any] = {n: v[rank::world] if isinstance(v, np.ndarray) else v for n, v in whole.items()}
        return Draw(**mine)


def draw(corpus: Corpus, phase: Phase, seed: int, number: int, iteration: int) -> Draw:
    """The batch of an iteration of phase `number`: people in turn, in an order shuffled every round."""
    rng = np.random.default_rng([seed, number, 1, iteration])
    person = _in_turn(corpus.n_people, phase.batch, [seed, number, 2], iteration)
    face_person = (
        person if phase.kind != "unpaired" else _in_turn(corpus.n_people, phase.batch, [seed, number, 3], iteration)
    )
    face = one_each(corpus.portraits, face_person, rng)
    if phase.kind == "faces":
        nothing = np.empty((phase.batch, 0), np.int64)
        return Draw(nothing, nothing, 0, person, face, face_person)
    frames = int(rng.integers(phase.frames[0], phase.frames[1] + 1))
    if phase.kind == "windows":
        clip, start, count = windows(corpus, person, frames, phase.stride, phase.windows, rng)
        return Draw(clip, start, frames, person, face, face_person, count)
    clip = one_each(corpus.clips, person, rng)
    return Draw(clip, crop_start(corpus, clip, frames, rng), frames, person, face, face_person)


def _in_turn(people: int, batch: int, key: list[int], iteration: int) -> Ints:
    """`batch` places of an endless list of shuffled rounds over all people, from place iteration x batch on."""
    places = np.arange(iteration * batch, (iteration + 1) * batch)
    rounds = {r: np.random.default_rng([*key, r]).permutation(people) for r in np.unique(places // people).tolist()}
    return np.array([rounds[place // people][place % people] for place in places.tolist()], np.int64)


def one_each(owned: tuple[Ints, Ints], person: Ints, rng: np.random.Generator) -> Ints:
    """A random thing of each person's."""
    first, count = owned[0][person], owned[1][person]
    return first + rng.integers(0, count)


def crop_start(corpus: Corpus, clip: Ints, frames: int, rng: np.random.Generator) -> Ints:
    """A random place for a crop of `frames` in each recording; shorter recordings repeat from any place on."""
    length = corpus.clip_frames[clip]
    return rng.integers(0, np.where(length > frames, length - frames + 1, length))


def windows(
    corpus: Corpus, person: Ints, frames: int, stride: int, most: int, rng: np.random.Generator | None
) -> tuple[Ints, Ints, Ints]:
    """Up to `most` windows of each person: recordings, starts (both people x most) and how many count.

    Recordings come in shuffled order, each from a random start; without `rng` in their order, from the first frame.
    Those shorter than a window are used, repeated, only where a person has none longer.
    """
    clip, start = np.zeros((2, len(person), most), np.int64)
    count = np.zeros(len(person), np.int64)
    for row, who in enumerate(person.tolist()):
        own = np.arange(corpus.clips[0][who], corpus.clips[0][who] + corpus.clips[1][who])
        long = own[corpus.clip_frames[own] >= frames]
        chosen = long if len(long) else own
        found: list[tuple[int, int]] = []
        for one in chosen.tolist() if rng is None else rng.permutation(chosen).tolist():
            spare = int(corpus.clip_frames[one]) - frames
            offset = int(rng.integers(0, min(spare, stride) + 1)) if rng is not None and spare > 0 else 0
            found += [(one, at) for at in range(offset, max(spare, 0) + 1, stride)]
            if len(found) >= most:
                break
        count[row] = min(len(found), most)
        filled = (found * most)[:most]  # the filling is masked, but must be finite
        clip[row], start[row] = zip(*filled, strict=True)
    return clip, start, count


def gather(corpus: Corpus, drawn: Draw, device: torch.device) -> Batch:
    """The tensors of a draw, on the device."""
    where = corpus.mels.device
    face = torch.from_numpy(drawn.face)
    mel, mean, deviation = _voices(corpus, drawn, device)
    return Batch(
        mel=mel,
        mel_mean=mean,
        mel_std=deviation,
        identity=torch.from_numpy(drawn.person).to(device),
        face=corpus.faces.index_select(0, face.to(where)).to(device).float() / 255,
        face_identity=torch.from_numpy(drawn.face_person).to(device),
        face_index=face.to(device),
        n_windows=None if drawn.n_windows is None else torch.from_numpy(drawn.n_windows).to(device),
        landmarks=corpus.landmarks[face.to(where)].to(device),
    )


def _voices(corpus: Corpus, drawn: Draw, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Frames, and mean and deviation of the recordings that they are from."""
    if drawn.frames == 0:
        none = torch.empty(len(drawn.person), 0, 0, device=device)
        return none, none.flatten(1), none.flatten(1)
    where = corpus.mels.device
    within = (drawn.start[..., None] + np.arange(drawn.frames)) % corpus.clip_frames[drawn.clip][..., None]
    at = torch.from_numpy(corpus.clip_start[drawn.clip][..., None] + within).to(where)
    frames = corpus.mels.index_select(0, at.flatten()).view(*at.shape, -1).to(device)
    scale = FULL_SCALE if frames.dtype == torch.int16 else 1.0
    clip = torch.from_numpy(drawn.clip).to(where)
    mel = frames.float().div_(scale).transpose(-1, -2)
    return mel, corpus.mean[clip].to(device), corpus.std[clip].to(device)


def batches(
    corpus: Corpus, phase: Phase, seed: int, number: int, start: int, part: tuple[int, int], device: torch.device
) -> Iterator[Batch]:
    """The batches of a phase from iteration `start` on, the next one being gathered while one is used."""

    def make(iteration: int) -> Batch:
        return gather(corpus, draw(corpus, phase, seed, number, iteration).part(*part), device)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(make, start)
        for iteration in range(start, phase.iterations):
            ready = ahead
            if iteration + 1 < phase.iterations:
                ahead = pool.submit(make, iteration + 1)
            yield ready.result()
