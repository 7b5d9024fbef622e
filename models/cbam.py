"""Attention gates of features (B, C, H, W): CBAM (Woo et al. 2018) and squeeze-and-excitation (Hu et al. 2018).

AR-SPM tried CBAM's two gates side by side too, and says nothing of how they are joined: here as in BAM (Park et al.
2018), by one sigmoid of their sum.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Attention = Literal["cbam", "parallel", "se", "none"]
_REDUCTION = 16
_KERNEL = 7  # of the spatial gate


def attention(kind: Attention, channels: int) -> nn.Module:
    """The gates of that kind."""
    if kind == "cbam":
        return nn.Sequential(ChannelGate(channels), SpatialGate())
    if kind == "parallel":
        return ParallelGates(channels)
    return SqueezeExcitation(channels) if kind == "se" else nn.Identity()


def _bottleneck(channels: int) -> nn.Sequential:
    """C to C / 16 and back."""
    narrow = max(channels // _REDUCTION, 1)
    return nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, channels))


class ChannelGate(nn.Module):
    """Each channel times what its mean and its maximum say of it through one shared network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = _bottleneck(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x * self.logits(x).sigmoid()

    def logits(self, x: Tensor) -> Tensor:
        """The gate before its sigmoid, (B, C, 1, 1)."""
        gate: Tensor = self.shared(x.mean(dim=(2, 3))) + self.shared(x.amax(dim=(2, 3)))  # (B, C)
        return gate[:, :, None, None]


class SpatialGate(nn.Module):
    """Each place times what the maximum and the mean over channels say around it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, _KERNEL, padding=_KERNEL // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x * self.logits(x).sigmoid()

    def logits(self, x: Tensor) -> Tensor:
        """The gate before its sigmoid, (B, 1, H, W)."""
        told = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        gate: Tensor = self.norm(self.convolution(told))
        return gate


class ParallelGates(nn.Module):
    """Both gates see what comes in; one sigmoid of their sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelGate(channels), SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x * (self.channel.logits(x) + self.spatial.logits(x)).sigmoid()


class SqueezeExcitation(nn.Module):
    """Each channel times what the means of all channels say of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = _bottleneck(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate: Tensor = self.network(x.mean(dim=(2, 3)))
        return x * gate.sigmoid()[:, :, None, None]
