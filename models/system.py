"""What a system of `models` exposes, and what the loop (`models.train`) hands it.

A system is a module (`sf2f`, `voice2face`, …) with a frozen dataclass `Settings`, the name of its `FRONT_END`, and
the functions of `System`; of `Generator` too where it `GENERATES` faces, of `Matcher` where it `MATCHES` voices and
faces. `settings.features`, where a system has it, names the frozen face network whose features it learns from. A module
with a function `begin(networks, settings, corpus, features)` has it called once before a run's first iteration.

A setting added later has a default that does what was done before, so that runs of before can be gone on with.
The loop knows nothing of GANs: it runs phases, saves state, reports.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from manifests.errors import UsageError
from models.encoders import MIN_FRAMES

T = TypeVar("T")
Kind = Literal["paired", "windows", "unpaired", "faces"]  # faces: no voices are read
Way = Literal["V-F", "F-V"]  # whose gallery is asked by a probe of whom: voice to face, face to voice
Losses = dict[str, Tensor]
# A checkpoint from outside must not ask for all memory.
_MOST_FRAMES = 60_000  # ten minutes
_MOST_PIXELS = 1024


@dataclass(frozen=True, slots=True)
class Optimiser:
    """Adam, or SGD with momentum, over the parameters of some networks, for the length of a phase."""

    networks: tuple[str, ...]
    rate: float
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam
    last_rate: float | None = None  # reached linearly at the end of the phase; None: constant
    goes_on: bool = False  # with the moments of the phase before; else they start at zero
    frozen_norms: bool = False  # its networks are in eval mode: batch norms use, and keep, their running statistics
    kind: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.0  # of SGD
    weight_decay: float = 0.0  # added to the gradient, in Adam too
    epsilon: float = 1e-8  # of Adam
    decay: float = 1.0  # factor on the rate after each `every` iterations
    every: int = 0  # 0: never


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training on one kind of batch. Networks without an optimiser are frozen and in eval mode."""

    name: str
    kind: Kind
    iterations: int
    batch: int  # voices, or faces where no voices are read, per iteration, over all processes
    frames: tuple[int, int]  # shortest and longest crop, or the length of a window twice; frames of 10 ms
    optimisers: Mapping[str, Optimiser]
    windows: int = 0  # most windows per identity
    stride: int = 0  # frames between the starts of windows

    def rate(self, name: str, iteration: int) -> float:
        """The learning rate of an optimiser at an iteration, counted from 0."""
        chosen = self.optimisers[name]
        rate = chosen.rate
        if chosen.last_rate is not None:
            rate += (chosen.last_rate - chosen.rate) * iteration / max(self.iterations - 1, 1)
        return rate * chosen.decay ** (iteration // chosen.every) if chosen.every else rate

    @property
    def trained(self) -> frozenset[str]:
        """The networks that move."""
        return frozenset(name for optimiser in self.optimisers.values() for name in optimiser.networks)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one iteration, on the training device. B voices, F frames, N windows, S pixels."""

    mel: Tensor  # (B, bands, F) or (B, N, bands, F), raw log-mel, float32; (B, 0, 0) where no voices are read
    mel_mean: Tensor  # (B, bands), of each whole recording; (B, N, bands) for windows
    mel_std: Tensor  # likewise
    identity: Tensor  # (B,) int64: whose voice
    face: Tensor  # (B, 3, S, S) in 0..1
    face_identity: Tensor  # (B,) int64: whose face; equals `identity` where voices and faces are paired
    face_index: Tensor  # (B,) int64: row of the face in the corpus, for what is computed once per face
    n_windows: Tensor | None = None  # (B,) int64: windows that count; the rest are filling
    landmarks: Tensor | None = None  # (B, 68, 2) float32 x, y: pixels of `face`, NaN where unknown; None: no faces

    @property
    def wave(self) -> Tensor:
        """The waveform, (B, samples) or (B, N, samples) in -1..1, of which front end `wave` holds frames in `mel`."""
        return self.mel.transpose(-1, -2).flatten(-2)


@dataclass(frozen=True, slots=True)
class Step:
    """What `update` may use of the run."""

    settings: Any
    phase: Phase
    networks: Mapping[str, nn.Module]
    parallel: Mapping[str, nn.Module]  # the same; their gradients are averaged over processes by `backward`
    optimisers: Mapping[str, torch.optim.Optimizer]
    perceptual: Any  # models.losses.Perceptual, or None where no loss needs it
    noise: torch.Generator  # seeded by (seed, phase, iteration): a resumed run draws the same
    autocast: Callable[[], AbstractContextManager[Any]]
    features: Any = None  # models.face_features.FaceFeatures, or None where the settings name none
    traits: Mapping[str, Tensor] = field(default_factory=dict)  # gender, nationality: (n_identities,), as models.traits


def needs_features(settings: Any) -> bool:
    """Whether the settings name a frozen face network to learn from."""
    return bool(getattr(settings, "features", ""))


def expect_space(settings: Any, features: int) -> None:
    """Raise UsageError where the frozen face network has another number of features than the system learns."""
    if settings.space != features:
        raise UsageError(f"space is {settings.space}: the face network {settings.features} has {features} features")


def needs_judge(settings: Any) -> bool:
    """Whether a term of the losses looks through a frozen face network."""
    return any(getattr(settings, weight, 0.0) for weight in ("perceptual", "contrast", "alignment"))


def fitted(settings: T, space: int) -> T:
    """Settings whose networks fit a judge with an embedding of `space` numbers.

    Raises UsageError where they were set for another.
    """
    if not getattr(settings, "alignment", 0.0):
        return settings
    asked = settings.judge_space  # type: ignore[attr-defined]
    if asked not in (0, space):
        raise UsageError(f"judge_space is {asked}: the judge's embedding has {space} numbers; leave it at 0")
    return replace(settings, judge_space=space)  # type: ignore[type-var]


def peopled(settings: T, nationalities: int) -> T:
    """Settings whose networks tell apart the nationalities of the people trained on, where a system does so.

    Raises UsageError where they were set for another number.
    """
    asked = getattr(settings, "nationalities", None)
    if asked is None:
        return settings
    if asked not in (0, nationalities):
        raise UsageError(f"nationalities is {asked}: the training people have {nationalities}; leave it at 0")
    return replace(settings, nationalities=nationalities)  # type: ignore[type-var]


def move(step: Step, name: str, loss: Tensor, go: Tensor | None = None) -> Tensor:
    """Backward, and one step of an optimiser unless the loss is not finite; returns whether it moved, a bool tensor.

    Where `go` is false nothing moves either. Nothing is read back from the device; all processes move, or none.
    """
    optimiser = step.optimisers[name]
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    stay = ~torch.isfinite(loss.detach())
    if go is not None:
        stay |= ~go
    found_inf = stay.float()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(found_inf, torch.distributed.ReduceOp.MAX)
    optimiser.found_inf = found_inf  # type: ignore[attr-defined]  # a fused optimiser skips its step where this is 1
    optimiser.step()
    return found_inf == 0


class System(Protocol):
    """A module of `models` that builds and trains one published system."""

    FRONT_END: str  # profile of the mels it hears, or `wave`
    Settings: type[Any]
    GENERATES: bool  # whether it is a `Generator`
    MATCHES: bool  # whether it is a `Matcher`
    NEEDS: Mapping[str, str]  # networks that another run must have trained, and the command that does

    def build(self, settings: Any, n_identities: int) -> dict[str, nn.Module]:
        """Every network that a checkpoint holds, by name."""

    def phases(self, settings: Any) -> tuple[Phase, ...]:
        """What is trained on what, in order."""

    def side(self, settings: Any) -> int:
        """Pixels of the real faces it is shown, 0: none."""

    def update(self, step: Step, batch: Batch) -> Losses:
        """One iteration: moves the weights, returns the losses."""


class Generator(System, Protocol):
    """A system that draws faces for voices."""

    def faces(self, networks: Mapping[str, nn.Module], settings: Any, batch: Batch) -> Tensor:
        """Generated faces, (B, 3, S, S) in 0..1."""


class Matcher(System, Protocol):
    """A system that tells which face goes with which voice. Its networks are in eval mode, without gradients."""

    def voices(self, networks: Mapping[str, nn.Module], settings: Any, batch: Batch) -> Tensor:
        """Embeddings of voices, (B, D)."""

    def portraits(self, networks: Mapping[str, nn.Module], settings: Any, faces: Tensor) -> Tensor:
        """Embeddings of real faces (N, 3, S, S) in 0..1: (N, D)."""

    def scores(
        self, networks: Mapping[str, nn.Module], settings: Any, probes: Tensor, gallery: Tensor, way: Way
    ) -> Tensor:
        """(B, K), larger is likelier, of each probe's (B, D) gallery (B, K, D)."""

    def sizes(self, settings: Any, way: Way) -> tuple[int, ...] | None:
        """How many candidates it can choose among; None: any number, and scores of single pairs can be compared."""


def generator(system: System) -> Generator:
    """A system that makes faces."""
    assert system.GENERATES, system
    return cast(Generator, system)


def matcher(system: System) -> Matcher:
    """A system that matches."""
    assert system.MATCHES, system
    return cast(Matcher, system)


SYSTEMS = (
    "sf2f",
    "voice2face",
    "speaker",
    "svhf",
    "dimnet",
    "dimnet_frozen",
    "i2g",
    "speech2face",
    "ar_spm",
    "wav2pix",
)


def load(name: str) -> System:
    """The module of a system."""
    assert name in SYSTEMS, name
    return cast(System, import_module(f"models.{name}"))


def build(system: System, settings: Any, n_identities: int) -> dict[str, nn.Module]:
    """The networks of a system. Raises UsageError for settings that no network can have."""
    try:
        if system.side(settings) > _MOST_PIXELS:
            raise ValueError(f"faces of {system.side(settings)} pixels a side, at most {_MOST_PIXELS}")
        return system.build(settings, n_identities)
    except (ValueError, IndexError, TypeError, RuntimeError) as error:  # of torch's layers: sizes below 1, or too large
        told = str(error).partition("\n")[0][:200]
        raise UsageError(f"these settings make no network ({told}): see sides, channels and widths") from error


def plan(system: System, settings: Any) -> tuple[Phase, ...]:
    """The phases that have iterations. Raises UsageError where a phase cannot cut its batches from recordings."""
    phases = tuple(phase for phase in system.phases(settings) if phase.iterations)
    for phase in phases:
        shortest, longest = phase.frames
        if phase.kind != "faces" and not MIN_FRAMES <= shortest <= longest <= _MOST_FRAMES:
            raise UsageError(
                f"phase {phase.name}: crops of {shortest} to {longest} frames; expected the shorter first, from "
                f"{MIN_FRAMES} to {_MOST_FRAMES} frames"
            )
    return phases
