"""SVHF-Net, static (Nagrani, Albanie and Zisserman, "Seeing Voices and Hearing Faces", CVPR 2018).

A voice and K faces in (V-F), or a face and K voices (F-V); one softmax over the K out. The K streams share weights.
Both branches first learn to name the training people, in the place of the paper's pre-trained weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn

from manifests.settings import BelowOne, Count, NotNegative, Positive
from models.data import Corpus
from models.galleries import expect_batch, expect_people
from models.identification import identify
from models.noise import flipped, strangers
from models.spectrogram import HOP, WINDOW, magnitude
from models.svhf_nets import FaceBranch, Head, MeanImage, VoiceBranch
from models.system import Batch, Losses, Optimiser, Phase, Step, Way, move

FRONT_END = "wave"
GENERATES = False
MATCHES = True
NEEDS: Mapping[str, str] = {}
_EXTRA = 2  # frames of 10 ms that a waveform has more than its spectrogram, whose windows of 25 ms lie within it
_STEP, _WIDEST = 100, 1000  # frames: widths of spectrograms that a voice is tested with
_EPOCHS = 10  # steps of the learning rate


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper."""

    way: Way = "V-F"
    candidates: Positive = 2  # K; another K is another network
    channels: tuple[int, int] = (96, 256)
    hidden: Positive = 4096
    embedding: Positive = 1024
    head: tuple[int, int] = (1024, 512)
    side: Positive = 224  # pixels of the crop that the network sees
    crop: Annotated[float, Interval(gt=0, le=1)] = 0.85  # of the picture's side
    batch: Positive = 64
    optimiser: Literal["sgd", "adam"] = "sgd"
    rate: NotNegative = 1e-2
    last_rate: NotNegative = 1e-8  # of the last of ten stretches, log-spaced
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 5e-4
    voice_iterations: Count = 40_000
    face_iterations: Count = 40_000
    iterations: Count = 75_000  # 10 epochs of HQ-VoxCeleb's 478,009 recordings
    width: Positive = 300  # frames of a training spectrogram: 3 s


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """The branches, what they are pre-trained with, and the head over probe and candidates.

    Raises ValueError for fewer than two candidates.
    """
    s = settings
    if s.candidates < 2:
        raise ValueError(f"{s.candidates} candidates: expected 2 or more")
    return {
        "voice": VoiceBranch(s.channels, s.hidden, s.embedding),
        "face": FaceBranch(s.channels, s.hidden, s.embedding, s.side),
        "voice_classifier": nn.Linear(s.embedding, n_identities),
        "face_classifier": nn.Linear(s.embedding, n_identities),
        "head": Head(s.embedding, s.head, s.candidates),
    }


def begin(networks: Mapping[str, nn.Module], settings: Settings, corpus: Corpus, features: object) -> None:
    """Tell the face branch the mean picture of the training people, the middle of it.

    Raises DataError for fewer people than candidates.
    """
    del features
    if settings.iterations:
        expect_people(settings.candidates, corpus.n_people)
    total = torch.stack([part.float().sum(dim=0) for part in torch.split(corpus.faces, 64)]).sum(dim=0)
    for module in networks["face"].modules():
        if isinstance(module, MeanImage):
            module.mean.copy_(cropped(total[None] / (255 * len(corpus.faces)), settings.side, None)[0])


