"""ResNet-18 (He et al. 2016) and DenseNet-121 (Huang et al. 2017) without their last layers, for any input channels.

Layers come in the order of torchvision's networks, so that the tests can give both the same weights.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn


def _stem(inputs: int, outputs: int) -> list[nn.Module]:
    """To a quarter of the side."""
    return [
        nn.Conv2d(inputs, outputs, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut: (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Rectified after the sum."""
        summed: Tensor = self.residual(x) + self.shortcut(x)
        return summed.relu()


class ResidualTrunk(nn.Sequential):
    """ResNet-18's: `channels` of the stem and of four stages of two blocks; (B, C, H / 32, W / 32)."""

    CHANNELS: ClassVar = (64, 64, 128, 256, 512)

    def __init__(self, inputs: int, channels: Sequence[int] = CHANNELS) -> None:
        if len(channels) != len(self.CHANNELS):
            raise ValueError(f"{len(channels)} channels: expected {len(self.CHANNELS)}, of the stem and four stages")
        layers = _stem(inputs, channels[0])
        for stage, (before, after) in enumerate(pairwise(channels)):
            layers += [BasicBlock(before, after, stride=2 if stage else 1), BasicBlock(after, after, stride=1)]
        super().__init__(*layers)


class DenseLayer(nn.Module):
    """Channels that a layer adds to those before it: (B, inputs, H, W) to (B, inputs + growth, H, W)."""

    _BOTTLENECK: ClassVar = 4  # times the growth

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        narrow = self._BOTTLENECK * growth
        self.added = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, narrow, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """What came in goes first."""
        return torch.cat([x, self.added(x)], dim=1)


class DenseTrunk(nn.Sequential):
    """DenseNet-121's, rectified at the end: (B, width, H / 32, W / 32), 1,024 wide after a stem of 64.

    Every layer adds half as many channels as the stem has; a transition halves channels and side between two blocks.
    """

    LAYERS: ClassVar = (6, 12, 24, 16)  # of each block

    def __init__(self, inputs: int, stem: int = 64) -> None:
        if stem % 2:
            raise ValueError(f"a stem of {stem} channels: expected an even number, as each layer adds half as many")
        layers, width, growth = _stem(inputs, stem), stem, stem // 2
        for block, count in enumerate(self.LAYERS):
            if block:
                layers += [
                    nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)
                ]  # fmt: skip
                width //= 2
            layers += [DenseLayer(width + place * growth, growth) for place in range(count)]
            width += count * growth
        super().__init__(*layers, nn.BatchNorm2d(width), nn.ReLU())
        self.width = width
