"""Speech2Face (Oh et al., "Learning the Face Behind a Voice", CVPR 2019).

A face decoder is trained first, to draw a face from the features that a frozen VGG-Face has of it (Cole et al. 2017).
Then, with decoder and face network frozen, a voice encoder is trained to say the features of the speaker's face.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from manifests.errors import DataError
from manifests.settings import BelowOne, Count, MoreThanZero, NotNegative, Positive
from models import feature_losses
from models.data import Corpus
from models.face_features import PUBLISHED, FaceFeatures
from models.feature_decoders import ColeDecoder, Drawn
from models.losses import l1
from models.spectrogram import HOP, WINDOW, at_least, beginning, compressed, levelled
from models.spectrogram_encoders import SpeechEncoder
from models.system import Batch, Losses, Optimiser, Phase, Step, move
from models.vggface import FEATURES
from models.warp import warped
from models.windows import heard

FRONT_END = "wave"
GENERATES = True
MATCHES = False
NEEDS: Mapping[str, str] = {}
_LANDMARK_SIDE = 224  # pixels that the landmarks' loss is measured in, whatever the faces' side
_THINNEST = 0.01  # of the side: deviation of a shape's points across, below which it can hardly be a face's


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper; what it leaves open is a comment."""

    features: str = PUBLISHED  # face network to imitate: `vggface`, or a file of `pretrain-face --set layout=vgg`
    rectified: bool = True  # its features after their ReLU
    space: Positive = FEATURES  # how many it has
    encoder_channels: tuple[int, ...] = SpeechEncoder.CHANNELS
    hidden: Positive = 4096
    level: NotNegative = 0.0  # root mean square that waveforms are brought to; 0: as they are
    decoder: Literal["warped", "plain"] = "warped"  # plain: no landmarks, for faces that are aligned already (ours)
    decoder_channels: tuple[int, ...] = ColeDecoder.CHANNELS
    pixels: Positive = 224
    landmark: NotNegative = 1.0  # of the squared distances in pixels, weights as a public port has them
    texture: NotNegative = 100.0
    likeness: NotNegative = 100.0  # of 1 - cosine between the features of drawn and real faces
    decoder_batch: Positive = 16
    decoder_rate: NotNegative = 1e-3
    decoder_iterations: Count = 40_000  # 100 times HQ-VoxCeleb's training faces; halved in rate every quarter
    loss: Literal["full", "feature", "pixel"] = "full"  # ablations: the L1 of features, or of drawn pixels, alone
    direction: NotNegative = 0.025  # lambda 1; `models balance` proposes others for another face network
    distillation: NotNegative = 200.0  # lambda 2
    batch: Positive = 8
    rate: NotNegative = 1e-3
    betas: tuple[BelowOne, BelowOne] = (0.5, 0.999)
    epsilon: MoreThanZero = 1e-4
    decay: MoreThanZero = 0.95  # of the rate, every `decay_every` iterations
    decay_every: Positive = 10_000
    iterations: Count = 637_500  # 3 epochs of AVSpeech's 1.7 million pairs
    frames: tuple[int, int] = (600, 600)  # 6 s; shorter voices are repeated, of longer ones the first 6 s heard


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """Voice encoder and face decoder."""
    del n_identities  # nobody is classified
    shortest = (SpeechEncoder.SHORTEST - 1) * HOP + WINDOW
    if settings.frames[0] * HOP < shortest:
        raise ValueError(f"crops of {settings.frames[0]} frames: the encoder needs {-(-shortest // HOP)}")
    return {
        "encoder": SpeechEncoder(settings.encoder_channels, settings.hidden, settings.space),
        "decoder": ColeDecoder(
            settings.pixels, settings.decoder_channels, settings.decoder == "warped", settings.space
        ),
    }


