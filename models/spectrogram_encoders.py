"""Voice encoders over complex spectrograms (B, 2, 257, T), frequency before time: Speech2Face's and AR-SPM's.

`space` is how many features they say, VGG-Face's 4,096 unless a smaller network of ours is imitated.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from models.backbones import DenseTrunk, ResidualTrunk
from models.cbam import Attention, attention
from models.vggface import FEATURES

Backbone = Literal["own", "resnet", "densenet"]
_KERNEL = 4  # of Speech2Face


class SpeechEncoder(nn.Module):
    """Speech2Face's: nine convolutions of 4 x 4 without padding, pools along time alone, two linear layers.

    To features (B, 4096) of any T from `SHORTEST` on. 148.1 million parameters. Raises ValueError for fewer frames.
    """

    CHANNELS: ClassVar = (64, 64, 128, 128, 128, 256, 512, 512, 512)
    SHORTEST: ClassVar = 259  # frames: 2.6 s
    _POOLED: ClassVar = (2, 3, 4, 5)  # places of the convolutions that a pool follows
    _ROWS: ClassVar = 57  # frequencies that are left of 257

    def __init__(self, channels: Sequence[int] = CHANNELS, hidden: int = 4096, space: int = FEATURES) -> None:
        super().__init__()
        if len(channels) != len(self.CHANNELS):
            raise ValueError(f"{len(channels)} channels: expected {len(self.CHANNELS)}, one for each convolution")
        layers: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(zip((2, *channels), channels, strict=False)):
            stride = 1 if place < 7 else 2
            layers.append(nn.Conv2d(inputs, outputs, _KERNEL, stride))
            if place < 8:  # the last is averaged over time first
                layers += [nn.ReLU(), nn.BatchNorm2d(outputs)]
            if place in self._POOLED:
                layers.append(nn.MaxPool2d((1, 2)))
        self.convolutions = nn.Sequential(*layers)
        self.last = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(channels[-1]))
        self.head = nn.Sequential(nn.Linear(channels[-1] * self._ROWS, hidden), nn.ReLU(), nn.Linear(hidden, space))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Features (B, 4096), linear: not rectified."""
        if spectrogram.shape[-1] < self.SHORTEST:
            raise ValueError(f"{spectrogram.shape[-1]} frames: the encoder needs {self.SHORTEST}; repeat shorter ones")
        x = self.convolutions(spectrogram)  # (B, 512, 57, 6) of 6 s
        x = self.last(x.mean(dim=3, keepdim=True))  # (B, 512, 57, 1)
        features: Tensor = self.head(x.flatten(1))
        return features


class Trunk(nn.Sequential):
    """AR-SPM's convolutions and pools, each convolution with batch norm and ReLU: (B, C, 4, 17) of 6 s."""

    def __init__(self, channels: Sequence[int]) -> None:
        first, second, third, fourth, fifth = channels
        super().__init__(
            *_convolution(2, first, 7, 2),  # (B, 64, 127, 297)
            nn.MaxPool2d(3, 2),  # (B, 64, 63, 148)
            *_convolution(first, second, 5, 2),  # (B, 128, 31, 73)
            nn.MaxPool2d(3, 2),  # (B, 128, 15, 36)
            *_convolution(second, third, 3, 1),  # (B, 256, 15, 36)
            *_convolution(third, fourth, 3, 1),  # (B, 512, 15, 36)
            *_convolution(fourth, fifth, 3, 1),  # (B, 512, 15, 36)
            nn.MaxPool2d((5, 3), (3, 2)),  # (B, 512, 4, 17)
        )


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


class ResidualEncoder(nn.Module):
    """AR-SPM's: trunk, attention, a fully connected layer at every place, and their mean; then the fusion layer.

    22.9 million parameters. What is added to a prior, and where, is the system's to say. The paper names ResNet and
    DenseNet as trunks that it tried, without their sizes: `models.backbones` has the smallest common ones.
    """

    CHANNELS: ClassVar = (64, 128, 256, 512, 512)

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        kind: Attention = "cbam",
        backbone: Backbone = "own",
        space: int = FEATURES,
    ) -> None:
        super().__init__()
        self.trunk, width = _trunk(backbone, channels)
        self.attention = attention(kind, width)
        self.fc1 = nn.Sequential(nn.Conv2d(width, space, 1), nn.ReLU())
        self.fc2 = nn.Linear(space, space)

    def forward(self, spectrogram: Tensor, prior: Tensor | None = None, before: bool = False) -> Tensor:
        """Features (B, 4096), with a prior (B, 4096) added to them, or `before` the fusion layer."""
        hidden = self.fc1(self.attention(self.trunk(spectrogram))).mean(dim=(2, 3))  # (B, 4096)
        if prior is None:
            features: Tensor = self.fc2(hidden)
            return features
        fused: Tensor = self.fc2(hidden + prior) if before else self.fc2(hidden) + prior
        return fused


def _trunk(backbone: Backbone, channels: Sequence[int]) -> tuple[nn.Module, int]:
    """A trunk over spectrograms, and how many channels come out of it."""
    if backbone == "densenet":
        if len(channels) != 1:
            raise ValueError(f"{len(channels)} channels: a DenseNet takes those of its stem alone")
        dense = DenseTrunk(2, channels[0])
        return dense, dense.width
    return (Trunk(channels) if backbone == "own" else ResidualTrunk(2, channels)), channels[-1]


class GenderClassifier(nn.Sequential):
    """AR-SPM's: the trunk at a quarter of the width, the mean over all places, two linear layers; logits (B, 2)."""

    CHANNELS: ClassVar = (32, 64, 128, 128, 128)

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__(
            Trunk(channels),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels[-1], 128),
            nn.ReLU(),
            nn.Linear(128, 2),
        )
