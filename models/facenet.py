"""FaceNet as SF2F uses it: Inception-ResNet-v1 (Szegedy et al. 2017) trained on VGGFace2, as a judge.

Modules are named as in the published weight file (facenet-pytorch), so that it loads as it is.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.published import fill

SIDE = 140  # pixels that SF2F resizes crops to; the network was trained at 160
CLASSES = 8631  # people of VGGFace2's training set
_BOX = (0.235, 0.195, 0.765, 0.915)  # left, top, right, bottom of the data set's frame (SF2F, released code)
_EPS = 1e-3  # of the batch norms

Kernel = tuple[int, int]  # rows, columns
Layer = tuple[int, Kernel, int]  # channels, kernel, stride; stride 1 pads to keep the size, stride 2 pads nothing


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, layer: Layer, padded: bool = True) -> None:
        super().__init__()
        outputs, kernel, stride = layer
        padding = (kernel[0] // 2, kernel[1] // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def _branch(inputs: int, layers: Sequence[Layer]) -> nn.Module:
    """A unit, or several in a row."""
    units = []
    for layer in layers:
        units.append(_Unit(inputs, layer))
        inputs = layer[0]
    return units[0] if len(units) == 1 else nn.Sequential(*units)


class _Branches(nn.Module):
    """Branches side by side, their channels one after the other; ends with a maximum pool where it halves the side."""

    def __init__(self, inputs: int, branches: Sequence[Sequence[Layer]], halves: bool = False) -> None:
        super().__init__()
        self.count = len(branches)
        for number, layers in enumerate(branches):
            self.add_module(f"branch{number}", _branch(inputs, layers))
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        found = [getattr(self, f"branch{number}")(x) for number in range(self.count)]
        return torch.cat([*found, F.max_pool2d(x, 3, stride=2)] if self.halves else found, dim=1)


class _Residual(_Branches):
    """Branches brought back to the channels of the input by a 1 x 1 convolution, scaled and added to it."""

    def __init__(
        self, channels: int, branches: Sequence[Sequence[Layer]], scale: float, rectified: bool = True
    ) -> None:
        super().__init__(channels, branches)
        self.conv2d = nn.Conv2d(sum(layers[-1][0] for layers in branches), channels, 1)
        self.scale, self.rectified = scale, rectified

    def forward(self, x: Tensor) -> Tensor:
        y = torch.add(x, self.conv2d(super().forward(x)), alpha=self.scale)
        return F.relu(y, inplace=True) if self.rectified else y


def _units(channels: int, *kernels: Kernel) -> list[Layer]:
    return [(channels, kernel, 1) for kernel in kernels]


_ONE, _THREE = (1, 1), (3, 3)
_BLOCK35 = [_units(32, _ONE), _units(32, _ONE, _THREE), _units(32, _ONE, _THREE, _THREE)]
_BLOCK17 = [_units(128, _ONE), _units(128, _ONE, (1, 7), (7, 1))]
_BLOCK8 = [_units(192, _ONE), _units(192, _ONE, (1, 3), (3, 1))]
_MIXED_6A: list[list[Layer]] = [[(384, _THREE, 2)], [*_units(192, _ONE, _THREE), (256, _THREE, 2)]]
_MIXED_7A: list[list[Layer]] = [
    [*_units(256, _ONE), (384, _THREE, 2)],
    [*_units(256, _ONE), (256, _THREE, 2)],
    [*_units(256, _ONE, _THREE), (256, _THREE, 2)],
]


class FaceNet(nn.Module):
    """The network; 27,910,327 parameters with the logits of 8,631 people, 23,482,624 without."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.conv2d_1a = _Unit(3, (32, _THREE, 2))
        self.conv2d_2a = _Unit(32, (32, _THREE, 1), padded=False)
        self.conv2d_2b = _Unit(32, (64, _THREE, 1))
        self.conv2d_3b = _Unit(64, (80, _ONE, 1))
        self.conv2d_4a = _Unit(80, (192, _THREE, 1), padded=False)
        self.conv2d_4b = _Unit(192, (256, _THREE, 2))
        self.repeat_1 = nn.Sequential(*(_Residual(256, _BLOCK35, 0.17) for _ in range(5)))
        self.mixed_6a = _Branches(256, _MIXED_6A, halves=True)
        self.repeat_2 = nn.Sequential(*(_Residual(896, _BLOCK17, 0.10) for _ in range(10)))
        self.mixed_7a = _Branches(896, _MIXED_7A, halves=True)
        self.repeat_3 = nn.Sequential(*(_Residual(1792, _BLOCK8, 0.20) for _ in range(5)))
        self.block8 = _Residual(1792, _BLOCK8, 1.0, rectified=False)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn = nn.BatchNorm1d(512, eps=_EPS)
        if classes:
            self.logits = nn.Linear(512, classes)

    def forward(self, crop: Tensor) -> Tensor:
        """Unit embeddings (B, 512) of prepared crops (B, 3, S, S)."""
        return self.states(crop)[-1]

    def states(self, crop: Tensor) -> list[Tensor]:
        """The ends of the three repeated blocks and the unit embedding; at 140 pixels 15, 7 and 3 on a side."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(crop)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        first = self.repeat_1(x)
        second = self.repeat_2(self.mixed_6a(first))
        third = self.repeat_3(self.mixed_7a(second))
        last = self.last_bn(self.last_linear(self.block8(third).mean(dim=(2, 3))))
        return [first, second, third, F.normalize(last.float())]


def prepared(faces: Tensor) -> Tensor:
    """What the network takes of faces (B, 3, S, S) in 0..1: (B, 3, 140, 140), as SF2F's released code crops and scales.

    The crop's ends are cut to whole pixels and both belong to it: at 64 it is 34 wide and 47 high. Its shape is not
    kept. What lies outside 0..1 is clamped, and has no gradient there.
    """
    height, width = faces.shape[-2:]
    left, top, right, bottom = (int(share * size) for share, size in zip(_BOX, (width, height) * 2, strict=True))
    values = (faces.clamp(0, 1) * 255 - 127.5) / 128
    crop = values[..., top : bottom + 1, left : right + 1]
    return F.interpolate(crop, size=(SIDE, SIDE), mode="bilinear", align_corners=True)


def read(path: Path) -> FaceNet:
    """The network with the published VGGFace2 weights, without its logits.

    Raises DataError for a file that holds anything but exactly this network's tensors.
    """
    network = FaceNet(CLASSES)
    fill(network, path)
    del network.logits
    return network.eval()