def phases(settings: Settings) -> tuple[Phase, ...]:
    """The decoder on faces alone, then the encoder on voices and faces."""
    s = settings
    drawing = Optimiser(("decoder",), s.decoder_rate, decay=0.5, every=max(s.decoder_iterations // 4, 1))
    hearing = Optimiser(("encoder",), s.rate, s.betas, epsilon=s.epsilon, decay=s.decay, every=s.decay_every)
    return (
        Phase("decoder", "faces", s.decoder_iterations, s.decoder_batch, (0, 0), {"decoder": drawing}),
        Phase("encoder", "paired", s.iterations, s.batch, s.frames, {"encoder": hearing}),
    )


def side(settings: Settings) -> int:
    """Pixels of the real faces."""
    return settings.pixels


@torch.no_grad()
def begin(networks: Mapping[str, nn.Module], settings: Settings, corpus: Corpus, features: FaceFeatures) -> None:
    """Give the decoder the mean landmarks of the training faces, once, before its first iteration.

    One that is taken over, and will not be trained, keeps those in whose shape it has learnt its textures.

    Raises DataError where no face has any, and where their mean is not the shape of a face.
    """
    del features
    if settings.decoder == "plain" or (not settings.decoder_iterations and _decoder(networks).mean_landmarks.any()):
        return
    mean = corpus.landmarks.float().nanmean(dim=0)
    if not mean.isfinite().all():
        raise DataError(
            "no training face has landmarks, which the decoder warps by: make the manifest anew with `pipeline run`, "
            "or train with --set decoder=plain"
        )
    deviations = torch.linalg.svdvals(mean - mean.mean(dim=0)) / len(mean) ** 0.5  # along the shape and across it
    lowest, highest = float(mean.min()), float(mean.max())
    if deviations[-1] < _THINNEST * settings.pixels or lowest < -settings.pixels or highest > 2 * settings.pixels:
        raise DataError(
            f"the mean landmarks of the training faces lie at {lowest:.3g} to {highest:.3g} pixels, with a deviation "
            f"of {float(deviations[-1]):.3g} across: that is no face in pictures of {settings.pixels} pixels. Make the "
            "manifest anew with `pipeline run`, or train with --set decoder=plain"
        )
    _decoder(networks).mean_landmarks.copy_(mean)


def _decoder(networks: Mapping[str, nn.Module]) -> ColeDecoder:
    return cast(ColeDecoder, networks["decoder"])


def update(step: Step, batch: Batch) -> Losses:
    """One step of the decoder, or of the encoder."""
    draws = step.phase.name == "decoder"
    with torch.no_grad(), step.autocast():
        shown = step.features.features(batch.face, step.settings.rectified)
    losses = _drawing(step, batch, shown) if draws else _hearing(step, batch, shown)
    weighted = [weight * losses[name] for name, weight in weights(step.settings, draws).items()]
    losses["total"] = torch.stack(weighted).sum()
    move(step, step.phase.name, losses["total"])
    return {name: loss.detach() for name, loss in losses.items()}


def weights(settings: Settings, draws: bool = False) -> dict[str, float]:
    """Of the terms of the decoder, or of the voice's loss."""
    s = settings
    if draws:
        given = {"texture": s.texture, "likeness": s.likeness}
        return given if s.decoder == "plain" else {"landmark": s.landmark, **given}
    if s.loss == "full":
        return {"first_layer": 1.0, "direction": s.direction, "distillation": s.distillation}
    return {s.loss: 1.0}


def _drawing(step: Step, batch: Batch, shown: Tensor) -> Losses:
    with step.autocast():
        drawn: Drawn = step.parallel["decoder"](shown)
        again = step.features.features(drawn.picture, step.settings.rectified)
    losses = {"likeness": feature_losses.turned(again, shown)}
    if drawn.landmarks is None:
        return losses | {"texture": l1(drawn.texture, batch.face)}
    assert batch.landmarks is not None
    known = batch.landmarks.isfinite().all(dim=(1, 2))
    mean = _decoder(step.networks).mean_landmarks.expand_as(batch.landmarks)
    # A face whose landmarks nobody found drops out of their term alone: it is aligned by its pupils anyway.
    real = torch.where(known[:, None, None], batch.landmarks, mean)
    away = ((drawn.landmarks - real) * (_LANDMARK_SIDE / batch.face.shape[-1])).square().mean(dim=(1, 2))
    losses["landmark"] = (away * known).sum() / known.sum().clamp_min(1)
    return losses | {"texture": l1(drawn.texture, warped(batch.face, real, mean))}


def _hearing(step: Step, batch: Batch, shown: Tensor) -> Losses:
    with step.autocast():
        said = embed(step.parallel, step.settings, batch)
    return terms(step.networks, step.settings, step.features, said, shown)


def terms(
    networks: Mapping[str, nn.Module], settings: Settings, features: FaceFeatures, said: Tensor, shown: Tensor
) -> Losses:
    """The terms of the voice's loss without their weights, of features said by voices and shown by faces (B, 4096)."""
    if settings.loss == "feature":
        return {"feature": feature_losses.absolute(said, shown)}
    decoder = _decoder(networks)
    if settings.loss == "pixel":
        with torch.no_grad():
            wanted = decoder(shown).picture
        return {"pixel": l1(decoder(said).picture, wanted)}
    classes = (features.logits(said, settings.rectified), features.logits(shown, settings.rectified))
    return {
        "first_layer": feature_losses.absolute(decoder.first(said), decoder.first(shown)),
        "direction": feature_losses.directional(said, shown),
        "distillation": feature_losses.distilled(*classes),
    }


def embed(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """The features (B, 4096) that voices say; several windows of a voice are averaged."""

    def encode(wave: Tensor) -> Tensor:
        longest = settings.frames[1] * HOP
        enough = at_least(levelled(beginning(wave, longest), settings.level), longest)
        said: Tensor = networks["encoder"](compressed(enough))
        return said.float()

    return heard(encode, batch)


@torch.no_grad()
def faces(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """The faces (B, 3, S, S) in 0..1 of voices; the networks are in eval mode."""
    drawn: Drawn = networks["decoder"](embed(networks, settings, batch))
    return drawn.picture
