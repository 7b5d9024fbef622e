"""Face decoders: an embedding in, a picture in the system's own colour space out (linear, not clamped).

Every decoder answers with a tuple of pictures, (B, 3, S, S) for each side S it draws, smallest first.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.layers import PaperUpBlock, UpBlock

CHANNELS = (512, 256, 128, 64, 32, 16)  # of SF2F's codes at 4 x 4, 8 x 8, … 128 x 128


class GluDecoder(nn.Module):
    """SF2F's decoder as its code has it: a linear layer to 4 x 4, then UpBlocks with GLU.

    `sides` (64,) and (128,) are the single resolutions, (64, 128) the multi-resolution decoder, whose second head
    draws from the code under the first, not from the first picture. `channels` begin at 4 x 4; as many are used as the
    largest side needs. Raises ValueError for a side that the channels cannot reach by doubling.
    """

    def __init__(self, embedding: int = 512, sides: Sequence[int] = (64,), channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        width = channels[0]
        self.fc = nn.Sequential(
            nn.Linear(embedding, 2 * width * 4 * 4, bias=False),  # (B, 16384)
            nn.BatchNorm1d(2 * width * 4 * 4),
            nn.GLU(dim=1),  # (B, 8192)
            nn.Unflatten(1, (width, 4, 4)),  # (B, 512, 4, 4)
        )
        self.up = _UpBlocks(UpBlock, _glu_head, sides, channels)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """The pictures of (B, embedding)."""
        images: tuple[Tensor, ...] = self.up(self.fc(embedding))
        return images


class PaperDecoder(nn.Module):
    """SF2F's decoder as its text has it: bilinear UpBlocks from 1 x 1, six to 64 pixels, seven to 128.

    Sides, channels and errors are those of `GluDecoder`; the code at 2 x 2 has the channels of that at 4 x 4.
    """

    def __init__(self, embedding: int = 512, sides: Sequence[int] = (64,), channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Unflatten(1, (embedding, 1, 1)),  # (B, 512, 1, 1)
            PaperUpBlock(embedding, channels[0]),  # (B, 512, 2, 2)
            PaperUpBlock(channels[0], channels[0]),  # (B, 512, 4, 4)
        )
        self.up = _UpBlocks(PaperUpBlock, _paper_head, sides, channels)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """The pictures of (B, embedding)."""
        images: tuple[Tensor, ...] = self.up(self.first(embedding))
        return images


class DeconvDecoder(nn.Module):
    """voice2face's generator: transposed convolutions with ReLU between them, no batch norm.

    `channels` are those at 4 x 4, 8 x 8, …; five make a side of 64 pixels. The SF2F authors feed it 512 numbers, the
    original 64.
    """

    def __init__(self, embedding: int = 512, channels: Sequence[int] = (1024, 512, 256, 128, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(embedding, channels[0], 4), nn.ReLU()]  # (B, 1024, 4, 4)
        for inputs, outputs in pairwise(channels):  # (B, 512, 8, 8) … (B, 64, 64, 64)
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(channels[-1], 3, 1))  # (B, 3, 64, 64)
        self.layers = nn.Sequential(*layers)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """The one picture of (B, embedding)."""
        return (self.layers(embedding[:, :, None, None]),)  # (B, 3, 64, 64)


class _UpBlocks(nn.Module):
    """From the code at 4 x 4, block after block to the largest side, with a head at each side asked for."""

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        head: Callable[[int], nn.Module],
        sides: Sequence[int],
        channels: Sequence[int],
    ) -> None:
        super().__init__()
        width_at = {8 * 2**n: width for n, width in enumerate(channels[1:])}
        if not sides or not set(sides) <= set(width_at):
            raise ValueError(
                f"decoder sides {tuple(sides)}: {len(channels)} channels can draw {tuple(width_at)} pixels"
            )
        steps = [step for step in zip(width_at, pairwise(channels), strict=True) if step[0] <= max(sides)]
        self.blocks = nn.ModuleDict({str(side): block(*widths) for side, widths in steps})
        self.heads = nn.ModuleDict({str(side): head(width_at[side]) for side in sorted(sides)})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        images = []
        for side, block in self.blocks.items():
            x = block(x)  # (B, 256, 8, 8), (B, 128, 16, 16), (B, 64, 32, 32), (B, 32, 64, 64), (B, 16, 128, 128)
            if side in self.heads:
                images.append(self.heads[side](x))  # (B, 3, side, side)
        return tuple(images)


def _glu_head(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.01), nn.Conv2d(width, 3, 1))


def _paper_head(width: int) -> nn.Module:
    return nn.Conv2d(width, 3, 1)
