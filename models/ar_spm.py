"""AR-SPM (Wang et al., "Attention-based Residual Speech Portrait Model for Speech to Face Generation", 2020).

A voice encoder with attention says how the speaker's face differs from a prior face: the mean face feature of the
training people, or of those of the speaker's gender. First a decoder is trained to draw faces from the features that a
frozen VGG-Face has of them; then, with both frozen, the encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn

from manifests.settings import BelowOne, Count, MoreThanZero, NotNegative, Positive
from models import feature_losses, ms_ssim
from models.cbam import Attention
from models.data import Corpus
from models.face_features import PUBLISHED, FaceFeatures
from models.feature_decoders import AttentionDecoder
from models.priors import Priors, means
from models.spectrogram import HOP, at_least, beginning, compressed
from models.spectrogram_encoders import Backbone, GenderClassifier, ResidualEncoder
from models.system import Batch, Losses, Optimiser, Phase, Step, move
from models.vggface import FEATURES
from models.windows import heard

FRONT_END = "wave"
GENERATES = True
MATCHES = False
NEEDS: Mapping[str, str] = {}
Variant = Literal["neutral+fc", "neutral", "gender+fc", "gender", "male", "female", "none"]
_EPOCHS, _EPOCH = 50, 398  # iterations of an epoch: 16 at a time of HQ-VoxCeleb's 6,375 training faces


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper, its best variant; what it leaves open is a comment."""

    features: str = PUBLISHED  # face network to imitate: `vggface`, or a file of `pretrain-face --set layout=vgg`
    rectified: bool = True  # its features after their ReLU
    space: Positive = FEATURES  # how many it has
    variant: Variant = "neutral+fc"  # which prior; fc: added before the fusion layer, not after it
    prior_faces: Positive = 10_000
    attention: Attention = "cbam"  # of encoder and decoder
    backbone: Backbone = "own"  # of the encoder
    encoder_channels: tuple[int, ...] = ResidualEncoder.CHANNELS  # resnet: stem and four stages; densenet: stem alone
    decoder_channels: tuple[int, ...] = AttentionDecoder.CHANNELS
    gender_channels: tuple[int, ...] = GenderClassifier.CHANNELS
    pixels: Positive = 224
    alpha: Annotated[float, Interval(ge=0, le=1)] = ms_ssim.ALPHA
    direction: NotNegative = 1.0  # lambda 1; `models balance` proposes others for another face network
    first_layer: NotNegative = 0.04  # lambda 2
    classes: NotNegative = 1.2  # lambda 3
    third: Literal["cosine", "distillation"] = "cosine"  # how the classes' logits are compared
    batch: Positive = 16
    rate: NotNegative = 1e-3
    betas: tuple[BelowOne, BelowOne] = (0.5, 0.999)
    epsilon: MoreThanZero = 1e-4
    decay: MoreThanZero = 0.9  # of the rate, every `decay_every` iterations
    decay_every: Positive = 2 * _EPOCH
    decoder_iterations: Count = _EPOCHS * _EPOCH
    gender_iterations: Count = 9375  # once over 150,000 clips
    iterations: Count = _EPOCHS * _EPOCH
    frames: tuple[int, int] = (600, 600)  # 6 s; shorter voices are repeated, of longer ones the first 6 s heard


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """Voice encoder, face decoder, the priors, and what hears genders where that chooses the prior."""
    del n_identities  # nobody is classified
    s = settings
    networks: dict[str, nn.Module] = {
        "encoder": ResidualEncoder(s.encoder_channels, s.attention, s.backbone, s.space),
        "decoder": AttentionDecoder(s.pixels, s.decoder_channels, s.attention, s.space),
    }
    if s.variant != "none":
        networks["priors"] = Priors(s.space)
    if _by_gender(s):
        networks["gender"] = GenderClassifier(s.gender_channels)
    return networks


def _by_gender(settings: Settings) -> bool:
    return settings.variant in ("gender", "gender+fc")


def phases(settings: Settings) -> tuple[Phase, ...]:
    """The decoder on faces alone; the gender classifier where it is wanted; the encoder on voices and faces."""
    s = settings

    def moving(name: str) -> dict[str, Optimiser]:
        return {name: Optimiser((name,), s.rate, s.betas, epsilon=s.epsilon, decay=s.decay, every=s.decay_every)}

    decoder = Phase("decoder", "faces", s.decoder_iterations, s.batch, (0, 0), moving("decoder"))
    hearing = {"gender": Optimiser(("gender",), s.rate)}
    gender = Phase("gender", "paired", s.gender_iterations, s.batch, s.frames, hearing)
    encoder = Phase("encoder", "paired", s.iterations, s.batch, s.frames, moving("encoder"))
    return (decoder, gender, encoder) if _by_gender(s) else (decoder, encoder)


def side(settings: Settings) -> int:
    """Pixels of the real faces."""
    return settings.pixels


