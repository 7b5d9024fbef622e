"""`own`: a small VGG-style face network (Simonyan and Zisserman 2015) that `models pretrain-face` trains.

It needs no published weights, so that a lab without hub access still has a judge; also read by later systems where
VGG-Face cannot be had.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn

from manifests.errors import DataError, Missing, UsageError
from manifests.settings import build
from models import state

SIDE = 48  # pixels of what the network takes: more than a face has in a picture of 64
WINDOW = (0.2, 0.22, 0.8, 0.82)  # left, top, right, bottom of the data set's frame: hairline to chin
KIND = "own face network"  # in the facts of its files
_CONVOLUTIONS = (1, 1, 2, 2)  # of each stage

Half = Literal["a", "b"]
Size = Annotated[int, Interval(ge=1, le=4096)]  # a file from outside must not ask for all memory


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network."""

    width: Size = 32  # channels of the first stage; each further stage has twice as many
    embedding: Size = 256


class OwnNet(nn.Module):
    """Four stages of 3 x 3 convolutions with batch norm, each ended by a maximum pool, and a unit embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        inputs = 3
        for stage, convolutions in enumerate(_CONVOLUTIONS):
            layers: list[nn.Module] = []
            for _ in range(convolutions):
                outputs = shape.width << stage
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            self.stages.append(nn.Sequential(*layers))
        last = SIDE >> len(_CONVOLUTIONS)
        self.embedding = nn.Sequential(
            nn.Linear(inputs * last * last, shape.embedding, bias=False), nn.BatchNorm1d(shape.embedding)
        )

    def forward(self, face: Tensor) -> Tensor:
        """Unit embeddings (B, E) of windows (B, 3, 48, 48), RGB in 0..1."""
        return self.states(face)[-1]

    def states(self, face: Tensor) -> list[Tensor]:
        """The stages of 24, 12 and 6 pixels before their pool, and the unit embedding: shallow to deep."""
        if face.shape[-3:] != (3, SIDE, SIDE):
            raise ValueError(f"faces are {tuple(face.shape)}: expected (B, 3, {SIDE}, {SIDE})")
        x, found = 2 * face - 1, []
        for stage in self.stages:
            x = stage(x)  # 48, 24, 12, 6 pixels
            found.append(x)
            x = F.max_pool2d(x, 2)
        return [*found[1:], F.normalize(self.embedding(x.flatten(1)).float())]


def write(path: Path, network: OwnNet, shape: Shape, facts: dict[str, Any]) -> None:
    """A file that `read` and `models.judges.load` take; `facts` say how it was made."""
    state.write(path, state.weights({"face": network}), {"kind": KIND, "shape": asdict(shape), **facts})


def read(path: Path) -> tuple[OwnNet, dict[str, Any]]:
    """The network of a file that `write` made, in eval mode, and its facts: `half`, `manifest`, `measured`, ….

    Raises Missing for a file that is absent, DataError for one that is anything else.
    """
    if not path.is_file():
        raise Missing(f"no face network {path}: `models pretrain-face --out {path}` makes one")
    tensors, facts = state.read(path)
    if facts.get("kind") != KIND:
        raise DataError(f"{path} holds no face network: expected a file that `models pretrain-face` wrote")
    try:
        shape = build(Shape, facts["shape"], "shape")
    except (UsageError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no face network of a size that can be: {str(error)[:300]}") from error
    if facts.get("half") not in ("a", "b"):
        raise DataError(f"{path} was trained on half {str(facts.get('half'))[:80]!r} of the people: expected a or b")
    with torch.device("meta"):  # its size costs nothing until its tensors fit
        network = OwnNet(shape)
    state.expect_finite(path, tensors)
    state.put({"face": network}, tensors, path, assign=True)
    return network.eval(), facts
