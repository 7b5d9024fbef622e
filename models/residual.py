"""Residual networks of the projection GAN (Miyato and Koyama 2018) as I2G has them: a face encoder, a generator.

Faces are in -1..1. The encoder has no batch norm; the generator's is replaced by AdaIN, driven by the condition.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.layers import UpConv2d

FIRST_SIDE = 4  # pixels of the generator's first code and of the encoder's last
_SLOPE = 0.2


class FirstDown(nn.Module):
    """Two convolutions and a mean of 2 x 2 pixels, with a shortcut: (B, inputs, S, S) to (B, outputs, S/2, S/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures come in, so nothing is rectified before the first convolution."""
        h = F.avg_pool2d(self.second(self.first(x).relu()), 2)
        return h + self.shortcut(F.avg_pool2d(x, 2))  # type: ignore[no-any-return]


class Down(nn.Module):
    """ReLU and convolution, twice, and a mean of 2 x 2 pixels: (B, inputs, S, S) to (B, outputs, S/2, S/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut rectifies nothing."""
        h = self.second(self.first(x.relu()).relu())
        return F.avg_pool2d(h + self.shortcut(x), 2)  # the mean of a sum is the sum of the means


class Same(nn.Module):
    """ReLU and convolution, twice, beside the identity: (B, width, S, S) stays so."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """What the convolutions add to x."""
        return x + self.second(self.first(x.relu()).relu())  # type: ignore[no-any-return]


class FaceEncoder(nn.Module):
    """I2G's face encoder F: `channels` at S/2, S/4, … 4 pixels, one block more there, a sum over the picture.

    Matching scores are plain inner products of large sums: the last layer begins with a deviation of one over the root
    of its inputs, with which scores begin with one of about 1, else the softmax is saturated, or flat, from the start.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        embedding: int = 128,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            FirstDown(3, channels[0]),  # (B, 64, 64, 64)
            *(Down(*widths) for widths in pairwise(channels)),  # (B, 128, 32, 32) … (B, 1024, 4, 4)
            Same(channels[-1]),  # (B, 1024, 4, 4)
        )
        self.embedding = nn.Linear(channels[-1], embedding)
        nn.init.normal_(self.embedding.weight, std=channels[-1] ** -0.5)
        for name, module in [*self.named_modules()]:
            if isinstance(module, nn.Conv2d):  # as the projection GAN's code begins
                nn.init.xavier_uniform_(module.weight, gain=1.0 if name.endswith("shortcut") else 2**0.5)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every one here has a bias
            if spectral and isinstance(module, nn.Conv2d | nn.Linear):
                spectral_norm(module)

    def forward(self, face: Tensor) -> Tensor:
        """Embeddings (B, embedding) of faces (B, 3, S, S)."""
        x = self.blocks(face).relu().sum(dim=(2, 3))  # (B, 1024)
        found: Tensor = self.embedding(x)
        return found


class AdaIN(nn.Module):
    """Instance norm whose gain and offset are linear in a condition (Huang and Belongie 2017); plain at the start."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.gain = nn.Linear(condition, channels, bias=False)
        self.offset = nn.Linear(condition, channels, bias=False)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.offset.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, S, S) and (B, condition) to (B, channels, S, S)."""
        gain, offset = (layer(condition)[:, :, None, None] for layer in (self.gain, self.offset))
        return (1 + gain) * F.instance_norm(x, eps=1e-5) + offset  # type: ignore[no-any-return]


class Up(nn.Module):
    """AdaIN, LeakyReLU, twice the side, convolution, and again: (B, inputs, S, S) to (B, outputs, 2S, 2S).

    No convolution has a bias: the instance norm that follows would take it out.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm1, self.first = AdaIN(inputs, condition), UpConv2d(inputs, outputs)
        self.norm2, self.second = AdaIN(outputs, condition), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The shortcut is a quarter of the work before the enlargement, and the same."""
        h = self.first(F.leaky_relu(self.norm1(x, condition), _SLOPE))
        h = self.second(F.leaky_relu(self.norm2(h, condition), _SLOPE))
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0)  # type: ignore[no-any-return]


class FaceGenerator(nn.Module):
    """I2G's generator: noise enters at 4 x 4 pixels together with the condition, every AdaIN hears the condition only.

    `channels` are those at 4, 8, 16, … pixels; six make a side of 128.
    """

    def __init__(
        self, noise: int = 128, condition: int = 128, channels: Sequence[int] = (1024, 1024, 512, 256, 128, 64)
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Linear(noise + condition, channels[0] * FIRST_SIDE**2),
            nn.Unflatten(1, (channels[0], FIRST_SIDE, FIRST_SIDE)),
        )
        self.blocks = nn.ModuleList(Up(*widths, condition) for widths in pairwise(channels))
        self.norm = AdaIN(channels[-1], condition)
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Faces (B, 3, S, S) in -1..1 of (B, noise) and (B, condition)."""
        x = self.first(torch.cat([noise, condition], dim=1))  # (B, 1024, 4, 4)
        for block in self.blocks:
            x = block(x, condition)  # (B, 1024, 8, 8), (B, 512, 16, 16) … (B, 64, 128, 128)
        x = F.leaky_relu(self.norm(x, condition), _SLOPE)
        face: Tensor = self.last(x).tanh()
        return face
