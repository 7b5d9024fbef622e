"""DIMNet on frozen features (vfal-eva, a public benchmark of voice-face association): small layers, trained in minutes.

A speaker encoder and a face encoder first learn to name the training people. Frozen, they feed a layer for each
modality and two layers that both share; the covariates' classifiers and losses are those of `models.dimnet`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from manifests.settings import BelowOne, Count, NotNegative, Positive
from models import dimnet, voice2face
from models.data import Corpus
from models.dimnet import Covariate, classifiers, covariate_losses, scaled, scores, sizes
from models.encoders import ConvEncoder
from models.identification import identify
from models.noise import flipped, seeded
from models.system import Batch, Losses, Optimiser, Phase, Step, move

__all__ = ["scores", "sizes"]
FRONT_END = dimnet.FRONT_END
GENERATES = False
MATCHES = True
NEEDS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Settings:
    """The benchmark's layers; nobody published schedules of our encoders, so those are ours."""

    covariates: tuple[Covariate, ...] = ("identity",)
    nationalities: Count = 0  # classes; 0: not known before the data are read
    encoder_channels: tuple[int, ...] = (256, 384, 576, 864)  # of voices
    face_channels: tuple[int, ...] = (64, 128, 256, 512)
    voice_features: Positive = 192
    face_features: Positive = 512
    width: Positive = 256
    embedding: Positive = 128
    dropout: BelowOne = 0.5  # of the frozen features
    side: Positive = 128  # pixels
    batch: Positive = 256
    rate: NotNegative = 1e-3
    encoder_batch: Positive = 128
    voice_iterations: Count = 40_000
    face_iterations: Count = 40_000
    iterations: Count = 10_000
    frames: tuple[int, int] = (300, 800)


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """The encoders with their classifiers, and what is trained on them. Raises UsageError as `dimnet.build` does."""
    s = settings
    return {
        "encoder": ConvEncoder(voice2face.BANDS, s.encoder_channels, s.voice_features, normalise=False),
        "face_encoder": dimnet.Encoder(2, 3, s.face_channels, s.face_features, pairs=0),
        "encoder_classifier": nn.Linear(s.voice_features, n_identities),
        "face_encoder_classifier": nn.Linear(s.face_features, n_identities),
        "voice": nn.Sequential(nn.Dropout(s.dropout), nn.Linear(s.voice_features, s.width), nn.ReLU()),
        "face": nn.Sequential(nn.Dropout(s.dropout), nn.Linear(s.face_features, s.width), nn.ReLU()),
        "shared": nn.Sequential(nn.Linear(s.width, s.width), nn.ReLU(), nn.Linear(s.width, s.embedding)),
        **classifiers(s.covariates, s.embedding, n_identities, s.nationalities),
    }


def begin(networks: Mapping[str, nn.Module], settings: Settings, corpus: Corpus, features: object) -> None:
    """Raise DataError where nobody's gender or nationality is known, and is to be learnt."""
    del networks, features
    dimnet.expect_known(settings.covariates, corpus)


def phases(settings: Settings) -> tuple[Phase, ...]:
    """Whose voice, whose face, and then the covariates on frozen encoders."""
    s = settings

    def adam(*networks: str) -> dict[str, Optimiser]:
        return {"all": Optimiser(networks, s.rate)}

    return (
        Phase("voices", "paired", s.voice_iterations, s.encoder_batch, s.frames, adam("encoder", "encoder_classifier")),
        Phase(
            "faces", "faces", s.face_iterations, s.encoder_batch, (0, 0),
            adam("face_encoder", "face_encoder_classifier"),
        ),
        Phase(
            "covariates", "unpaired", s.iterations, s.batch, s.frames, adam("voice", "face", "shared", *s.covariates)
        ),
    )  # fmt: skip


def side(settings: Settings) -> int:
    """Pixels of the faces."""
    return settings.side


def update(step: Step, batch: Batch) -> Losses:
    """One step: on names in the first two phases, on the covariates in the third."""
    if step.phase.name == "voices":
        return identify(step, "encoder", lambda: _heard(step, batch), batch.identity)
    if step.phase.name == "faces":
        return identify(step, "face_encoder", lambda: _seen(step, batch), batch.face_identity)
    return _covariates(step, batch)


def _covariates(step: Step, batch: Batch) -> Losses:
    networks = step.parallel
    with step.autocast():
        with torch.no_grad():
            heard, seen = _heard(step, batch), _seen(step, batch)
        with seeded(step.noise):  # dropout
            voice, face = networks["voice"](heard), networks["face"](seen)
        losses = covariate_losses(
            step, step.settings.covariates, networks["shared"](voice), networks["shared"](face), batch
        )
    total = torch.stack(list(losses.values())).sum()
    move(step, "all", total)
    return {"total": total.detach()} | {name: loss.detach() for name, loss in losses.items()}


def _heard(step: Step, batch: Batch) -> Tensor:
    features: Tensor = step.parallel["encoder"](voice2face.normalised(batch))
    return features


def _seen(step: Step, batch: Batch) -> Tensor:
    features: Tensor = step.parallel["face_encoder"](scaled(flipped(batch.face, step.noise)))
    return features


@torch.no_grad()
def voices(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """Embeddings of voices (B, E)."""
    del settings  # the networks say it all
    embedding: Tensor = networks["shared"](networks["voice"](networks["encoder"](voice2face.normalised(batch))))
    return embedding


@torch.no_grad()
def portraits(networks: Mapping[str, nn.Module], settings: Settings, faces: Tensor) -> Tensor:
    """Embeddings of faces (N, E)."""
    del settings
    embedding: Tensor = networks["shared"](networks["face"](networks["face_encoder"](scaled(faces))))
    return embedding
