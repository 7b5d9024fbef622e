"""SF2F: speech to face in two stages (Bai et al., "Speech Fusion to Face", ACM MM 2022).

Stage 1 trains encoder and decoder on single crops against an image and an identity discriminator; stage 2 trains the
attention fuser over windows of more speech, with encoder and decoder frozen. Images inside are normalised by the
ImageNet mean and deviation, and the decoder's output is linear in that space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.settings import BelowOne, Count, NotNegative, Positive
from models.decoders import DeconvDecoder, GluDecoder, PaperDecoder
from models.discriminators import IdentityClassifier, IdentityDiscriminator, PatchDiscriminator, PooledDiscriminator
from models.encoders import ConvEncoder, InceptionEncoder
from models.fusers import AttentionFuser
from models.losses import called_fake, called_real, contrast, every_nth, frozen, l1
from models.system import Batch, Losses, Optimiser, Phase, Step, move

FRONT_END = "sf2f"  # profile of the mels
BANDS = 40
GENERATES = True
MATCHES = False
NEEDS: Mapping[str, str] = {}
MEL_MEAN, MEL_STD = 10.9915, 3.1661  # of un-normalised training crops (released code)
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # ImageNet, RGB
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@dataclass(frozen=True, slots=True)
class Settings:
    """The released configuration at 64 x 64; the paper's text and the ablations are other values."""

    encoder: Literal["inception", "inception5", "cnn"] = "inception"  # inception5: the paper's fifth module
    encoder_channels: tuple[int, ...] = (256, 384, 576, 864)
    embedding: Positive = 512
    embedding_noise: NotNegative = 0.0  # deviation of the noise added to embeddings, in training only
    decoder: Literal["glu", "bilinear", "deconv"] = "glu"  # bilinear: the paper's UpBlock
    decoder_channels: tuple[int, ...] = (512, 256, 128, 64, 32)  # from 4 x 4 to 64 x 64
    sides: tuple[int, ...] = (64,)  # pixels of the generated faces
    fuser_joins: Literal["query", "embedding"] = "query"  # what the attention's answer is joined with
    image_discriminator: Literal["patch", "pooled", "none"] = "patch"
    identity_discriminator: Literal["joint", "baseline", "classifier", "none"] = "joint"  # joint: also real or fake
    discriminator_width: Positive = 64  # channels after the first convolution
    l1: NotNegative = 10.0
    image_gan: NotNegative = 1.0
    identity: NotNegative = 0.05  # of the identity's cross-entropy, and of its real/fake head where it has one
    perceptual: NotNegative = 100.0
    contrast: NotNegative = 0.0  # of generated and real faces of the batch in the judge's space (ours)
    alignment: NotNegative = 0.0  # of the contrast of voices and real faces in the judge's space (ours)
    judge_space: Count = 0  # numbers of that judge's embedding; 0: not known before it is loaded
    judge: str = "facenet"  # face network of the perceptual loss; a name of `models.judges` or a file
    batch: Positive = 256  # identities
    rate: NotNegative = 5e-4
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    iterations: Count = 110_000  # 10,000 epochs of 11
    settling: Count = 22_000  # further ones with frozen batch norms and a rate that falls linearly to a thousandth
    frames: tuple[int, int] = (100, 150)  # of a crop: 1.0 to 1.5 s
    fuser_iterations: Count = 550  # 50 epochs of 11
    fuser_rate: NotNegative = 1e-4
    windows: Positive = 20
    window: Positive = 125  # frames
    stride: Positive = 125  # frames


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """Every network of a checkpoint: encoder, decoder, fuser, where asked for alignment, per side discriminators."""
    networks: dict[str, nn.Module] = {
        "encoder": _encoder(settings),
        "decoder": _decoder(settings),
        "fuser": AttentionFuser(settings.embedding, paper=settings.fuser_joins == "embedding"),
    }
    if settings.alignment and settings.judge_space:
        networks["alignment"] = nn.Sequential(
            nn.BatchNorm1d(settings.embedding), nn.Linear(settings.embedding, settings.judge_space)
        )
    image, identity, width = settings.image_discriminator, settings.identity_discriminator, settings.discriminator_width
    for side in settings.sides:
        if image == "patch":
            networks[f"image_{side}"] = PatchDiscriminator(side, width)
        elif image == "pooled":
            networks[f"image_{side}"] = PooledDiscriminator(width)
        if identity == "classifier":
            networks[f"identity_{side}"] = IdentityClassifier(n_identities, width)
        elif identity != "none":
            networks[f"identity_{side}"] = IdentityDiscriminator(
                side, n_identities, width, baseline=identity == "baseline"
            )
    return networks


