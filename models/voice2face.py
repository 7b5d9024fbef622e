"""voice2face, the original (Wen, Singh and Raj, "Face Reconstruction from Voice using GANs", NeurIPS 2019).

A speaker encoder, trained beforehand (`models pretrain-voice`) and frozen, feeds a generator that plays against one
network with two heads: real or generated, and whose face. Voices and faces of a batch are drawn apart from each other.
The variant of the SF2F authors is a row of settings of `models.sf2f`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.settings import BelowOne, Count, NotNegative, Positive
from models.decoders import DeconvDecoder
from models.discriminators import SharedDiscriminator
from models.encoders import ConvEncoder
from models.fusers import mean_of_windows
from models.losses import called_fake, called_real, frozen
from models.noise import flipped
from models.system import Batch, Losses, Optimiser, Phase, Step, move

FRONT_END = "voice2face"
BANDS = 64
GENERATES = True
MATCHES = False
NEEDS = {"encoder": "models pretrain-voice"}  # networks that must come from another run, and the command that makes it
_SIDE = 64  # pixels
_FLOOR = 1e-5  # of a band's deviation


@dataclass(frozen=True, slots=True)
class Settings:
    """The released code."""

    encoder_channels: tuple[int, ...] = (256, 384, 576, 864)
    embedding: Positive = 64
    embedding_noise: NotNegative = 0.05  # deviation, in training only
    generator_channels: tuple[int, ...] = (1024, 512, 256, 128, 64)  # from 4 x 4 to 64 x 64
    discriminator_width: Positive = 32
    batch: Positive = 128
    rate: NotNegative = 2e-4
    betas: tuple[BelowOne, BelowOne] = (0.5, 0.999)
    iterations: Count = 50_000  # the paper: 100,000
    frames: tuple[int, int] = (300, 800)


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """The frozen encoder, the generator, and discriminator and classifier on one trunk."""
    return {
        "encoder": ConvEncoder(BANDS, settings.encoder_channels, settings.embedding, normalise=False),
        "generator": DeconvDecoder(settings.embedding, settings.generator_channels),
        "discriminator": SharedDiscriminator(n_identities, settings.discriminator_width, settings.embedding),
    }


def phases(settings: Settings) -> tuple[Phase, ...]:
    """One: generator against discriminator and classifier."""
    s = settings
    optimisers = {name: Optimiser((name,), s.rate, s.betas) for name in ("discriminator", "generator")}
    return (Phase("adversarial", "unpaired", s.iterations, s.batch, s.frames, optimisers),)


def side(settings: Settings) -> int:
    """Pixels of the real faces."""
    del settings  # the networks fix it
    return _SIDE


def update(step: Step, batch: Batch) -> Losses:
    """One step of discriminator and classifier, then one of the generator against them as they are now."""
    real = 2 * flipped(batch.face, step.noise) - 1
    with step.autocast():
        with torch.no_grad():
            embedding = embed(step.networks, batch)
        noise = torch.randn(embedding.shape, generator=step.noise, device=embedding.device)
        embedding = F.normalize(embedding + step.settings.embedding_noise * noise)
        (fake,) = step.parallel["generator"](embedding)
        called_r, whose_r = step.parallel["discriminator"](real)
        called_f, _ = step.parallel["discriminator"](fake.detach())
        losses = {
            "discriminator": called_real(called_r) + called_fake(called_f),
            "classifier": F.cross_entropy(whose_r, batch.face_identity),
        }
    go = move(step, "discriminator", losses["discriminator"] + losses["classifier"])
    with frozen(step.networks["discriminator"]), step.autocast():
        called_f, whose_f = step.networks["discriminator"](fake)
        losses["image_gan"] = called_real(called_f)
        losses["identity"] = F.cross_entropy(whose_f, batch.identity)
    losses["generator"] = losses["image_gan"] + losses["identity"]
    move(step, "generator", losses["generator"], go)
    return {name: loss.detach() for name, loss in losses.items()}


def embed(networks: Mapping[str, nn.Module], batch: Batch) -> Tensor:
    """Unit voice embeddings (B, E); each recording is normalised by its own mean and deviation per band.

    Windows (B, N, bands, F) are embedded one by one and averaged: the paper hears whole recordings.
    """
    mel = normalised(batch)
    if mel.dim() == 3:
        whole: Tensor = F.normalize(networks["encoder"](mel))
        return whole
    each = F.normalize(networks["encoder"](mel.flatten(0, 1))).view(*mel.shape[:2], -1)
    return F.normalize(mean_of_windows(each, batch.n_windows))


def normalised(batch: Batch) -> Tensor:
    """The mels of a batch with mean 0 and deviation 1 in every band of the whole recording."""
    return (batch.mel - batch.mel_mean[..., None]) / batch.mel_std[..., None].clamp_min(_FLOOR)


@torch.no_grad()
def faces(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """Generated faces (B, 3, 64, 64) in 0..1, without noise; the networks are in eval mode."""
    del settings  # the networks say it all
    (image,) = networks["generator"](embed(networks, batch))
    shown: Tensor = ((image.float() + 1) / 2).clamp(0, 1)
    return shown
