"""Face decoders of features (B, 4096): Cole's, which Speech2Face uses, and AR-SPM's. Pictures are in 0..1."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.cbam import Attention, attention
from models.vggface import FEATURES
from models.warp import warped

LANDMARKS = 68
_HIDDEN = 1000  # of the first layer, whose outputs both papers compare


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a decoder makes of features."""

    picture: Tensor  # (B, 3, S, S)
    texture: Tensor  # likewise, the face in the shape of the mean landmarks; the picture itself where nothing is warped
    landmarks: Tensor | None  # (B, 68, 2) x, y: pixels of the picture


class ColeDecoder(nn.Module):
    """A texture in the mean shape, and landmarks that it is warped to (Cole et al. 2017, on VGG-Face's features).

    `channels` are those at S / 16, S / 8, … S. Without `warps` the texture is the picture. The mean landmarks are
    those of the training faces: `models.speech2face.begin` puts them in.
    """

    CHANNELS: ClassVar = (256, 128, 64, 32, 32)
    mean_landmarks: Tensor

    def __init__(
        self, side: int = 224, channels: Sequence[int] = CHANNELS, warps: bool = True, space: int = FEATURES
    ) -> None:
        super().__init__()
        start, remainder = divmod(side, 2 ** (len(channels) - 1))
        if remainder or not start:
            raise ValueError(
                f"a side of {side} pixels: {len(channels)} channels need a multiple of {2 ** (len(channels) - 1)}"
            )
        self.first = nn.Linear(space, _HIDDEN)
        self.texture = nn.Sequential(
            nn.Linear(_HIDDEN, channels[0] * start * start),
            nn.ReLU(),
            nn.Unflatten(1, (channels[0], start, start)),
            *(layer for widths in pairwise(channels) for layer in (_doubling(*widths), nn.ReLU())),
            nn.Conv2d(channels[-1], 3, 1),
            nn.Sigmoid(),
        )
        self.landmarks = (
            nn.Sequential(
                nn.Linear(_HIDDEN, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 2 * LANDMARKS)
            )
            if warps
            else None
        )
        if warps:
            self.register_buffer("mean_landmarks", torch.zeros(LANDMARKS, 2))

    def forward(self, features: Tensor) -> Drawn:
        """The faces of features (B, 4096)."""
        hidden = self.first(features).relu()
        texture: Tensor = self.texture(hidden).float()
        if self.landmarks is None:
            return Drawn(texture, texture, None)
        landmarks = self.mean_landmarks + self.landmarks(hidden).float().view(-1, LANDMARKS, 2)
        mean = self.mean_landmarks.expand_as(landmarks)
        return Drawn(warped(texture, mean, landmarks), texture, landmarks)


class AttentionDecoder(nn.Module):
    """AR-SPM's: transposed convolutions of 5 x 5, a gate at an eighth of the side. 69 million parameters.

    `channels` are those of the groups at S / 32 to S. The paper's table doubles four times and its text draws 224
    pixels: the doubling it lacks is at the beginning of the second group, as in VGG-16's mirror image.
    """

    CHANNELS: ClassVar = (512, 512, 512, 256, 64, 32)
    _LAYERS: ClassVar = (3, 2, 3, 2, 1)  # transposed convolutions of each group; the first doubles

    def __init__(
        self, side: int = 224, channels: Sequence[int] = CHANNELS, kind: Attention = "cbam", space: int = FEATURES
    ) -> None:
        super().__init__()
        start, remainder = divmod(side, 32)
        if remainder or not start or len(channels) != len(self.CHANNELS):
            raise ValueError(f"a side of {side} pixels, {len(channels)} channels: expected a multiple of 32, and 6")
        self.first = nn.Linear(space, _HIDDEN)
        layers: list[nn.Module] = [
            nn.ReLU(),
            nn.Linear(_HIDDEN, channels[0] * start * start),
            nn.ReLU(),
            nn.Unflatten(1, (channels[0], start, start)),
        ]
        for group, (count, (inputs, outputs)) in enumerate(zip(self._LAYERS, pairwise(channels), strict=True)):
            layers += [_doubling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
            for _ in range(count - 1):
                layers += [nn.ConvTranspose2d(outputs, outputs, 5, padding=2), nn.BatchNorm2d(outputs), nn.ReLU()]
            if group == 1:  # (B, 512, 28, 28) of 224
                layers.append(attention(kind, outputs))
        self.rest = nn.Sequential(*layers, nn.Conv2d(channels[-1], 3, 1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """The pictures (B, 3, S, S) of features (B, 4096)."""
        picture: Tensor = self.rest(self.first(features)).float()
        return picture


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)
