"""Frozen face networks: in the perceptual loss, and for scores. A number always carries its judge's name and sha256.

A judge sees pictures of the data set's frame (pupils at fixed places) through its own window and size, differentiably.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests import weights
from manifests.errors import UsageError
from models import face_net, facenet
from models.published import fold
from pipeline import dlib_net
from pipeline.geometry import PUPIL_DISTANCE, PUPILS_Y

Prepare = Callable[[Tensor], Tensor]


class FaceNetwork(Protocol):
    """What a judge's network offers beside its weights."""

    def states(self, face: Tensor) -> list[Tensor]:
        """Four states, shallow to deep; the last is the embedding (B, D)."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A frozen face network and how it looks at a picture."""

    name: str
    sha256: str  # of the weight file
    network: nn.Module
    prepare: Prepare  # (B, 3, S, S) in 0..1 to what the network takes
    device: torch.device

    def states(self, faces: Tensor) -> list[Tensor]:
        """Four states of faces (B, 3, S, S) in 0..1, shallow to deep; the last is the embedding.

        In the precision of the caller: under autocast the loss is computed in bfloat16.
        """
        return cast(FaceNetwork, self.network).states(self.prepare(faces))

    @property
    def space(self) -> int:
        """Numbers of an embedding."""
        return self.embed(torch.zeros(1, 3, 64, 64)).shape[1]

    @torch.no_grad()
    def embed(self, faces: Tensor, at_once: int = 64) -> Tensor:
        """Unit embeddings (B, D) of faces (B, 3, S, S) in 0..1, on the judge's device; float32 even under autocast."""
        with torch.autocast(self.device.type, enabled=False):
            parts = [self.states(part.to(self.device))[-1] for part in torch.split(faces.float(), at_once)]
        return F.normalize(torch.cat(parts))


def window(faces: Tensor, box: tuple[float, float, float, float], side: int) -> Tensor:
    """The part of pictures (B, 3, S, S) inside `box`, `side` pixels wide.

    `box` is left, top, right, bottom as shares of the side. Bilinear, differentiable, exact between
    pixels; outside the picture its border goes on.
    """
    left, top, right, bottom = (2 * edge - 1 for edge in box)  # grid_sample's -1..1, from border to border
    centre = (torch.arange(side, device=faces.device, dtype=faces.dtype) + 0.5) / side
    x, y = left + (right - left) * centre, top + (bottom - top) * centre
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).expand(len(faces), -1, -1, -1)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)


# Where dlib puts the eye centres in a chip with 25 % padding: the means of its template's eye corners, in shares.
_DLIB_EYE_DISTANCE, _DLIB_EYES_X, _DLIB_EYES_Y = 0.3503, 0.4934, 0.3142


def dlib_window() -> tuple[float, float, float, float]:
    """The square of the data set's frame that dlib's chip of the same face would show."""
    side = PUPIL_DISTANCE / _DLIB_EYE_DISTANCE
    left, top = 0.5 - _DLIB_EYES_X * side, PUPILS_Y - _DLIB_EYES_Y * side
    return left, top, left + side, top + side


def _dlib(device: torch.device) -> Judge:
    network = dlib_net.read(weights.path("dlib-face"))
    box = dlib_window()
    return frozen("dlib", weights.digest("dlib-face"), network, lambda f: window(f, box, dlib_net.SIDE), device)


def _facenet(device: torch.device) -> Judge:
    network = facenet.read(weights.path("facenet"))
    return frozen("facenet", weights.digest("facenet"), network, facenet.prepared, device)


def own(network: face_net.OwnNet, name: str, digest: str, device: torch.device) -> Judge:
    """A judge of a network that `models.pretrain_face` trained; the network itself is left as it is."""
    return frozen(name, digest, deepcopy(network), lambda f: window(f, face_net.WINDOW, face_net.SIDE), device)


def frozen(name: str, digest: str, network: nn.Module, prepare: Prepare, device: torch.device) -> Judge:
    """Frozen, without batch norms, channels last: the fastest form on a CPU and on a GPU."""
    fold(network)
    network.requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    return Judge(name, digest, network, prepare, device)


_LOADERS: dict[str, Callable[[torch.device], Judge]] = {"dlib": _dlib, "facenet": _facenet}
NAMES = tuple(_LOADERS)


def load(name: str, device: torch.device) -> Judge:
    """A judge by name, or `own` by the path of a file that `models pretrain-face` wrote.

    Raises Missing naming the command that makes or fetches its weights, DataError for a broken file, UsageError for
    an unknown name.
    """
    if name in _LOADERS:
        return _LOADERS[name](device)
    path = Path(name)
    if path.suffix != ".safetensors" and not path.is_file():
        raise UsageError(
            f"no judge {name}: expected {', '.join(NAMES)}, or a .safetensors file that `models pretrain-face` wrote"
        )
    network, facts = face_net.read(path)
    return own(network, f"own-{facts['half']}", weights.sha256_of(path), device)
