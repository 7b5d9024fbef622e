"""Wav2Pix: a face straight from a second of waveform (Duarte et al., "Wav2Pix", ICASSP 2019).

One encoder from waveform to embedding, one generator without noise but for its dropout, one discriminator that sees
the embedding too and must also turn down real faces of somebody else. Made for ten speakers; here the classifier on
the embedding has as many classes as there are training people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from manifests.settings import BelowOne, Count, NotNegative, Positive
from models.fusers import mean_of_windows
from models.losses import frozen, l1
from models.noise import seeded, strangers
from models.spectrogram import at_least, pre_emphasised
from models.system import Batch, Losses, Optimiser, Phase, Step, move
from pipeline.frontend import SAMPLE_RATE

FRONT_END = "wave"
GENERATES = True
MATCHES = False
NEEDS: Mapping[str, str] = {}
_FIRST_SIDE = 4  # pixels of the generator's first code and of the discriminator's last
_STEPS = 4  # of the encoder's last layer in a second; other lengths are averaged to as many
_HEARD = SAMPLE_RATE  # samples: a second
_PRE_EMPHASIS = 0.95
_SILENT = 1e-4
_REAL = 0.9  # the discriminator's label of real faces
_DEVIATION = 0.02  # of weights at the start

# The embedding as it is, or the direction of it alone. Scores are linear in it, and the generator's spectral norm makes
# it long: the encoder can raise a score by length alone, and one step of the discriminator may overshoot by as much.
Hears = Literal["embedding", "direction"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The official code."""

    encoder_channels: tuple[int, ...] = (16, 32, 128, 256, 512, 1024)
    hidden: tuple[int, ...] = (256, 128)
    embedding: Positive = 128
    generator_channels: tuple[int, ...] = (1024, 512, 256, 128, 64)  # at 4 pixels, 8, … half the side
    discriminator_channels: tuple[int, ...] = (64, 128, 256, 512, 1024)  # at half the side, … 4 pixels
    discriminator_hears: Hears = "embedding"
    dropout: BelowOne = 0.5
    classifier: Positive = 200  # units of its hidden layer
    image_gan: NotNegative = 1.0
    feature_matching: NotNegative = 100.0  # of the discriminator's mean features
    l1: NotNegative = 50.0
    identity: NotNegative = 20.0  # of the classifier's cross-entropy
    batch: Positive = 64
    rate: NotNegative = 1e-4
    discriminator_rate: NotNegative = 4e-4
    betas: tuple[BelowOne, BelowOne] = (0.5, 0.999)
    iterations: Count = 20_000  # 200 epochs of HQ-VoxCeleb's 6,375 training faces
    frames: tuple[int, int] = (100, 100)  # any second of a recording: the paper's clips were one or two seconds long


class Encoder(nn.Module):
    """Six convolutions over the waveform, a quarter of the samples left by each, and three linear layers."""

    def __init__(self, channels: Sequence[int], hidden: Sequence[int], embedding: int) -> None:
        super().__init__()
        convolutions: list[nn.Module] = []
        for inputs, outputs in pairwise([1, *channels]):
            convolutions += [
                nn.ConstantPad1d((6, 7), 0.0),
                nn.Conv1d(inputs, outputs, 15, stride=4, bias=False),
                nn.BatchNorm1d(outputs),
                nn.LeakyReLU(0.3),
            ]  # (B, 16, 4000), (B, 32, 1000), (B, 128, 250), (B, 256, 63), (B, 512, 16), (B, 1024, 4)
        linear: list[nn.Module] = []
        for inputs, outputs in pairwise([channels[-1] * _STEPS, *hidden]):
            linear += [nn.Linear(inputs, outputs), nn.ReLU()]  # (B, 256), (B, 128)
        self.layers = nn.Sequential(
            *convolutions, nn.AdaptiveAvgPool1d(_STEPS), nn.Flatten(), *linear, nn.Linear(hidden[-1], embedding)
        )
        _begin(self)

    def forward(self, wave: Tensor) -> Tensor:
        """Embeddings (B, embedding) of waveforms (B, samples)."""
        embedding: Tensor = self.layers(wave[:, None])
        return embedding


class Generator(nn.Module):
    """Transposed convolutions with spectral norm, dropout and ReLU between them, no batch norm."""

    def __init__(self, embedding: int, channels: Sequence[int], dropout: float) -> None:
        super().__init__()
        first = nn.ConvTranspose2d(embedding, channels[0], 4, bias=False)  # (B, 1024, 4, 4)
        doubling = [  # (B, 512, 8, 8), (B, 256, 16, 16), (B, 128, 32, 32), (B, 64, 64, 64), (B, 3, 128, 128)
            nn.ConvTranspose2d(*widths, 4, stride=2, padding=1, bias=False) for widths in pairwise([*channels, 3])
        ]
        layers: list[nn.Module] = [first]
        for convolution in doubling:
            layers += [nn.Dropout(dropout), nn.ReLU(), convolution]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        _begin(self)
        for convolution in (first, *doubling):
            spectral_norm(convolution)

    def forward(self, embedding: Tensor) -> Tensor:
        """Faces (B, 3, S, S) in -1..1 of (B, embedding)."""
        face: Tensor = self.layers(embedding[:, :, None, None])
        return face