def phases(settings: Settings) -> tuple[Phase, ...]:
    """Whose voice, whose face, and then which of the candidates.

    Raises UsageError where batches are smaller than galleries.
    """
    s = settings
    if s.iterations:
        expect_batch(s.candidates, s.batch)
    heard = (s.width + _EXTRA,) * 2

    def moving(iterations: int, *networks: str) -> dict[str, Optimiser]:
        every = max(-(-iterations // _EPOCHS), 1)
        decay = (s.last_rate / s.rate) ** (1 / (_EPOCHS - 1)) if s.rate else 1.0
        return {
            "all": Optimiser(
                networks, s.rate, kind=s.optimiser, momentum=s.momentum, weight_decay=s.weight_decay, decay=decay,
                every=every,
            )
        }  # fmt: skip

    return (
        Phase(
            "voices",
            "paired",
            s.voice_iterations,
            s.batch,
            heard,
            moving(s.voice_iterations, "voice", "voice_classifier"),
        ),
        Phase(
            "faces", "faces", s.face_iterations, s.batch, (0, 0), moving(s.face_iterations, "face", "face_classifier")
        ),
        Phase("matching", "paired", s.iterations, s.batch, heard, moving(s.iterations, "voice", "face", "head")),
    )


def side(settings: Settings) -> int:
    """Pixels of a picture that a crop is taken of: 264 for crops of 224."""
    return round(settings.side / settings.crop)


def update(step: Step, batch: Batch) -> Losses:
    """One step: on names in the first two phases, on the choice among candidates in the third."""
    if step.phase.name == "voices":
        return identify(step, "voice", lambda: _voice(step, batch), batch.identity)
    if step.phase.name == "faces":
        return identify(step, "face", lambda: _face(step, batch), batch.face_identity)
    return _match(step, batch)


def _match(step: Step, batch: Batch) -> Losses:
    s: Settings = step.settings
    expect_batch(s.candidates, len(batch.identity))
    with step.autocast():
        embeddings = _voice(step, batch), _face(step, batch)
        probe, other = embeddings if s.way == "V-F" else embeddings[::-1]
        gallery, place, there = candidates(batch.identity, s.candidates, step.noise)
        logits = step.parallel["head"](probe, other[gallery]).float()
    having = there.sum().clamp_min(1)
    loss = (F.cross_entropy(logits, place, reduction="none") * there).sum() / having
    move(step, "all", loss)
    wrong = (logits.detach().argmax(dim=1) != place) & there
    return {"matching": loss.detach(), "error": wrong.sum() / having}


def candidates(identity: Tensor, count: int, noise: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Galleries from within a batch of people (B,): rows (B, count), the right one's place (B,), who has one (B,).

    Everybody in a gallery is another person, the right one stands anywhere. A batch of few people may lack others for
    some.
    """
    others, there = strangers(identity, count - 1, noise)
    own = torch.arange(len(identity), device=identity.device)[:, None]
    order = torch.rand(len(identity), count, generator=noise, device=identity.device).argsort(dim=1)
    return torch.cat([own, others], dim=1).gather(1, order), order.argmin(dim=1), there.all(dim=1)


def _voice(step: Step, batch: Batch) -> Tensor:
    embedding: Tensor = step.parallel["voice"](magnitude(batch.wave)[:, None])
    return embedding


def _face(step: Step, batch: Batch) -> Tensor:
    """Of random crops, mirrored or not."""
    shown = flipped(cropped(batch.face, step.settings.side, step.noise), step.noise)
    embedding: Tensor = step.parallel["face"](shown)
    return embedding


def cropped(face: Tensor, side: int, noise: torch.Generator | None) -> Tensor:
    """A square of each picture, (B, 3, S, S) to (B, 3, side, side): anywhere, or without noise in the middle."""
    count, spare = len(face), face.shape[-1] - side
    if noise is None:
        return face[..., spare // 2 : spare // 2 + side, spare // 2 : spare // 2 + side]
    top, left = torch.randint(spare + 1, (2, count, 1), generator=noise, device=face.device)
    within = torch.arange(side, device=face.device)
    picture = torch.arange(count, device=face.device)[:, None, None]
    rows, columns = (top + within)[:, :, None], (left + within)[:, None, :]
    return face.permute(0, 2, 3, 1)[picture, rows, columns].permute(0, 3, 1, 2)


@torch.no_grad()
def voices(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """Embeddings of voices (B, E), of as much from their start as the widest of 100, 200, … 1000 frames takes in.

    Raises ValueError for less than 1 s.
    """
    del settings  # the networks say it all
    samples = batch.wave.shape[-1]
    width = min((1 + (samples - WINDOW) // HOP) // _STEP * _STEP, _WIDEST)
    if not width:
        raise ValueError(f"recordings of {samples} samples: expected {_STEP} frames or more")
    embedding: Tensor = networks["voice"](magnitude(batch.wave[:, : WINDOW + (width - 1) * HOP])[:, None])
    return embedding


@torch.no_grad()
def portraits(networks: Mapping[str, nn.Module], settings: Settings, faces: Tensor) -> Tensor:
    """Embeddings of faces (N, E), of the middle of the picture."""
    embedding: Tensor = networks["face"](cropped(faces, settings.side, None))
    return embedding


@torch.no_grad()
def scores(networks: Mapping[str, nn.Module], settings: Settings, probes: Tensor, gallery: Tensor, way: Way) -> Tensor:
    """Probability of each candidate (B, K), of probes (B, E) and galleries (B, K, E) of the way and K of the training.

    Raises ValueError for others: the head has no other inputs.
    """
    if gallery.shape[1] not in sizes(settings, way):
        raise ValueError(f"{gallery.shape[1]} candidates {way}: trained for {settings.candidates} {settings.way}")
    chances: Tensor = networks["head"](probes, gallery).float().softmax(dim=1)
    return chances


def sizes(settings: Settings, way: Way) -> tuple[int, ...]:
    """The one number of candidates that the head takes, the way it was trained."""
    return (settings.candidates,) if way == settings.way else ()
