"""dlib's CNN face detector (max-margin object detection, King 2015) in torch: dlib's own takes eight times as long."""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from manifests import weights
from pipeline import geometry, warp
from pipeline.faces.dlib_file import Reader
from pipeline.geometry import Box
from pipeline.images import Pixels

WEIGHTS: Final = "dlib-mmod"

_LAYERS: Final = (  # channels out, side of the kernel, stride, padding
    (16, 5, 2, 0), (32, 5, 2, 0), (32, 5, 2, 0), (45, 5, 1, 2), (45, 5, 1, 2), (45, 5, 1, 2), (1, 9, 1, 4),
)  # fmt: skip
_EPSILON: Final = 1e-4  # of dlib's batch normalisation
_MEAN: Final = np.array([122.782, 117.001, 104.298], np.float32)  # of RGB; dlib divides the rest by 256

_WINDOW_PX: Final = 80.0  # side of a face in a level of the pyramid
_STRIDE_PX: Final = 8  # between neighbouring windows
_FIRST_PX: Final = 14.5  # centre of the first window: three kernels of 5 pixels at strides 2, 2, 2
_SHRINK: Final = 0.75  # from level to level; dlib's 5/6 takes longer and finds no more
_MARGIN_PX: Final = 11  # black around each level, so that a face at the edge has its window
_BLOCK_PX: Final = 32  # sides are filled up to a multiple of it: torch prepares anew for every size it has not seen
_SMALLEST_PX: Final = 64  # longer side of the last level: a face is larger than the picture there
_OVERLAP: Final = 0.338  # boxes that share more (intersection over union) are the same face


def find(pixels: Pixels) -> list[tuple[Box, float]]:
    """Faces of 80 pixels and more in a picture (height x width x 3): boxes and confidences, surest first."""
    found = []
    level = pixels
    while max(level.shape[:2]) >= _SMALLEST_PX:
        back = pixels.shape[1] / level.shape[1], pixels.shape[0] / level.shape[0]
        found += [(_box(x, y, back), score) for x, y, score in _windows(level)]
        level = warp.resized(level, _SHRINK)
    alone: list[tuple[Box, float]] = []
    for box, score in sorted(found, key=lambda item: (-item[1], item[0])):
        if all(geometry.overlap(box, other) <= _OVERLAP for other, _ in alone):
            alone.append((box, score))
    return alone


def _windows(level: Pixels) -> list[tuple[float, float, float]]:
    """Centres (pixels of the level) and confidences of the windows that hold a face."""
    below, right = (_MARGIN_PX + -(side + 2 * _MARGIN_PX) % _BLOCK_PX for side in level.shape[:2])
    framed = np.pad(level, ((_MARGIN_PX, below), (_MARGIN_PX, right), (0, 0)))
    planes = ((framed - _MEAN) / 256.0).transpose(2, 0, 1)[np.newaxis]
    with torch.inference_mode():
        heat = network()(torch.from_numpy(planes))[0, 0].numpy()
    first = _FIRST_PX - _MARGIN_PX
    at = np.argwhere(heat > 0.0)
    return [(_STRIDE_PX * float(x) + first, _STRIDE_PX * float(y) + first, float(heat[y, x])) for y, x in at]


def _box(x: float, y: float, back: tuple[float, float]) -> Box:
    half = 0.5 * _WINDOW_PX
    return ((x - half) * back[0], (y - half) * back[1], (x + half) * back[0], (y + half) * back[1])


@cache
def network() -> nn.Sequential:
    """The network with the registered weights, loaded once per process."""
    return read(weights.path(WEIGHTS))


def read(file: Path) -> nn.Sequential:
    """The network of dlib's model file, batch normalisation folded into the convolutions.

    Raises DataError where the file is another model or damaged.
    """
    reader = Reader(file.read_bytes())
    modules: list[nn.Module] = []
    channels = 3
    for out, side, stride, padding in _LAYERS:
        convolution = nn.Conv2d(channels, out, side, stride, padding)
        modules.append(convolution)
        weight, bias = _convolution(reader, convolution.weight)
        if out > 1:
            factor, shift = _normalisation(reader)
            weight, bias = weight * factor[:, None, None, None], bias * factor + shift
            modules.append(nn.ReLU())
        with torch.no_grad():
            convolution.weight.copy_(weight)
            convolution.bias.copy_(bias)  # type: ignore[union-attr]
        channels = out
    return nn.Sequential(*modules).eval().to(memory_format=torch.channels_last)


def _convolution(reader: Reader, like: Tensor) -> tuple[Tensor, Tensor]:
    """Kernels (out, in, height, width) and biases, which dlib keeps in one tensor."""
    reader.skip_to("con_4")
    values = torch.from_numpy(reader.tensor().astype(np.float64))
    return values[: like.numel()].reshape(like.shape), values[like.numel() :]


def _normalisation(reader: Reader) -> tuple[Tensor, Tensor]:
    """Factor and shift of each channel, from dlib's scales and shifts and the means and variances seen in training."""
    reader.skip_to("bn_con2")
    scale, shift = np.split(reader.tensor().astype(np.float64), 2)
    reader.skip(2 * 5)  # how scales and shifts lie in that tensor
    reader.tensor(), reader.tensor()  # of the last batch
    mean, variance = reader.tensor(), reader.tensor()
    factor = scale / np.sqrt(variance + _EPSILON)
    return torch.from_numpy(factor), torch.from_numpy(shift - mean * factor)
