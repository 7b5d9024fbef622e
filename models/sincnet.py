"""The speech encoder of PASE (Pascual et al. 2019) on SincNet filters (Ravanelli and Bengio 2018): waveforms in."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.frontend import SAMPLE_RATE

_LOWEST_HZ, _MARGIN_HZ = 30.0, 100.0  # first cut-off at the start, and from the last one to half the sampling rate
_MIN_HZ = 50.0  # of a band's lower end, and of its width
_KERNELS = (20, 11, 11, 11, 11, 11, 11)
_STRIDES = (10, 2, 1, 2, 1, 2, 2)  # 160 samples together, 10 ms


class SincConv(nn.Module):
    """Band-pass filters of which only the band is learnt: (B, 1, T) to (B, filters, T).

    `low` and `band` are Hz above their least values of 50. Raises ValueError for an even kernel, which has no middle.
    """

    _seconds: Tensor  # (kernel,) from the middle of the filter
    _window: Tensor  # (kernel,)

    def __init__(self, filters: int = 64, kernel: int = 251) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"a filter of {kernel} samples: expected an odd number")
        ends = _mel(torch.tensor([_LOWEST_HZ, SAMPLE_RATE / 2 - _MARGIN_HZ]))
        steps = torch.linspace(0, 1, filters + 1)
        edges = _hertz(ends[0] + (ends[1] - ends[0]) * steps)
        self.low = nn.Parameter(edges[:-1].clone())
        self.band = nn.Parameter(edges.diff())
        middle = kernel // 2
        self.register_buffer("_seconds", torch.arange(-middle, middle + 1) / SAMPLE_RATE, persistent=False)
        self.register_buffer("_window", torch.hamming_window(kernel, periodic=False), persistent=False)

    def bands(self) -> tuple[Tensor, Tensor]:
        """Lower and upper cut-off of each filter, Hz."""
        low = (_MIN_HZ + self.low.abs()).clamp(max=SAMPLE_RATE / 2 - _MIN_HZ)
        return low, (low + _MIN_HZ + self.band.abs()).clamp(max=SAMPLE_RATE / 2)

    def kernels(self) -> Tensor:
        """The filters, (filters, kernel): the difference of two low-pass filters, 1 in the middle, windowed."""
        low, high = (cut[:, None] for cut in self.bands())
        wide, narrow = (2 * cut * torch.sinc(2 * cut * self._seconds) for cut in (high, low))
        return (wide - narrow) / (2 * (high - low)) * self._window

    def forward(self, wave: Tensor) -> Tensor:
        """As many samples as came in."""
        kernels = self.kernels()
        middle = kernels.shape[1] // 2
        return F.conv1d(F.pad(wave, (middle, middle), mode="reflect"), kernels[:, None])


class WaveEncoder(nn.Module):
    """I2G's speech encoder: SincNet filters, seven convolutions, the mean over time, a linear layer.

    `channels` are those of the filters and of the convolutions, `bottleneck` those before the mean.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 64, 128, 128, 256, 256, 512, 512),
        bottleneck: int = 100,
        embedding: int = 128,
        kernel: int = 251,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [SincConv(channels[0], kernel), *_after(channels[0])]  # (B, 64, 96000) of 6 s
        shapes = zip(channels[:-1], channels[1:], _KERNELS, _STRIDES, strict=True)
        for inputs, outputs, size, stride in shapes:
            # (B, 64, 9600), (B, 128, 4800) twice, (B, 256, 2400) twice, (B, 512, 1200), (B, 512, 600)
            layers += [*_strided(inputs, outputs, size, stride), *_after(outputs)]
        layers.append(nn.Conv1d(channels[-1], bottleneck, 1))  # (B, 100, 600); PASE's batch norm here is not I2G's
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Linear(bottleneck, embedding)

    def forward(self, wave: Tensor) -> Tensor:
        """Embeddings (B, embedding) of waveforms (B, samples) of 30 ms or more."""
        x = self.layers(wave[:, None])
        found: Tensor = self.embedding(x.mean(dim=2).relu())
        return found


def _after(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm1d(channels), nn.PReLU(channels)


def _strided(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    """A convolution that leaves T / stride of T samples where the stride divides them; edges are reflected."""
    before = kernel // 2 if kernel % 2 and stride == 1 else kernel // 2 - 1
    return nn.ReflectionPad1d((before, kernel // 2)), nn.Conv1d(inputs, outputs, kernel, stride)


def _mel(hertz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


def _hertz(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)
