"""Inception-v3 (Szegedy et al. 2016), trained on ImageNet: the classes that the Inception Score counts.

Modules are named as in torchvision's weight file (inception_v3_google-0cc3c7bd.pth), so that it loads as it is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests import weights
from models.published import fill

NAME = "inception-v3"
SIDE = 299  # pixels
CLASSES = 1000
Kernel = tuple[int, int]  # height, width
_EPSILON = 1e-3  # of the batch norms
_ONE, _THREE, _FIVE, _ROW, _COLUMN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU; strided ones do not pad."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel = _ONE, stride: int = 1, pads: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pads and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, h, w)."""
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, each a chain of units, and a pooled one at the end.

    `pooled` is the width of the convolution behind a mean pool; 0: a maximum pool that halves the side. The last
    `forks` branches end in two convolutions next to each other, one lying and one standing.
    """

    def __init__(
        self,
        inputs: int,
        chains: Mapping[str, Sequence[tuple[int, Kernel]]],
        pooled: int = 0,
        forks: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.chains: list[list[str]] = []
        self.forks = tuple(forks)
        for name, layers in chains.items():
            before, names = inputs, []
            for number, (outputs, kernel) in enumerate(layers, 1):
                names.append(f"{name}_{number}" if len(layers) > 1 or name in forks else name)
                stride = 2 if not pooled and number == len(layers) else 1
                self.add_module(names[-1], Unit(before, outputs, kernel, stride))
                before = outputs
            if name in forks:
                for letter, kernel in (("a", (1, 3)), ("b", (3, 1))):
                    self.add_module(f"{name}_{len(layers) + 1}{letter}", Unit(before, before, kernel))
            self.chains.append(names)
        self.branch_pool = Unit(inputs, pooled) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to the channels of all branches, (B, outputs, h, w)."""
        found = []
        for names in self.chains:
            y = x
            for name in names:
                y = getattr(self, name)(y)
            stem, _, number = names[-1].rpartition("_")
            if stem in self.forks:
                found += [getattr(self, f"{stem}_{int(number) + 1}{letter}")(y) for letter in "ab"]
            else:
                found.append(y)
        if self.branch_pool is None:
            found.append(F.max_pool2d(x, 3, stride=2))
        else:
            found.append(self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1)))
        return torch.cat(found, dim=1)


def _fives(inputs: int, pooled: int) -> Mixed:
    """Figure 5 of the paper."""
    chains = {
        "branch1x1": ((64, _ONE),),
        "branch5x5": ((48, _ONE), (64, _FIVE)),
        "branch3x3dbl": ((64, _ONE), (96, _THREE), (96, _THREE)),
    }
    return Mixed(inputs, chains, pooled)


def _sevens(middle: int) -> Mixed:
    """Figure 6: 7 x 7 as a row and a column."""
    chains = {
        "branch1x1": ((192, _ONE),),
        "branch7x7": ((middle, _ONE), (middle, _ROW), (192, _COLUMN)),
        "branch7x7dbl": ((middle, _ONE), (middle, _COLUMN), (middle, _ROW), (middle, _COLUMN), (192, _ROW)),
    }
    return Mixed(768, chains, pooled=192)


def _forked(inputs: int) -> Mixed:
    """Figure 7."""
    chains = {
        "branch1x1": ((320, _ONE),),
        "branch3x3": ((384, _ONE),),
        "branch3x3dbl": ((448, _ONE), (384, _THREE)),
    }
    return Mixed(inputs, chains, pooled=192, forks=("branch3x3", "branch3x3dbl"))


class _Auxiliary(nn.Module):
    """The second classifier of training, whose weights the file holds; never run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = Unit(768, 128)
        self.conv1 = Unit(128, 768, _FIVE, pads=False)
        self.fc = nn.Linear(768, CLASSES)


class InceptionV3(nn.Module):
    """The network; 27,161,264 parameters, the second classifier's included."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, _THREE, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, _THREE, pads=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, _THREE)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, _THREE, pads=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _fives(192, 32), _fives(256, 64), _fives(288, 64)
        self.Mixed_6a = Mixed(
            288, {"branch3x3": ((384, _THREE),), "branch3x3dbl": ((64, _ONE), (96, _THREE), (96, _THREE))}
        )
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(_sevens, (128, 160, 160, 192))
        self.AuxLogits = _Auxiliary()
        self.Mixed_7a = Mixed(
            768,
            {
                "branch3x3": ((192, _ONE), (320, _THREE)),
                "branch7x7x3": ((192, _ONE), (192, _ROW), (192, _COLUMN), (192, _THREE)),
            },
        )
        self.Mixed_7b, self.Mixed_7c = _forked(1280), _forked(2048)
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1000) of RGB pictures (B, 3, 299, 299) in -1..1."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # 147
        x = F.max_pool2d(x, 3, stride=2)  # 73
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # 71
        x = F.max_pool2d(x, 3, stride=2)  # 35
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # 17
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # 8
        found: Tensor = self.fc(x.mean(dim=(2, 3)))
        return found


def read(path: Path) -> InceptionV3:
    """The network with the published weights, in eval mode, frozen.

    Raises DataError for a file that holds anything but exactly this network's tensors.
    """
    network = InceptionV3()
    fill(network, path)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def load(device: torch.device) -> InceptionV3:
    """The registered weights. Raises Missing naming the command that fetches them."""
    return read(weights.path(NAME)).to(device)


@torch.no_grad()
def probabilities(network: InceptionV3, faces: Tensor, at_once: int = 32) -> Tensor:
    """Softmax over ImageNet's classes, (B, 1000) float32 on the CPU, of pictures (B, 3, S, S) in 0..1."""
    device = next(network.parameters()).device
    parts = []
    with torch.autocast(device.type, enabled=False):
        for part in torch.split(faces, at_once):
            x = F.interpolate(part.to(device).float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
            parts.append(network(2 * x - 1).softmax(dim=1).cpu())
    return torch.cat(parts)