class Discriminator(nn.Module):
    """Strided convolutions with spectral norm; at 4 x 4 pixels the embedding, or its direction, joins in."""

    def __init__(self, channels: Sequence[int], embedding: int, hears: Hears = "embedding") -> None:
        super().__init__()
        self.hears = hears
        layers: list[nn.Module] = []
        for widths in pairwise([3, *channels]):  # (B, 64, 64, 64) … (B, 1024, 4, 4)
            layers += [nn.Conv2d(*widths, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Conv2d(channels[-1] + embedding, 1, _FIRST_SIDE, bias=False)
        _begin(self)
        for convolution in layers[::2]:
            spectral_norm(convolution)

    def forward(self, face: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B,) of faces in -1..1 with embeddings, near 1 for real pairs; and the trunk's features."""
        features = self.trunk(face)
        if self.hears == "direction":
            embedding = F.normalize(embedding, dim=1)
        beside = embedding[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return self.last(torch.cat([features, beside], dim=1)).flatten(), features


def _begin(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=_DEVIATION)  # DCGAN's


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """Encoder, generator, discriminator, classifier. Raises ValueError where faces of two sides would meet."""
    s = settings
    if len(s.discriminator_channels) != len(s.generator_channels):
        raise ValueError(f"the generator draws {side(s)} pixels, the discriminator sees others: one has more channels")
    return {
        "encoder": Encoder(s.encoder_channels, s.hidden, s.embedding),
        "generator": Generator(s.embedding, s.generator_channels, s.dropout),
        "discriminator": Discriminator(s.discriminator_channels, s.embedding, s.discriminator_hears),
        "classifier": nn.Sequential(
            nn.Linear(s.embedding, s.classifier),
            nn.BatchNorm1d(s.classifier),
            nn.LeakyReLU(0.2),
            nn.Linear(s.classifier, n_identities),
            nn.BatchNorm1d(n_identities),
        ),
    }


def phases(settings: Settings) -> tuple[Phase, ...]:
    """One: encoder, generator and classifier against the discriminator."""
    s = settings
    optimisers = {
        "discriminator": Optimiser(("discriminator",), s.discriminator_rate, s.betas),
        "generator": Optimiser(("encoder", "generator", "classifier"), s.rate, s.betas),
    }
    return (Phase("adversarial", "paired", s.iterations, s.batch, s.frames, optimisers),)


def side(settings: Settings) -> int:
    """Pixels of the real and generated faces."""
    return _FIRST_SIDE << len(settings.generator_channels)


def update(step: Step, batch: Batch) -> Losses:
    """One step of the discriminator, then one of the others against it as it is now, on the same generated faces."""
    s: Settings = step.settings
    real = 2 * batch.face - 1
    rows, there = strangers(batch.identity, 1, step.noise)
    with step.autocast(), seeded(step.noise):
        embedding = step.parallel["encoder"](prepared(batch.wave))
        fake = step.parallel["generator"](embedding)
        identities = step.parallel["classifier"](embedding)
        judge, heard = step.parallel["discriminator"], embedding.detach()
        on_real, on_fake, on_wrong = (judge(face, heard)[0] for face in (real, fake.detach(), real[rows[:, 0]]))
    losses = {"discriminator": discriminator_loss(on_real, on_fake, on_wrong, there[:, 0])}
    go = move(step, "discriminator", losses["discriminator"])
    with frozen(step.networks["discriminator"]), step.autocast():
        called, found = step.networks["discriminator"](fake, embedding)
        with torch.no_grad():
            _, wanted = step.networks["discriminator"](real, embedding)
    losses |= {
        "image_gan": (called.float() - 1).square().mean(),
        "feature_matching": F.mse_loss(found.float().mean(dim=0), wanted.float().mean(dim=0)),
        "l1": l1(fake.float(), real),
        "identity": F.cross_entropy(identities.float(), batch.identity),
    }
    terms = [getattr(s, name) * loss for name, loss in losses.items() if name != "discriminator"]
    losses["generator"] = torch.stack(terms).sum()
    move(step, "generator", losses["generator"], go)
    return {name: loss.detach() for name, loss in losses.items()}


def discriminator_loss(real: Tensor, fake: Tensor, wrong: Tensor, there: Tensor) -> Tensor:
    """Squared distances of scores (B,) from 0.9 for real pairs, from 0 for generated and for somebody else's faces.

    `there` (B,) is false where the batch has nobody else.
    """
    others = (wrong.float().square() * there).sum() / there.sum().clamp(min=1)
    return (real.float() - _REAL).square().mean() + fake.float().square().mean() + others


def prepared(wave: Tensor) -> Tensor:
    """The second in the middle of waveforms (…, samples), repeated if shorter: largest sample 1, then pre-emphasis."""
    wave = at_least(wave, _HEARD)
    first = (wave.shape[-1] - _HEARD) // 2
    cut = wave[..., first : first + _HEARD]
    return pre_emphasised(cut / cut.abs().amax(dim=-1, keepdim=True).clamp_min(_SILENT), _PRE_EMPHASIS)


@torch.no_grad()
def faces(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """Generated faces (B, 3, S, S) in 0..1, without dropout; of windows (B, N, …) that of their mean embedding."""
    del settings  # the networks say it all
    wave = prepared(batch.wave)
    embedding = networks["encoder"](wave.flatten(0, -2))
    if wave.dim() == 3:
        embedding = mean_of_windows(embedding.view(*wave.shape[:2], -1), batch.n_windows)
    shown: Tensor = (networks["generator"](embedding).float() + 1) / 2
    return shown
