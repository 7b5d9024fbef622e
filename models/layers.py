"""Blocks that the networks of several papers are built from. Channels before time or space, as torch has it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock1d(nn.Sequential):
    """A strided convolution over time without bias, batch norm, ReLU: (B, inputs, F) to (B, outputs, about F / 2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int) -> None:
        super().__init__(
            nn.Conv1d(inputs, outputs, kernel, stride=2, padding=padding, bias=False),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
        )


class Inception1d(nn.Module):
    """SF2F's 1-D Inception module: kernels of 2, 3, 5 and 7 frames side by side, each a quarter of the channels.

    (B, inputs, F) to (B, outputs, ceil(F / 2)). Raises ValueError for outputs that four does not divide.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter, remainder = divmod(outputs, 4)
        if remainder:
            raise ValueError(f"an Inception module of {outputs} channels: expected a multiple of its 4 branches")
        self.k2 = ConvBlock1d(inputs, quarter, kernel=2, padding=1)
        self.k3 = ConvBlock1d(inputs, quarter, kernel=3, padding=1)
        self.k5 = ConvBlock1d(inputs, quarter, kernel=5, padding=2)
        self.k7 = ConvBlock1d(inputs, quarter, kernel=7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels one after the other."""
        k3 = self.k3(x)  # (B, outputs / 4, ceil(F / 2))
        # For even F the branch of kernel 2 is one frame longer. Its last goes after batch norm, whose statistics have
        # seen it: padding on the left alone would give the same frames and other statistics. Frames are picked rather
        # than sliced because a slice ties an exported graph to even or to odd F.
        kept = torch.arange(k3.shape[2], device=x.device)
        k2 = self.k2(x).index_select(2, kept)  # (B, outputs / 4, ceil(F / 2))
        return torch.cat([k2, k3, self.k5(x), self.k7(x)], dim=1)  # (B, outputs, ceil(F / 2))


class UpConv2d(nn.Conv2d):
    """Nearest-neighbour enlargement by two and a 3 x 3 convolution: (B, inputs, S, S) to (B, outputs, 2S, 2S).

    After the enlargement, taps that fall on the same pixel can be added before they are multiplied: what is left is a
    transposed convolution of 4 x 4 taps, with 4 multiplications for each output instead of 9. The weight is that of
    the 3 x 3 convolution.
    """

    _shared: Tensor  # (4, 3): which of the three taps meet in each of the four

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        shared = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("_shared", shared, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of the enlarged picture, without ever making it."""
        taps = torch.einsum("oiyx,ay,bx->ioab", self.weight, self._shared, self._shared)
        return F.conv_transpose2d(x, taps, stride=2, padding=1)


class UpBlock(nn.Sequential):
    """SF2F's UpBlock as its code has it: (B, inputs, S, S) to (B, outputs, 2S, 2S)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            UpConv2d(inputs, 2 * outputs),  # (B, 2 outputs, 2S, 2S)
            nn.BatchNorm2d(2 * outputs),
            nn.GLU(dim=1),  # (B, outputs, 2S, 2S): the first half times the sigmoid of the second
        )


class PaperUpBlock(nn.Sequential):
    """SF2F's UpBlock as its text has it: (B, inputs, S, S) to (B, outputs, 2S, 2S)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),  # (B, inputs, 2S, 2S)
            nn.ZeroPad2d((1, 2, 1, 2)),  # left, right, top, bottom: an even kernel keeps the size by uneven padding
            nn.Conv2d(inputs, outputs, 4),  # (B, outputs, 2S, 2S)
            nn.ReLU(),
            nn.BatchNorm2d(outputs),
        )
