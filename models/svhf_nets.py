"""The networks of SVHF-Net: VGG-M branches for faces and for voices, and the head that chooses among candidates."""

import torch
from torch import Tensor, nn

_HALVINGS = 32  # what the face branch divides a side by before fc6


class MeanImage(nn.Module):
    """Subtracts the mean picture of the training people, (B, 3, S, S) in 0..1; grey until it is told."""

    mean: Tensor  # (3, S, S)

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, side, side), 0.5))

    def forward(self, face: Tensor) -> Tensor:
        """The difference."""
        return face - self.mean


class FaceBranch(nn.Sequential):
    """VGG-M with batch norm: (B, 3, S, S) in 0..1 to (B, embedding). Raises ValueError unless 32 divides S."""

    def __init__(self, channels: tuple[int, int], hidden: int, embedding: int, side: int) -> None:
        first, rest = channels
        if side % _HALVINGS or not side:
            raise ValueError(f"faces of {side} pixels: expected a multiple of {_HALVINGS}")
        super().__init__(
            MeanImage(side),
            _convolution(3, first, 7, stride=2, padding=3),  # (96, 112, 112)
            nn.MaxPool2d(2, 2),  # (96, 56, 56)
            _convolution(first, rest, 5, stride=2, padding=2),  # (256, 28, 28)
            nn.MaxPool2d(2, 2),  # (256, 14, 14)
            *(_convolution(rest, rest, 3, stride=1, padding=1) for _ in range(3)),
            nn.MaxPool2d(2, 2),  # (256, 7, 7)
            nn.Sequential(nn.Conv2d(rest, hidden, side // _HALVINGS), nn.ReLU()),  # fc6: (4096, 1, 1)
            nn.Flatten(),
            nn.Sequential(nn.Linear(hidden, embedding), nn.ReLU()),  # fc7: 1024
        )
        _begin(self)


class VoiceBranch(nn.Sequential):
    """VGG-M over spectrograms of any width: (B, 1, 512, T), T >= 100, to (B, embedding)."""

    def __init__(self, channels: tuple[int, int], hidden: int, embedding: int) -> None:
        first, rest = channels
        super().__init__(
            _convolution(1, first, 7, stride=2, padding=1),  # (96, 254, 148) of 300 frames
            nn.MaxPool2d(3, 2),  # (96, 126, 73)
            _convolution(first, rest, 5, stride=2, padding=1),  # (256, 62, 36)
            nn.MaxPool2d(3, 2),  # (256, 30, 17)
            *(_convolution(rest, rest, 3, stride=1, padding=1) for _ in range(3)),
            nn.MaxPool2d((5, 3), (3, 2)),  # (256, 9, 8)
            nn.Sequential(nn.Conv2d(rest, hidden, (9, 1)), nn.ReLU()),  # fc6: (4096, 1, 8)
            nn.AdaptiveAvgPool2d(1),  # over time: (4096, 1, 1)
            nn.Flatten(),
            nn.Sequential(nn.Linear(hidden, embedding), nn.ReLU()),  # fc7: 1024
        )
        _begin(self)


def _begin(network: nn.Module) -> None:
    """Weights at which rectified layers keep their scale (He et al. 2015): fc6 and fc7 have no batch norm to do so."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Head(nn.Module):
    """Three linear layers over probe and K candidates, laid end to end: (B, E) and (B, K, E) to logits (B, K)."""

    def __init__(self, embedding: int, widths: tuple[int, int], candidates: int) -> None:
        super().__init__()
        first, second = widths
        self.layers = nn.Sequential(
            nn.Linear((1 + candidates) * embedding, first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Linear(second, candidates),
        )
        _begin(self)

    def forward(self, probe: Tensor, gallery: Tensor) -> Tensor:
        """Logits of the candidates, in their order."""
        logits: Tensor = self.layers(torch.cat([probe[:, None], gallery], dim=1).flatten(1))
        return logits
