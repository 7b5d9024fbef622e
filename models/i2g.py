"""I2G: matching first, then generation (Choi, Park and Lee, "From Inference to Generation", ICLR 2020).

Stage A trains a speech encoder S and a face encoder F to find the right face among K by its voice, or the other way
round. Stage B trains a generator on the condition c = S(voice) against a projection discriminator that begins as F and
has to tell not only real from generated but right from mismatched (relidGAN). S is frozen there, and a copy of F too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn

from manifests.settings import BelowOne, Count, MoreThanZero, NotNegative, Positive
from models.data import Corpus
from models.fusers import mean_of_windows
from models.galleries import expect_batch, expect_people
from models.losses import frozen
from models.noise import flipped, strangers, truncated
from models.relid import Discriminator, critic, penalty, relid
from models.residual import FIRST_SIDE, FaceEncoder, FaceGenerator
from models.sincnet import WaveEncoder
from models.spectrogram import at_least, beginning
from models.system import Batch, Losses, Optimiser, Phase, Step, Way, move
from pipeline.frontend import HOP

FRONT_END = "wave"
GENERATES = True
MATCHES = True
NEEDS: Mapping[str, str] = {}
# Of what is computed and not stored, no tensor of a checkpoint says how much there may be: here up to a quarter second.
Kernel = Annotated[int, Interval(ge=1, le=4001)]
_LEVEL = 0.01  # root mean square of a waveform, full scale being 1
_SILENT = 1e-6
_STRETCHES = 3  # of stage A's learning rate
_FEWEST = 2  # people of stage B, which mistakes one for another
_CENTRED = 64  # training faces
_SEED = 0  # of the noise that faces are made with outside training
_PLACES = 64  # of a batch, each with noise of its own; a larger batch begins anew


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper. Where it lowers a rate by the validation loss, the stretches are of equal length here."""

    way: Way = "V-F"  # stage A: find the face by the voice, or the voice by the face
    candidates: Positive = 10  # K: the right one and others of the batch
    temperature: MoreThanZero = 1.0
    stage_a: bool = True  # else S and F begin at random, and S learns within the GAN, with the discriminator
    speech_channels: tuple[int, ...] = (64, 64, 128, 128, 256, 256, 512, 512)
    speech_kernel: Kernel = 251  # samples of a SincNet filter, an odd number
    bottleneck: Positive = 100
    face_channels: tuple[int, ...] = (64, 128, 256, 512, 1024)  # at half the side, a quarter, … 4 pixels
    spectral_norm: bool = False  # in the face encoder, and so in the discriminator
    embedding: Positive = 128
    noise: Positive = 128
    generator_channels: tuple[int, ...] = (1024, 1024, 512, 256, 128, 64)  # at 4 pixels, 8, … the side
    mil: bool = True  # the mismatched-identity term of the relidGAN losses
    r1: NotNegative = 10.0  # gamma
    truncation: MoreThanZero | None = 1.0  # of the noise outside training; null: none
    frames: tuple[int, int] = (600, 600)  # 6 s
    matching_batch: Positive = 32  # the paper: 12 where a voice is looked for
    matching_optimiser: Literal["sgd", "adam"] = "sgd"
    matching_rate: NotNegative = 1e-3
    matching_decay: NotNegative = 0.1  # of that rate after one third of the iterations, and after two
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 5e-4
    matching_iterations: Count = 60_000
    batch: Positive = 24  # of each step
    discriminator_steps: Positive = 2  # for one of the generator
    rate: NotNegative = 1e-4
    discriminator_rate: NotNegative = 5e-5
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.9)
    iterations: Count = 500_000


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """S, F as stage A leaves it, and the GAN. Raises ValueError where generator and face encoder differ in side."""
    del n_identities  # nobody is told apart by name
    s = settings
    if len(s.generator_channels) != len(s.face_channels) + 1:
        drawn = FIRST_SIDE << len(s.generator_channels) - 1
        raise ValueError(
            f"the generator draws {drawn} pixels, the face encoder sees {side(s)}: channels differ in number"
        )

    def face_encoder() -> FaceEncoder:
        return FaceEncoder(s.face_channels, s.embedding, s.spectral_norm)

    generator = FaceGenerator(s.noise, s.embedding, s.generator_channels)
    seeded = torch.Generator().manual_seed(_SEED)  # on the CPU, where every device gets the same from
    # Drawn here, because ONNX has no words for it, and held with the network, which goes to the device.
    generator.register_buffer("noise", truncated((_PLACES, s.noise), s.truncation, seeded), persistent=False)
    return {
        "speech": WaveEncoder(s.speech_channels, s.bottleneck, s.embedding, s.speech_kernel),
        "face": face_encoder(),
        "discriminator": Discriminator(face_encoder(), s.embedding),
        "generator": generator,
    }


