"""DIMNet: voices and faces matched through what both tell of a person (Wen et al., ICLR 2019).

"Disjoint Mapping Network for Cross-modal Matching of Voices and Faces". Two encoders map into one space; a
classifier for each covariate (identity, gender, nationality) is shared by both. Voices and faces are drawn apart from
each other: there are no pairs and no triplets. Embeddings match by cosine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from manifests.settings import BelowOne, Count, NotNegative, Positive
from models import voice2face
from models.data import Corpus
from models.noise import flipped
from models.system import Batch, Losses, Optimiser, Phase, Step, Way, move
from models.traits import GENDERS, UNKNOWN

FRONT_END = voice2face.FRONT_END  # its authors' too
GENERATES = False
MATCHES = True
NEEDS: Mapping[str, str] = {}
Covariate = Literal["identity", "gender", "nationality"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper; no public code confirms its schedule and the widths of its face encoder."""

    covariates: tuple[Covariate, ...] = ("identity",)
    nationalities: Count = 0  # classes; 0: not known before the data are read
    voice_channels: tuple[int, ...] = (256, 384, 576, 864)
    face_channels: tuple[int, ...] = (64, 128, 256, 512)
    residual_pairs: Count = 1  # after each strided convolution; 0: the plain networks of voice2face
    embedding: Positive = 64
    side: Positive = 128  # pixels
    batch: Positive = 256
    rate: NotNegative = 0.1
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 1e-3
    iterations: tuple[int, int, int] = (16_000, 8_000, 4_000)  # at the rate, at a tenth and at a hundredth of it
    frames: tuple[int, int] = (300, 800)