def _encoder(settings: Settings) -> nn.Module:
    if settings.encoder == "cnn":
        return ConvEncoder(BANDS, settings.encoder_channels, settings.embedding, normalise=True)
    paper = settings.encoder == "inception5"
    return InceptionEncoder(BANDS, settings.encoder_channels, settings.embedding, paper)


def _decoder(settings: Settings) -> nn.Module:
    if settings.decoder == "deconv":
        return DeconvDecoder(
            settings.embedding, [2 * width for width in settings.decoder_channels]
        )  # no GLU halves them
    kind = PaperDecoder if settings.decoder == "bilinear" else GluDecoder
    return kind(settings.embedding, settings.sides, settings.decoder_channels)


def phases(settings: Settings) -> tuple[Phase, ...]:
    """Stage 1, stage 1 settling, stage 2."""
    s = settings
    image, identity = (
        tuple(f"{name}_{side}" for side in s.sides if kind != "none")
        for name, kind in (("image", s.image_discriminator), ("identity", s.identity_discriminator))
    )
    together, low = ("encoder", "decoder", *(["alignment"] if s.alignment and s.judge_space else [])), s.rate * 1e-3

    def opponents(rate: float) -> dict[str, Optimiser]:
        return {name: Optimiser((name,), rate, s.betas) for name in (*image, *identity)}

    settling = {name: Optimiser((name,), s.rate, s.betas, low, goes_on=True) for name in image}
    settling |= {name: Optimiser((name,), s.rate, s.betas, goes_on=True) for name in identity}
    return (
        Phase(
            "encoder-decoder", "paired", s.iterations, s.batch, s.frames,
            {"generator": Optimiser(together, s.rate, s.betas)} | opponents(s.rate),
        ),
        Phase(
            "settling", "paired", s.settling, s.batch, s.frames,
            {"generator": Optimiser(together, s.rate, s.betas, low, frozen_norms=True)} | settling,
        ),
        Phase(
            "fuser", "windows", s.fuser_iterations, s.batch, (s.window, s.window),
            {"generator": Optimiser(("fuser",), s.fuser_rate, s.betas)} | opponents(s.fuser_rate),
            s.windows, s.stride,
        ),
    )  # fmt: skip


def side(settings: Settings) -> int:
    """Pixels of the real faces."""
    return max(settings.sides)


def update(step: Step, batch: Batch) -> Losses:
    """One step of the generator, then of each discriminator on the same faces from before it."""
    s: Settings = step.settings
    face = normalised(batch.face)
    real = {side: every_nth(face, side) for side in s.sides}
    with step.autocast():
        embedding = embed(step.parallel, batch)
        if s.embedding_noise:
            drawn = torch.randn(embedding.shape, generator=step.noise, device=embedding.device)
            embedding = F.normalize(embedding + s.embedding_noise * drawn)
        images = dict(zip(s.sides, step.parallel["decoder"](embedding), strict=True))
    opponents = [network for name, network in step.networks.items() if name.startswith(("image_", "identity_"))]
    with frozen(*opponents), step.autocast():
        states = {side: step.perceptual.real(batch.face_index, side) if step.perceptual else [] for side in s.sides}
        terms = [_generator_terms(step, images[side], real[side], states[side], batch) for side in s.sides]
    losses = {name: torch.stack([term[name] for term in terms]).sum() for name in terms[0]}
    if s.alignment:
        with step.autocast():
            voices = step.parallel["alignment"](embedding)
        losses["alignment"] = contrast(voices, states[max(s.sides)][-1], batch.identity)
    losses["generator"] = torch.stack([weight * losses[name] for name, weight in _weights(s).items()]).sum()
    go = move(step, "generator", losses["generator"])
    for side in s.sides:
        fake = images[side].detach()
        for name in (f"image_{side}", f"identity_{side}"):
            if name in step.networks:
                network = step.parallel[name]
                with step.autocast():
                    losses[name] = (
                        _image_loss(network, fake, real[side])
                        if name.startswith("image")
                        else _identity_loss(network, fake, real[side], batch.identity)
                    )
                move(step, name, losses[name], go)
    return {name: loss.detach() for name, loss in losses.items()}