@torch.no_grad()
def begin(networks: Mapping[str, nn.Module], settings: Settings, corpus: Corpus, features: FaceFeatures) -> None:
    """Compute the priors from the training faces, once, before the first iteration.

    Raises DataError where a gender is missing.
    """
    if settings.variant == "none":
        return
    packed = corpus.packed
    every = features.of_all(corpus.faces, settings.rectified)
    priors = networks["priors"]
    found = means(every, packed.arrays["face_person"], packed.genders, settings.prior_faces)
    priors.load_state_dict(found)


def update(step: Step, batch: Batch) -> Losses:
    """One step of the decoder, of the gender classifier, or of the encoder."""
    name = step.phase.name
    losses = {"decoder": _drawing, "gender": _telling, "encoder": _hearing}[name](step, batch)
    weighted = [weight * losses[term] for term, weight in weights(step.settings, name).items()]
    losses["total"] = torch.stack(weighted).sum()
    move(step, name, losses["total"])
    return {term: loss.detach() for term, loss in losses.items()}


def weights(settings: Settings, phase: str = "encoder") -> dict[str, float]:
    """Of the terms of a phase's loss."""
    s = settings
    return {
        "decoder": {"image": 1.0, "likeness": 1.0},
        "gender": {"gender": 1.0},
        "encoder": {"direction": s.direction, "first_layer": s.first_layer, "classes": s.classes},
    }[phase]


def _shown(step: Step, batch: Batch) -> Tensor:
    with torch.no_grad(), step.autocast():
        found: Tensor = step.features.features(batch.face, step.settings.rectified)
    return found


def _drawing(step: Step, batch: Batch) -> Losses:
    shown = _shown(step, batch)
    with step.autocast():
        picture = step.parallel["decoder"](shown)
        again = step.features.features(picture, step.settings.rectified)
    return {
        "image": ms_ssim.loss(picture, batch.face, step.settings.alpha),
        "likeness": feature_losses.turned(again, shown),
    }


def _telling(step: Step, batch: Batch) -> Losses:
    gender = step.traits["gender"][batch.identity]
    with step.autocast():
        logits = step.parallel["gender"](_spectrogram(batch.wave, step.settings)).float()
    summed = F.cross_entropy(logits, gender, ignore_index=-1, reduction="sum")
    return {"gender": summed / (gender >= 0).sum().clamp_min(1)}


def _hearing(step: Step, batch: Batch) -> Losses:
    known = step.traits["gender"][batch.identity] if _by_gender(step.settings) else None
    with step.autocast():
        said = embed(step.parallel, step.settings, batch, known)
    return terms(step.networks, step.settings, step.features, said, _shown(step, batch))


def terms(
    networks: Mapping[str, nn.Module], settings: Settings, features: FaceFeatures, said: Tensor, shown: Tensor
) -> Losses:
    """The tri-item loss without its weights, of features said by voices and shown by faces (B, 4096)."""
    first = cast(AttentionDecoder, networks["decoder"]).first
    compare = feature_losses.turned if settings.third == "cosine" else feature_losses.distilled
    return {
        "direction": feature_losses.directional(said, shown),
        "first_layer": feature_losses.absolute(first(said), first(shown)),
        "classes": compare(features.logits(said, settings.rectified), features.logits(shown, settings.rectified)),
    }


def embed(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch, gender: Tensor | None = None) -> Tensor:
    """The features (B, 4096) that voices say, prior included; several windows of a voice are averaged.

    `gender` (B,), 0 for f and 1 for m, chooses the prior in training; the classifier does where it is -1, or not given.
    """

    def encode(wave: Tensor) -> Tensor:
        spectrogram = _spectrogram(wave, settings)
        prior = _prior(networks, settings, spectrogram, gender)
        said: Tensor = networks["encoder"](spectrogram, prior, before=settings.variant.endswith("+fc"))
        return said.float()

    return heard(encode, batch)


def _spectrogram(wave: Tensor, settings: Settings) -> Tensor:
    longest = settings.frames[1] * HOP
    return compressed(at_least(beginning(wave, longest), longest))


def _prior(
    networks: Mapping[str, nn.Module], settings: Settings, spectrogram: Tensor, gender: Tensor | None
) -> Tensor | None:
    """(n, 4096) for spectrograms (n, …); None where the variant has none."""
    if settings.variant == "none":
        return None
    priors = cast(Priors, networks["priors"])
    if not _by_gender(settings):
        fixed: Tensor = getattr(priors, settings.variant.removesuffix("+fc"))
        return fixed.expand(spectrogram.shape[0], -1)
    male = networks["gender"](spectrogram).argmax(dim=1)
    if gender is not None:
        male = torch.where(gender >= 0, gender, male)
    return priors.of(male == 1)


@torch.no_grad()
def genders(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """What is heard of the gender of voices (B,): 0 for f, 1 for m."""
    found: Tensor = networks["gender"](_spectrogram(batch.wave, settings)).argmax(dim=1)
    return found


@torch.no_grad()
def faces(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """The faces (B, 3, S, S) in 0..1 of voices; the networks are in eval mode."""
    drawn: Tensor = networks["decoder"](embed(networks, settings, batch))
    return drawn
