"""Tiny face feature networks, and waveforms in batches, for the tests of systems that learn from such features."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import face_features, vggface
from models.face_features import FaceFeatures
from models.system import Batch, Phase, Step, System
from models.vggface import Shape, VggFace
from tests.models.steps import PEOPLE, step_of

SHAPE = Shape(classes=7, width=4, hidden=32, side=64)
LANDMARKS = 68


def network(seed: int = 3) -> VggFace:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = VggFace(SHAPE).eval()
        for layer in made.children():  # so that faces differ in their features, as they do in a trained network's
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return made


def features() -> FaceFeatures:
    return face_features.own(network(), "own-vgg-a", "0" * 64, torch.device("cpu"))


def write(path: Path) -> Path:
    """A file as `models pretrain-face --set layout=vgg` writes one."""
    vggface.write(path, network(), {"half": "a"})
    return path


def featured(module: System, settings: Any, networks: Mapping[str, nn.Module], phase: Phase) -> Step:
    """A step with frozen face features and everybody's gender but the last person's."""
    gender = torch.tensor([0, 1, 0, 1, -1])
    assert len(gender) == PEOPLE
    step = step_of(module, settings, networks, phase)
    return replace(step, features=features(), traits={"gender": gender})


def voices(side: int, seed: int = 0, count: int = 4, frames: int = 300, windows: int = 0) -> Batch:
    """Noise, faces of random colours, and landmarks around the middle; those of the first face are unknown."""
    drawn = torch.Generator().manual_seed(seed)
    shape = (count, windows, 160, frames) if windows else (count, 160, frames)
    mel = 0.1 * torch.randn(shape, generator=drawn)
    person = torch.randint(PEOPLE, (count,), generator=drawn)
    face = torch.rand(count, 3, 8, 8, generator=drawn)
    face = torch.nn.functional.interpolate(face, size=(side, side), mode="bilinear")
    landmarks = side * (0.5 + 0.15 * torch.randn(count, LANDMARKS, 2, generator=drawn))
    landmarks[0] = torch.nan
    windowed = torch.randint(1, windows + 1, (count,), generator=drawn) if windows else None
    nothing: Tensor = mel.new_zeros(count, 0)
    return Batch(mel, nothing, nothing, person, face, person, torch.arange(count), windowed, landmarks)
