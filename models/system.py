"""What a system of `models` exposes, and what the loop (`models.train`) hands it.

A system is a module (`sf2f`, `voice2face`, …) with a frozen dataclass `Settings` and four functions:

    build(settings, n_identities) -> dict[str, nn.Module]     every network that a checkpoint holds, by name
    phases(settings) -> tuple[Phase, ...]                     what is trained on what, in order
    update(step, batch) -> dict[str, Tensor]                  one iteration: moves the weights, returns the losses
    faces(networks, settings, batch, fused) -> Tensor         (batch, 3, side, side) in 0..1, no gradients

The loop knows nothing of GANs: it runs phases, saves state, reports.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["paired", "windows", "unpaired"]


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training with one kind of batch and one set of moving networks."""

    name: str
    kind: Kind
    trains: tuple[
        str, ...
    ]  # prefixes of parameter names (`encoder`, `generator.fuser`); all else is frozen, in eval mode
    iterations: int
    batch: int  # identities per iteration, over all processes
    frames: tuple[int, int]  # shortest and longest crop or window, mel frames
    windows: int = 0  # most windows per identity (`windows` batches)
    stride: int = 0  # frames between window starts (`windows` batches)
    learning_rate: Callable[[int], float] = field(default=lambda _iteration: 1.0)  # factor on each optimiser's rate


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one iteration on the training device. B identities, F frames, N windows, S pixels."""

    mel: Tensor  # (B, bands, F) or (B, N, bands, F), raw log-mel, float32
    mel_mean: Tensor  # (B, bands) of each whole recording
    mel_std: Tensor  # (B, bands)
    identity: Tensor  # (B,) int64: whose voice
    face: Tensor  # (B, 3, S, S) in 0..1
    face_identity: Tensor  # (B,) int64: whose face; equals `identity` where voices and faces are paired
    face_index: Tensor  # (B,) int64: row of the face in the corpus, for what is computed once per face
    n_windows: Tensor | None = None  # (B,) int64: windows that count; the rest are filling


@dataclass(slots=True)
class Step:
    """What `update` may use of the run: networks, optimisers, the loss network, and this iteration's randomness."""

    settings: Any
    phase: Phase
    networks: Mapping[str, nn.Module]
    parallel: Mapping[str, nn.Module]  # the same networks, gradients averaged over processes in `backward`
    optimisers: Mapping[str, torch.optim.Optimizer]
    perceptual: Any  # models.losses.Perceptual of this run, or None
    generator: torch.Generator  # seeded by (seed, phase, iteration): noise is the same after a resume
    autocast: Callable[[], Any]
