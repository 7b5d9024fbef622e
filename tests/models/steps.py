"""One iteration of a system without the loop: networks, optimisers and a batch for `update`."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import optimisers as made
from models.system import Batch, Phase, Step, System, move

PEOPLE = 5


def built(module: System, settings: Any, seed: int = 0) -> dict[str, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return module.build(settings, PEOPLE)


def step_of(
    module: System, settings: Any, networks: Mapping[str, nn.Module], phase: Phase, perceptual: Any = None
) -> Step:
    """As the loop prepares it, but for float32 and one process."""
    for name, network in networks.items():
        network.requires_grad_(name in phase.trained).train(name in phase.trained)
    optimisers: dict[str, torch.optim.Optimizer] = {}
    for name, chosen in phase.optimisers.items():
        for one in chosen.networks:
            networks[one].train(not chosen.frozen_norms)
        moving = [weight for one in chosen.networks for weight in networks[one].parameters()]
        optimisers[name] = made.new(chosen, moving)
    noise = torch.Generator().manual_seed(11)
    return Step(settings, phase, networks, networks, optimisers, perceptual, noise, nullcontext)


def batch(bands: int, faces: Tensor, seed: int = 0, voices: int = 4, windows: int = 0, frames: int = 40) -> Batch:
    """Random mels; faces are rows of `faces` (n, 3, S, S) uint8."""
    drawn = torch.Generator().manual_seed(seed)
    shape = (voices, windows, bands, frames) if windows else (voices, bands, frames)
    mel = 11 + 3 * torch.randn(shape, generator=drawn)
    person, face_person = torch.randint(PEOPLE, (2, voices), generator=drawn)
    index = torch.randint(len(faces), (voices,), generator=drawn)
    count = torch.randint(1, windows + 1, (voices,), generator=drawn) if windows else None
    mean, deviation = mel.mean(-1), mel.std(-1)
    return Batch(mel, mean, deviation, person, faces[index].float() / 255, face_person, index, count)


def weights_of(network: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def moved(network: nn.Module, before: list[Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(network.parameters(), before, strict=True))


def moves(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[tuple[str, set[str]]]:
    """From now on filled with each optimiser that the system's update steps, and the networks that this moves."""
    seen: list[tuple[str, set[str]]] = []

    def spy(step: Step, name: str, loss: Tensor, go: Tensor | None = None) -> Tensor:
        before = {n: weights_of(network) for n, network in step.networks.items()}
        done = move(step, name, loss, go)
        seen.append((name, {n for n, network in step.networks.items() if moved(network, before[n])}))
        return done

    monkeypatch.setattr(module, "move", spy)
    return seen
