"""VGG-Face: VGG-16 that tells 2,622 people apart (Parkhi et al., "Deep Face Recognition", BMVC 2015).

Its penultimate layer, 4,096 numbers, is the space that Speech2Face and AR-SPM predict. Where its weights cannot be
had, `models pretrain-face --set layout=vgg` trains a narrow network of the same layout. Modules are named as in the
published weight file (vgg_face_dag.pth), so that it loads as it is.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import DataError, Missing, UsageError
from manifests.settings import build
from models import state
from models.face_net import Size
from models.published import fill

FEATURES = 4096  # numbers of the penultimate layer as published
KIND = "own VGG face network"  # in the facts of files that `write` makes
OWN_SIDE = 64  # pixels of what a network of ours takes
_MEAN = (129.186, 104.762, 93.594)  # RGB, of 0..255
_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each stage; a maximum pool ends it
_WIDEST = 8  # times the width of the first stage


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network of the layout; the defaults are the published one's."""

    classes: int = 2622  # people; 0: no last layer
    width: Size = 64  # channels of the first stage; each further one has twice as many, the last as many as before
    hidden: Size = 4096  # of the first fully connected layer
    side: Size = 224  # pixels
    features: Size = FEATURES  # of the second one, the penultimate layer


class VggFace(nn.Module):
    """The network; 145,002,878 parameters as published. With `norms` batch norms follow all layers but the last."""

    def __init__(self, shape: Shape = Shape(), norms: bool = False) -> None:
        super().__init__()
        self.shape = shape
        inputs = 3
        for stage, convolutions in enumerate(_CONVOLUTIONS, 1):
            outputs = shape.width * min(2 ** (stage - 1), _WIDEST)
            for place in range(1, convolutions + 1):
                self.add_module(f"conv{stage}_{place}", nn.Conv2d(inputs, outputs, 3, padding=1))
                if norms:
                    self.add_module(f"bn{stage}_{place}", nn.BatchNorm2d(outputs))
                inputs = outputs
        last = shape.side >> len(_CONVOLUTIONS)
        self.fc6 = nn.Linear(inputs * last * last, shape.hidden)
        if norms:
            self.bn6 = nn.BatchNorm1d(shape.hidden)
        self.fc7 = nn.Linear(shape.hidden, shape.features)
        if norms:
            self.bn7 = nn.BatchNorm1d(shape.features)
        if shape.classes:
            self.fc8 = nn.Linear(shape.features, shape.classes)
        self.norms = norms

    def _run(self, layer: str, norm: str, x: Tensor) -> Tensor:
        found: Tensor = getattr(self, layer)(x)
        return getattr(self, norm)(found) if self.norms else found

    def forward(self, x: Tensor) -> Tensor:
        """Unit features (B, 4096) of prepared faces (B, 3, S, S)."""
        return self.states(x)[-1]

    def features(self, x: Tensor, rectified: bool = True) -> Tensor:
        """The penultimate layer, (B, 4096), of prepared faces: after its ReLU, or before."""
        return self._head(self._stages(x)[-1], rectified)

    def states(self, x: Tensor) -> list[Tensor]:
        """The last three stages before their pool, and the unit features: shallow to deep, as a judge wants them."""
        stages = self._stages(x)
        return [*stages[2:], F.normalize(self._head(stages[-1], rectified=True).float())]

    def _stages(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage, convolutions in enumerate(_CONVOLUTIONS, 1):
            for place in range(1, convolutions + 1):
                x = F.relu(self._run(f"conv{stage}_{place}", f"bn{stage}_{place}", x))
            found.append(x)
            x = F.max_pool2d(x, 2)
        return found

    def _head(self, last: Tensor, rectified: bool) -> Tensor:
        x = F.max_pool2d(last, 2).flatten(1)
        x = self._run("fc7", "bn7", F.relu(self._run("fc6", "bn6", x)))
        return F.relu(x) if rectified else x


def prepared(faces: Tensor, side: int) -> Tensor:
    """What the network takes of faces (B, 3, S, S) in 0..1: resized bilinearly, RGB of 0..255 less the mean."""
    if faces.shape[-1] != side:
        faces = F.interpolate(faces, size=(side, side), mode="bilinear", align_corners=False)
    return faces * 255 - torch.tensor(_MEAN, device=faces.device, dtype=faces.dtype).view(3, 1, 1)


def read_published(path: Path) -> VggFace:
    """The network with the published weights, in eval mode.

    Raises DataError for a file that holds anything but exactly this network's tensors.
    """
    network = VggFace()
    fill(network, path)
    return network.eval()


def finished(network: VggFace, directions: Tensor, scale: float) -> VggFace:
    """A network that was trained on cosines to `directions` (people, 4096), with these as its last layer.

    `scale` takes a feature's share along a direction to a logit. The network's batch norms are folded already.
    """
    shape = replace(network.shape, classes=len(directions))
    with torch.device("meta"):
        whole = VggFace(shape)
    weight = F.normalize(directions.detach()) * scale
    last = {"fc8.weight": weight, "fc8.bias": torch.zeros_like(weight[:, 0])}
    whole.load_state_dict(network.state_dict() | last, assign=True)
    return whole.eval()


def write(path: Path, network: VggFace, facts: dict[str, Any]) -> None:
    """A file that `read` and `models.face_features.load` take; `facts` say how it was made."""
    state.write(path, state.weights({"face": network}), {"kind": KIND, "shape": asdict(network.shape), **facts})


def read(path: Path) -> tuple[VggFace, dict[str, Any]]:
    """The network of a file that `write` made, in eval mode, and its facts.

    Raises Missing for a file that is absent, DataError for one that is anything else.
    """
    if not path.is_file():
        raise Missing(f"no face network {path}: `models pretrain-face --set layout=vgg --out {path}` makes one")
    tensors, facts = state.read(path)
    if facts.get("kind") != KIND:
        raise DataError(
            f"{path} holds no face network of the VGG layout: expected a file that `models pretrain-face --set "
            "layout=vgg` wrote"
        )
    try:
        shape = build(Shape, facts["shape"], "shape")
    except (UsageError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no face network of a size that can be: {str(error)[:300]}") from error
    if facts.get("half") not in ("a", "b") or shape.classes < 1:
        raise DataError(f"{path} was trained on half {str(facts.get('half'))[:80]!r} of the people: expected a or b")
    with torch.device("meta"):  # its size costs nothing until its tensors fit
        network = VggFace(shape)
    state.expect_finite(path, tensors)
    state.put({"face": network}, tensors, path, assign=True)
    return network.eval(), facts
