"""Voice encoders: a log-mel spectrogram of any length in, one embedding out."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import ConvBlock1d, Inception1d

CHANNELS = (256, 384, 576, 864)  # both papers
MIN_FRAMES = 2  # the fewest that SF2F's encoder is known to take


class InceptionEncoder(nn.Module):
    """SF2F's 1-D Inception encoder: four modules and a plain convolution as in its code, or the paper's five modules.

    A normalised mel (B, bands, F), F >= 2, to (B, embedding) of unit length. Every layer halves the frames, rounding
    up. Raises ValueError for fewer frames.
    """

    def __init__(
        self, bands: int, channels: Sequence[int] = CHANNELS, embedding: int = 512, paper: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Inception1d(*widths) for widths in pairwise([bands, *channels])))
        self.last = (
            Inception1d(channels[-1], embedding)
            if paper
            else nn.Conv1d(channels[-1], embedding, 3, stride=2, padding=1)
        )

    def forward(self, mel: Tensor) -> Tensor:
        """The embedding, averaged over time: (B, bands, F) to (B, embedding)."""
        _require_frames(mel)
        x = self.blocks(mel)  # (B, 864, F / 16)
        x = self.last(x)  # (B, embedding, F / 32)
        return F.normalize(x.mean(dim=2), dim=1)  # (B, embedding)


class ConvEncoder(nn.Module):
    """The 1-D CNN encoder of voice2face: five convolutions that each halve the frames, rounding up.

    A normalised mel (B, bands, F), F >= 2, to (B, embedding), of unit length with `normalise` (the SF2F authors'
    variant) and as it comes without (the original). Raises ValueError for fewer frames.
    """

    def __init__(self, bands: int, channels: Sequence[int], embedding: int, normalise: bool) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *(ConvBlock1d(*widths, kernel=3, padding=1) for widths in pairwise([bands, *channels]))
        )
        self.last = nn.Conv1d(channels[-1], embedding, 3, stride=2, padding=1)
        self.normalise = normalise

    def forward(self, mel: Tensor) -> Tensor:
        """The embedding, averaged over time: (B, bands, F) to (B, embedding)."""
        _require_frames(mel)
        x = self.convolutions(mel)  # (B, 864, F / 16)
        x = self.last(x)  # (B, embedding, F / 32)
        embedding: Tensor = x.mean(dim=2)  # (B, embedding)
        return F.normalize(embedding, dim=1) if self.normalise else embedding


def _require_frames(mel: Tensor) -> None:
    if mel.shape[2] < MIN_FRAMES:
        raise ValueError(f"a spectrogram of {mel.shape[2]} frames: the encoder needs {MIN_FRAMES} or more")