class Encoder(nn.Module):
    """Four strided 3-wide convolutions, each followed by residual pairs, and a fifth that is linear; then the mean.

    Of voices (dims 1), (B, bands, F) to (B, embedding); of faces (dims 2), (B, 3, S, S) to (B, embedding).
    """

    def __init__(self, dims: Literal[1, 2], inputs: int, channels: Sequence[int], embedding: int, pairs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs, *channels]):
            layers += [Block(dims, before, after, stride=2), *(Residual(dims, after) for _ in range(pairs))]
        self.blocks = nn.Sequential(*layers)
        self.last = _convolution(dims, channels[-1], embedding, stride=2, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """The embedding, averaged over time or over the picture."""
        mapped: Tensor = self.last(self.blocks(x))  # (B, embedding, F / 32) or (B, embedding, S / 32, S / 32)
        return mapped.flatten(2).mean(dim=2)  # (B, embedding)


class Block(nn.Sequential):
    """A 3-wide convolution without bias, batch norm, ReLU."""

    def __init__(self, dims: Literal[1, 2], inputs: int, outputs: int, stride: int) -> None:
        norm = nn.BatchNorm1d if dims == 1 else nn.BatchNorm2d
        super().__init__(_convolution(dims, inputs, outputs, stride, bias=False), norm(outputs), nn.ReLU())


class Residual(nn.Module):
    """Two blocks whose output is added to what went in."""

    def __init__(self, dims: Literal[1, 2], channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(dims, channels, channels, stride=1) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        added: Tensor = x + self.blocks(x)
        return added


def _convolution(dims: Literal[1, 2], inputs: int, outputs: int, stride: int, bias: bool) -> nn.Module:
    kind = nn.Conv1d if dims == 1 else nn.Conv2d
    return kind(inputs, outputs, 3, stride, padding=1, bias=bias)


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """The two encoders, and one classifier a covariate. Raises UsageError for no covariates, or one twice."""
    s = settings
    return {
        "voice": Encoder(1, voice2face.BANDS, s.voice_channels, s.embedding, s.residual_pairs),
        "face": Encoder(2, 3, s.face_channels, s.embedding, s.residual_pairs),
        **classifiers(s.covariates, s.embedding, n_identities, s.nationalities),
    }


def classifiers(
    covariates: Sequence[Covariate], embedding: int, n_identities: int, nationalities: int
) -> dict[str, nn.Module]:
    """One linear layer a covariate, each with classes of its own. Raises UsageError for none, or one twice."""
    if not covariates or len(set(covariates)) < len(covariates):
        raise UsageError(f"covariates {list(covariates)}: expected one or more of identity, gender, nationality")
    # Before the data are read their nationalities are not counted: one class stands for them.
    classes = {"identity": n_identities, "gender": len(GENDERS), "nationality": nationalities or 1}
    return {name: nn.Linear(embedding, classes[name]) for name in covariates}


def begin(networks: Mapping[str, nn.Module], settings: Settings, corpus: Corpus, features: object) -> None:
    """Raise DataError where nobody's gender or nationality is known, and is to be learnt."""
    del networks, features
    expect_known(settings.covariates, corpus)


def expect_known(covariates: Sequence[Covariate], corpus: Corpus) -> None:
    """Raise DataError for a covariate that nobody of the corpus has."""
    known = {"gender": corpus.packed.genders, "nationality": corpus.packed.nationalities}
    for name in covariates:
        if not any(known.get(name, ["identity"])):
            raise DataError(f"nobody's {name} is known to the manifest: choose other covariates (--set covariates=...)")


def phases(settings: Settings) -> tuple[Phase, ...]:
    """One network at three rates; the momentum goes on."""
    s = settings
    networks = ("voice", "face", *s.covariates)
    return tuple(
        Phase(
            name, "unpaired", count, s.batch, s.frames,
            {"all": Optimiser(
                networks, s.rate / 10**place, kind="sgd", momentum=s.momentum, weight_decay=s.weight_decay,
                goes_on=place > 0,
            )},
        )
        for place, (name, count) in enumerate(zip(("first", "tenth", "hundredth"), s.iterations, strict=True))
    )  # fmt: skip


def side(settings: Settings) -> int:
    """Pixels of the faces."""
    return settings.side


def update(step: Step, batch: Batch) -> Losses:
    """One step on the sum of the covariates' cross-entropies, of voices and of faces."""
    with step.autocast():
        voice = step.parallel["voice"](voice2face.normalised(batch))
        face = step.parallel["face"](scaled(flipped(batch.face, step.noise)))
        losses = covariate_losses(step, step.settings.covariates, voice, face, batch)
    total = torch.stack(list(losses.values())).sum()
    move(step, "all", total)
    return {"total": total.detach()} | {name: loss.detach() for name, loss in losses.items()}


def covariate_losses(step: Step, covariates: Sequence[Covariate], voice: Tensor, face: Tensor, batch: Batch) -> Losses:
    """Cross-entropy of each covariate by each modality, the same classifier for both; embeddings (B, E)."""
    losses = {}
    for name in covariates:
        of_people = None if name == "identity" else step.traits[name]
        for who, embedding, person in (("voice", voice, batch.identity), ("face", face, batch.face_identity)):
            wanted = person if of_people is None else of_people[person]
            losses[f"{name}_{who}"] = known_cross_entropy(step.parallel[name](embedding).float(), wanted)
    return losses


def known_cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross-entropy of those whose label is known; 0 where nobody's is."""
    summed = F.cross_entropy(logits, wanted, ignore_index=UNKNOWN, reduction="sum")
    return summed / (wanted != UNKNOWN).sum().clamp_min(1)


def scaled(face: Tensor) -> Tensor:
    """0..1 to -1..1: (x - 127.5) / 127.5 of bytes."""
    return 2 * face - 1


@torch.no_grad()
def voices(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """Embeddings of voices (B, E)."""
    del settings  # the networks say it all
    embedding: Tensor = networks["voice"](voice2face.normalised(batch))
    return embedding


@torch.no_grad()
def portraits(networks: Mapping[str, nn.Module], settings: Settings, faces: Tensor) -> Tensor:
    """Embeddings of faces (N, E)."""
    del settings
    embedding: Tensor = networks["face"](scaled(faces))
    return embedding


def scores(networks: Mapping[str, nn.Module], settings: Settings, probes: Tensor, gallery: Tensor, way: Way) -> Tensor:
    """Cosines (B, K) of probes (B, E) and their galleries (B, K, E); the same either way."""
    del networks, settings, way
    return F.cosine_similarity(probes[:, None], gallery, dim=2)


def sizes(settings: Settings, way: Way) -> tuple[int, ...] | None:
    """Any number of candidates."""
    del settings, way
    return None
