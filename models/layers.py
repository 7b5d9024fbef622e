"""Blocks that the networks of several papers are built from. Channels before time or space, as torch has it."""

import torch
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


class UpBlock(nn.Sequential):
    """SF2F's UpBlock as its code has it: (B, inputs, S, S) to (B, outputs, 2S, 2S)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2.0, mode="nearest"),  # (B, inputs, 2S, 2S)
            nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False),  # (B, 2 outputs, 2S, 2S)
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