def phases(settings: Settings) -> tuple[Phase, ...]:
    """Stage A and stage B; a batch of the second holds the voices and faces of all its discriminator steps.

    Raises UsageError where batches of stage A are smaller than its galleries.
    """
    s = settings
    if _matches(s):
        expect_batch(s.candidates, s.matching_batch)
    matching = Optimiser(
        ("speech", "face"), s.matching_rate, kind=s.matching_optimiser, momentum=s.momentum,
        weight_decay=s.weight_decay, decay=s.matching_decay, every=-(-s.matching_iterations // _STRETCHES),
    )  # fmt: skip
    judging = ("discriminator",) if s.stage_a else ("discriminator", "speech")
    opponents = {
        "discriminator": Optimiser(judging, s.discriminator_rate, s.betas),
        "generator": Optimiser(("generator",), s.rate, s.betas),
    }
    return (
        Phase(
            "matching", "paired", s.matching_iterations if s.stage_a else 0, s.matching_batch, s.frames,
            {"matching": matching},
        ),
        Phase("gan", "paired", s.iterations, s.batch * s.discriminator_steps, s.frames, opponents),
    )  # fmt: skip


def _matches(settings: Settings) -> bool:
    return settings.stage_a and settings.matching_iterations > 0


def side(settings: Settings) -> int:
    """Pixels of the real and generated faces."""
    return FIRST_SIDE << len(settings.face_channels)


def begin(networks: Mapping[str, nn.Module], settings: Settings, corpus: Corpus, features: None) -> None:
    """Before stage A: take out of F what it gives to all training faces alike.

    The sum over the picture makes that part many times larger than what tells faces apart. It cancels where a voice
    chooses among faces, so that such training never removes it, and drowns the rest where a face chooses among voices.
    Raises DataError for too few people.
    """
    del features
    expect_people(settings.candidates if _matches(settings) else _FEWEST, corpus.n_people)
    if _matches(settings):
        face = cast(FaceEncoder, networks["face"])
        rows = torch.linspace(0, len(corpus.faces) - 1, _CENTRED).long()
        seen = corpus.faces[rows.to(corpus.faces.device)].to(face.embedding.bias.device).float() / 255
        face.embedding.bias.sub_(face(2 * seen - 1).mean(dim=0))


def update(step: Step, batch: Batch) -> Losses:
    """One iteration of either stage."""
    return _match(step, batch) if step.phase.name == "matching" else _play(step, batch)


def _match(step: Step, batch: Batch) -> Losses:
    """Stage A: one step of S and F; phi, with which stage B will begin, follows F."""
    s: Settings = step.settings
    expect_batch(s.candidates, len(batch.identity))
    with step.autocast():
        voices = step.parallel["speech"](prepared(batch.wave, s))
        faces = step.parallel["face"](2 * flipped(batch.face, step.noise) - 1)
    scores = voices.float() @ faces.float().T / s.temperature
    loss, error = matching(scores if s.way == "V-F" else scores.T, batch.identity, s.candidates, step.noise)
    move(step, "matching", loss)
    step.networks["discriminator"].phi.load_state_dict(step.networks["face"].state_dict())  # type: ignore[union-attr]
    return {"matching": loss.detach(), "error": error}


def matching(scores: Tensor, identity: Tensor, candidates: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cross-entropy of finding the right of K candidates (section 3.1), and the share of errors.

    `scores` (B, B) are of each probe, by row, with everything in the batch; the candidates that are not right are drawn
    from the rows of other people. A probe counts where the batch has K - 1 of these.
    """
    rows, there = strangers(identity, candidates - 1, noise)
    counts = there.all(dim=1)
    having = counts.sum().clamp_min(1)
    own = scores.diagonal()[:, None]
    chosen = torch.cat([own, scores.gather(1, rows)], dim=1)  # (B, K)
    right = torch.zeros(len(chosen), dtype=torch.long, device=chosen.device)
    wrong = (chosen[:, 1:].detach() >= own).any(dim=1) & counts
    loss = (F.cross_entropy(chosen, right, reduction="none") * counts).sum() / having
    return loss, wrong.sum() / having


def _play(step: Step, batch: Batch) -> Losses:
    """Stage B: the steps of the discriminator, each on voices and faces of its own, and one of the generator."""
    s: Settings = step.settings
    face = 2 * flipped(batch.face, step.noise) - 1
    wave = prepared(batch.wave, s)
    found: list[Losses] = []
    go: Tensor | None = None
    for rows in torch.arange(len(wave), device=wave.device).chunk(s.discriminator_steps):
        own, identity = face[rows].requires_grad_(), batch.identity[rows]
        with step.autocast():
            voice = step.parallel["speech"](wave[rows])  # without gradient where stage A has trained it
            with torch.no_grad():
                fake = _draw(step, voice)
            # As a plain call: compiled networks and their wrappers for several processes have no second derivative.
            real = step.networks["discriminator"].forward(own)
            made = step.parallel["discriminator"](fake)
        other = _stranger(step, voice, identity)
        slope = penalty(critic(real, voice), own)
        loss = F.softplus(-relid(real, made, voice, other)).mean()
        go = move(step, "discriminator", loss + s.r1 / 2 * slope, go)
        found.append({"discriminator": loss.detach(), "r1": slope.detach()})
    voice, other = voice.detach(), other.detach()
    with frozen(step.networks["discriminator"]), step.autocast():
        fake = _draw(step, voice)
        made = step.networks["discriminator"](fake)
        with torch.no_grad():
            real = step.networks["discriminator"](own)
    loss = F.softplus(-relid(made, real, voice, other)).mean()
    move(step, "generator", loss, go)
    losses = {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}
    return losses | {"generator": loss.detach()}


def _draw(step: Step, voice: Tensor) -> Tensor:
    """A face for each voice, with new noise."""
    noise = truncated((len(voice), step.settings.noise), None, step.noise)
    face: Tensor = step.parallel["generator"](noise, voice)
    return face


def _stranger(step: Step, voice: Tensor, identity: Tensor) -> Tensor:
    """The voice of somebody else for each row; its own, which adds nothing, where there is nobody, or without mil."""
    rows, there = strangers(identity, 1, step.noise)
    return torch.where(there & step.settings.mil, voice[rows[:, 0]], voice)


def prepared(wave: Tensor, settings: Settings) -> Tensor:
    """Waveforms (…, samples) at the level of training, repeated to its length if shorter; of longer ones the first 6 s.

    In training the crops are random, and none is longer.
    """
    wave = beginning(wave, settings.frames[1] * HOP)
    level = wave.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(_SILENT)
    return at_least(wave / level * _LEVEL, settings.frames[0] * HOP)


@torch.no_grad()
def voices(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """The condition c = S(voice), (B, 128); of windows (B, N, …) the mean."""
    wave = prepared(batch.wave, settings)
    if wave.dim() == 2:
        return networks["speech"](wave)  # type: ignore[no-any-return]
    each = networks["speech"](wave.flatten(0, 1)).view(*wave.shape[:2], -1)
    return mean_of_windows(each, batch.n_windows)


@torch.no_grad()
def portraits(networks: Mapping[str, nn.Module], settings: Settings, faces: Tensor) -> Tensor:
    """F of faces (N, 3, S, S) in 0..1, as stage A left it; without stage A what the discriminator made of it."""
    encoder = networks["face"] if settings.stage_a else networks["discriminator"].phi
    return encoder(2 * faces - 1)  # type: ignore[no-any-return, operator]


def scores(networks: Mapping[str, nn.Module], settings: Settings, probes: Tensor, gallery: Tensor, way: Way) -> Tensor:
    """Inner products (B, K) of probes (B, D) with their galleries (B, K, D)."""
    del networks, settings, way  # either way it is the same
    return (gallery @ probes[..., None]).squeeze(-1)


def sizes(settings: Settings, way: Way) -> tuple[int, ...] | None:
    """Any number of candidates, either way."""
    del settings, way
    return None


def faces(networks: Mapping[str, nn.Module], settings: Settings, batch: Batch) -> Tensor:
    """Generated faces (B, 3, S, S) in 0..1.

    The noise is truncated and the same in every call: it depends on a voice's place in the batch alone.
    """
    condition = voices(networks, settings, batch)
    noise = networks["generator"].get_buffer("noise")
    place = torch.arange(condition.shape[0], device=noise.device) % len(noise)
    return faces_for(networks, settings, condition, noise[place])


@torch.no_grad()
def faces_for(networks: Mapping[str, nn.Module], settings: Settings, condition: Tensor, noise: Tensor) -> Tensor:
    """Generated faces (B, 3, S, S) in 0..1 of conditions (B, 128), as `voices` gives them, and noise (B, 128)."""
    del settings  # the networks say it all
    shown: Tensor = (networks["generator"](noise, condition).float() + 1) / 2
    return shown