def _weights(s: Settings) -> dict[str, float]:
    """Weights of the generator's terms; only those that are used."""
    given = {"l1": s.l1, "perceptual": s.perceptual, "contrast": s.contrast, "alignment": s.alignment}
    if s.image_discriminator != "none":
        given["image_gan"] = s.image_gan
    if s.identity_discriminator != "none":
        given["identity"] = s.identity
    if s.identity_discriminator in ("joint", "baseline"):
        given["identity_gan"] = s.identity
    return {name: weight for name, weight in given.items() if weight}


def _generator_terms(step: Step, fake: Tensor, real: Tensor, states: Sequence[Tensor], batch: Batch) -> Losses:
    """The terms of one side; `states` are those of the loss judge on the real faces."""
    wanted, side = _weights(step.settings), fake.shape[-1]
    terms: Losses = {}
    if "l1" in wanted:
        terms["l1"] = l1(fake, real)
    if "image_gan" in wanted:
        terms["image_gan"] = called_real(step.networks[f"image_{side}"](fake))
    if "identity" in wanted:
        called, identities = step.networks[f"identity_{side}"](fake)
        terms["identity"] = F.cross_entropy(identities, batch.identity)
        if called is not None:
            terms["identity_gan"] = called_real(called)
    if "perceptual" in wanted or "contrast" in wanted:
        distance, embedding = step.perceptual(shown(fake), states)
        if "perceptual" in wanted:
            terms["perceptual"] = distance
        if "contrast" in wanted:
            terms["contrast"] = contrast(embedding, states[-1], batch.identity)
    return terms


def _image_loss(network: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
    """Fakes and reals pass one after the other, so that batch norm sees one domain at a time; fakes first."""
    on_fake = called_fake(network(fake))
    return on_fake + called_real(network(real))


def _identity_loss(network: nn.Module, fake: Tensor, real: Tensor, identity: Tensor) -> Tensor:
    called_f, _ = network(fake)
    called_r, identities = network(real)
    right = F.cross_entropy(identities, identity)
    return right if called_r is None else called_real(called_r) + called_fake(called_f) + right


def embed(networks: Mapping[str, nn.Module], batch: Batch) -> Tensor:
    """Unit voice embeddings (B, E): of one crop each, or of several windows fused."""
    mel = (batch.mel - MEL_MEAN) / MEL_STD
    if mel.dim() == 3:
        return networks["encoder"](mel)  # type: ignore[no-any-return]
    people, windows = mel.shape[:2]
    each = networks["encoder"](mel.flatten(0, 1)).view(people, windows, -1)
    return networks["fuser"](each, batch.n_windows)  # type: ignore[no-any-return]


@torch.no_grad()
def faces(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """The largest generated face of each voice, (B, 3, S, S) in 0..1; the networks are in eval mode."""
    del settings  # the networks say it all
    return shown(networks["decoder"](embed(networks, batch))[-1])


def normalised(face: Tensor) -> Tensor:
    """0..1 to the space of the networks."""
    return (face - _MEAN.to(face)) / _STD.to(face)


def shown(image: Tensor) -> Tensor:
    """The space of the networks to 0..1; what cannot be displayed is clamped, and has no gradient there."""
    return (image.float() * _STD.to(image.device) + _MEAN.to(image.device)).clamp(0, 1)
