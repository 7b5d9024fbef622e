"""The frozen face network whose penultimate layer is a target: VGG-Face, or one of ours with its layout.

Every figure of such features carries the network's name and sha256: two networks' features cannot be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from manifests import weights
from models import vggface
from models.face_net import WINDOW
from models.judges import window
from models.vggface import VggFace

PUBLISHED = "vggface"
Box = tuple[float, float, float, float]  # left, top, right, bottom, shares of the side


@dataclass(frozen=True, slots=True)
class FaceFeatures:
    """A frozen network of the VGG layout and how it looks at a picture."""

    name: str
    sha256: str  # of the weight file
    network: VggFace
    prepare: Callable[[Tensor], Tensor]  # (B, 3, S, S) in 0..1 to what the network takes

    def features(self, faces: Tensor, rectified: bool = True) -> Tensor:
        """Features (B, 4096) of faces (B, 3, S, S) in 0..1, float32; differentiable in the faces."""
        return self.network.features(self.prepare(faces), rectified).float()

    def logits(self, features: Tensor, rectified: bool = True) -> Tensor:
        """The last layer, (B, people), of features (B, 4096); it acts on rectified ones, as the network has it."""
        found: Tensor = self.network.fc8(features if rectified else F.relu(features))
        return found.float()

    @torch.no_grad()
    def of_all(self, faces: Tensor, rectified: bool = True, at_once: int = 64) -> Tensor:
        """Features (n, 4096), on the CPU, of faces (n, 3, S, S) uint8, on any device."""
        device = next(self.network.parameters()).device
        parts = (part.to(device).float() / 255 for part in torch.split(faces, at_once))
        return torch.cat([self.features(part, rectified).cpu() for part in parts])


def load(name: str, device: torch.device) -> FaceFeatures:
    """`vggface`, or a file that `models pretrain-face --set layout=vgg` wrote.

    Raises Missing naming the command that makes or fetches the weights, DataError for a broken file.
    """
    if name == PUBLISHED:
        network = vggface.read_published(weights.path(PUBLISHED))
        return _frozen(PUBLISHED, weights.digest(PUBLISHED), network, device)
    path = Path(name)
    network, facts = vggface.read(path)
    return own(network, f"own-vgg-{facts['half']}", weights.sha256_of(path), device)


def own(network: VggFace, name: str, digest: str, device: torch.device) -> FaceFeatures:
    """Those of a network of ours: it looks at the faces' middle, hairline to chin."""
    return _frozen(name, digest, network, device, WINDOW)


def _frozen(name: str, digest: str, network: VggFace, device: torch.device, box: Box | None = None) -> FaceFeatures:
    """`box`: the part of the frame that the network looks at; None: all of it."""
    network.requires_grad_(False).eval().to(device).to(memory_format=torch.channels_last)
    side = network.shape.side

    def prepare(faces: Tensor) -> Tensor:
        return vggface.prepared(faces if box is None else window(faces, box, side), side)

    return FaceFeatures(name, digest, network, prepare)
