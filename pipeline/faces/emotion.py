"""Mini-XCEPTION: seven expression probabilities of a face.

Arriaga, Valdenegro-Toro and Ploeger, "Real-time Convolutional Neural Networks for Emotion and Gender
Classification" (2017), trained by its authors on FER-2013. Their Keras file is read straight into torch.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional

from manifests import weights
from manifests.errors import DataError
from pipeline.faces.chip import CHIP_BOXES
from pipeline.images import Pixels

WEIGHTS = "fer2013-mini-xception"
SIDE = 64  # pixels, what the network reads
# What the network sees: side, and how far above the chip's middle, both in face boxes. Two looks, since one alone
# depends on where exactly the detector put the box.
LOOKS = ((1.3, 0.0), (1.3, 0.05))
_EPSILON = 1e-3  # of Keras's batch normalisation; torch's default is 1e-5
_INITIAL, _WIDTHS, _CLASSES = 8, (16, 32, 64, 128), 7  # channels


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)


class _Separable(nn.Module):
    """A 3 x 3 convolution per channel, then a 1 x 1 convolution across channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class _Block(nn.Module):
    """Two separable convolutions, halved by max pooling, plus a 1 x 1 shortcut of stride 2."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride=2, bias=False)
        self.shortcut_norm = _norm(channels_out)
        self.first = _Separable(channels_in, channels_out)
        self.first_norm = _norm(channels_out)
        self.second = _Separable(channels_out, channels_out)
        self.second_norm = _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.first_norm(self.first(x)))
        out = _halve(self.second_norm(self.second(out)))
        summed: Tensor = out + self.shortcut_norm(self.shortcut(x))
        return summed


def _halve(x: Tensor) -> Tensor:
    """3 x 3 max pooling of stride 2 with TensorFlow's `same` padding of a square picture.

    The spare pixel goes to the right and bottom where the side is even; torch would put one on every side. Rows, then
    columns, as maxima of three views: nine times as fast as torch's pooling on one thread.
    """
    before = x.shape[-1] % 2
    x = functional.pad(x, (before, 1, before, 1), value=-torch.inf)
    x = torch.maximum(torch.maximum(x[..., :-2:2, :], x[..., 1:-1:2, :]), x[..., 2::2, :])
    return torch.maximum(torch.maximum(x[..., :-2:2], x[..., 1:-1:2]), x[..., 2::2])


class MiniXception(nn.Module):
    """Grey 64 x 64 faces, scaled to -1..1, to seven probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _INITIAL, 3, bias=False)
        self.norm1 = _norm(_INITIAL)
        self.conv2 = nn.Conv2d(_INITIAL, _INITIAL, 3, bias=False)
        self.norm2 = _norm(_INITIAL)
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in pairwise((_INITIAL, *_WIDTHS)))
        self.head = nn.Conv2d(_WIDTHS[-1], _CLASSES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # n, 1, 64, 64
        """Seven probabilities per face; shapes beside each step."""
        x = functional.relu(self.norm1(self.conv1(x)))  # n, 8, 62, 62
        x = functional.relu(self.norm2(self.conv2(x)))  # n, 8, 60, 60
        for block in self.blocks:
            x = block(x)  # n, 16, 30, 30; 32, 15, 15; 64, 8, 8; 128, 4, 4
        scores: Tensor = self.head(x)  # n, 7, 4, 4
        return scores.mean(dim=(2, 3)).softmax(dim=1)  # n, 7


_PARTS = {  # torch's words for Keras's, and the axes that bring Keras's order (height, width, in, out) to torch's
    "kernel": ("weight", (3, 2, 0, 1)),
    "depthwise_kernel": ("weight", (2, 3, 0, 1)),
    "pointwise_kernel": ("weight", (3, 2, 0, 1)),
    "bias": ("bias", (0,)),
    "gamma": ("weight", (0,)),
    "beta": ("bias", (0,)),
    "moving_mean": ("running_mean", (0,)),
    "moving_variance": ("running_var", (0,)),
}
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def _keras_layers() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Module of ours -> Keras layer and its arrays; Keras numbers layers in the order they were made."""
    layers = {
        "conv1": ("conv2d_1", ("kernel",)),
        "norm1": ("batch_normalization_1", _NORM),
        "conv2": ("conv2d_2", ("kernel",)),
        "norm2": ("batch_normalization_2", _NORM),
        "head": ("conv2d_7", ("kernel", "bias")),
    }
    for i in range(len(_WIDTHS)):
        block = f"blocks.{i}"
        layers[f"{block}.shortcut"] = (f"conv2d_{i + 3}", ("kernel",))
        for j, norm in enumerate(("shortcut_norm", "first_norm", "second_norm")):
            layers[f"{block}.{norm}"] = (f"batch_normalization_{3 * i + 3 + j}", _NORM)
        for j, separable in enumerate(("first", "second")):
            keras = f"separable_conv2d_{2 * i + 1 + j}"
            layers[f"{block}.{separable}.depthwise"] = (keras, ("depthwise_kernel",))
            layers[f"{block}.{separable}.pointwise"] = (keras, ("pointwise_kernel",))
    return layers


def read_keras(file: Path) -> MiniXception:
    """The network with the weights of the authors' Keras HDF5 file.

    Raises DataError where the file lacks an array, has one too many, or has one of another shape.
    """
    arrays = _arrays(file)
    network = MiniXception().eval()
    state = network.state_dict()
    for module, (layer, parts) in _keras_layers().items():
        for part in parts:
            key = f"{layer}/{layer}_1/{part}:0"
            ours, axes = _PARTS[part]
            wanted = state[f"{module}.{ours}"]
            array = arrays.pop(key, None)
            if array is None or array.ndim != len(axes) or array.transpose(axes).shape != wanted.shape:
                found = "missing" if array is None else f"of shape {array.shape}"
                raise DataError(
                    f"{file}: {key} is {found}; {tuple(wanted.shape)} is expected for {module}.{ours}. This is not "
                    f"the mini-XCEPTION file; get it: {weights.fetch_command(WEIGHTS)}"
                )
            wanted.copy_(torch.from_numpy(array.transpose(axes).copy()))
    if arrays:
        raise DataError(f"{file}: arrays that mini-XCEPTION does not have: {', '.join(sorted(arrays))}")
    return network


def _arrays(file: Path) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item, dtype=np.float32)

    try:
        with h5py.File(file, "r") as store:
            store["model_weights"].visititems(visit)
    except (OSError, KeyError) as error:
        raise DataError(f"{file}: no Keras model file: {error}") from error
    return found


@cache
def network() -> nn.Module:
    """The network with the registered weights, loaded once per process, its normalisation folded into convolutions."""
    folded: nn.Module = fuse(read_keras(weights.path(WEIGHTS)))
    return folded


def probabilities(chips: Pixels) -> NDArray[np.float32]:
    """Probabilities of each face's expressions (n x 7 float32), in the order of `manifests.schema.EMOTIONS`.

    `chips`: n x side x side x 3 uint8, squares of CHIP_BOXES face boxes. Averaged over LOOKS, and over picture and
    mirror image, so that both get the same answer.
    """
    faces = torch.from_numpy(np.stack([_prepare(chip, *look) for look in LOOKS for chip in chips]))
    with torch.inference_mode():
        found = network()(torch.cat([faces, faces.flip(-1)]))
    return np.asarray(found.reshape(2 * len(LOOKS), len(chips), _CLASSES).mean(dim=0).numpy(), dtype=np.float32)


def _prepare(chip: Pixels, crop: float, raised: float = 0.0) -> NDArray[np.float32]:
    """A square of the chip, `crop` face boxes wide, as the network's training saw faces: 1 x 64 x 64, grey, -1..1."""
    side = chip.shape[0]
    margin = round(side * (1 - crop / CHIP_BOXES) / 2)
    top, width = margin - round(side * raised / CHIP_BOXES), side - 2 * margin
    grey = cv2.cvtColor(chip[top : top + width, margin : margin + width], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return (small[None].astype(np.float32) / 255.0 - 0.5) * 2.0
