"""dlib's face-recognition ResNet-29 as a torch module, read from dlib's own .dat file (King 2017).

Five to twenty times faster than dlib on a CPU, and differentiable. The descriptor has 128 numbers and no unit length:
a Euclidean distance below 0.6 means the same person.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import DataError

SIDE = 150  # pixels of a chip
_MEAN = (122.782, 117.001, 104.298)  # RGB, of 0..255
_SCALE = 256.0
# Channels of each residual stage and its plain blocks; each but the first begins with a block that halves the side.
_STAGES = ((32, 3), (64, 3), (128, 2), (256, 2), (256, 0))
_MOST_BETWEEN = 400  # bytes of other layers between two layers with weights
_VERSION = 2  # of dlib's tensors


class DlibResNet(nn.Module):
    """The network; 5,607,488 parameters.

    dlib counts 5,614,592: here its scale-and-shift layers are folded into the convolutions before them.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 7, stride=2)  # (B, 32, 72, 72)
        blocks = [_Block(32, 32, halves=False) for _ in range(_STAGES[0][1])]
        ends = [len(blocks)]
        for (before, _), (channels, plain) in pairwise(_STAGES):
            blocks += [_Block(before, channels, halves=True)]
            blocks += [_Block(channels, channels, halves=False) for _ in range(plain)]
            ends.append(len(blocks))
        self.blocks = nn.ModuleList(blocks)
        self.ends = tuple(ends)
        self.last = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1) / 255, persistent=False)

    def forward(self, chip: Tensor) -> Tensor:
        """Descriptors (B, 128) of chips (B, 3, 150, 150), RGB in 0..1."""
        return self.states(chip)[-1]

    def states(self, chip: Tensor) -> list[Tensor]:
        """The ends of the stages of 32, 64 and 128 channels, and the descriptor: shallow to deep."""
        if chip.shape[-3:] != (3, SIDE, SIDE):
            raise ValueError(f"chips are {tuple(chip.shape)}: expected (B, 3, {SIDE}, {SIDE})")
        x = (chip - self.mean) * (255 / _SCALE)
        x = F.max_pool2d(F.relu(self.first(x)), 3, stride=2)  # (B, 32, 35, 35)
        states = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)  # 35 -> 17 -> 8 -> 4 -> 2
            if number in self.ends[:3]:
                states.append(x)
        return [*states, self.last(x.mean(dim=(2, 3)))]


class _Block(nn.Module):
    """Two convolutions and a skip. A halving block pads nothing before its first; its skip is an average pool."""

    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(F.relu(self.one(x)))
        if not self.halves:
            return F.relu(x + y)
        skip = F.avg_pool2d(x, 2)
        # dlib adds tensors of different sizes as if the smaller one went on with zeros: channels, rows and columns.
        side = max(skip.shape[-1], y.shape[-1])
        return F.relu(_grown(skip, y.shape[1], side) + _grown(y, y.shape[1], side))


def _grown(x: Tensor, channels: int, side: int) -> Tensor:
    spare = side - x.shape[-1]
    return F.pad(x, (0, spare, 0, spare, 0, channels - x.shape[1]))


def read(path: Path) -> DlibResNet:
    """The network with the weights of `dlib_face_recognition_resnet_model_v1.dat`.

    Raises DataError for a file that holds anything but exactly this network's layers.
    """
    network = DlibResNet().requires_grad_(False).eval()
    tensors = _tensors(path)
    for convolution in (m for m in network.modules() if isinstance(m, nn.Conv2d)):
        weights, affine = _next(tensors, "con_4", path), _next(tensors, "affine_", path)
        out, wanted = convolution.out_channels, convolution.weight.numel()
        if weights.size != wanted + out or affine.size != 2 * out:
            raise DataError(
                f"{path}: a layer of {weights.size} and {affine.size} numbers, expected {wanted + out}, {2 * out}"
            )
        scale, shift = affine[:out], affine[out:]
        kernel = weights[:wanted].reshape(convolution.weight.shape) * scale[:, None, None, None]
        convolution.weight.copy_(torch.from_numpy(kernel))
        assert convolution.bias is not None
        convolution.bias.copy_(torch.from_numpy(weights[wanted:] * scale + shift))
    last = _next(tensors, "fc_2", path)
    if last.size != 256 * 128:
        raise DataError(f"{path}: a last layer of {last.size} numbers, expected {256 * 128}")
    network.last.weight.copy_(torch.from_numpy(last.reshape(256, 128).T.copy()))
    extra = next(tensors, None)
    if extra is not None:
        raise DataError(f"{path} goes on with a layer {extra[0]}: expected the end of the network")
    return network


def _next(tensors: Iterator[tuple[str, np.ndarray]], kind: str, path: Path) -> np.ndarray:
    found, numbers = next(tensors, ("the end", np.empty(0)))
    if found != kind:
        raise DataError(f"{path}: found {found}, expected a layer {kind}: it is not dlib's face-recognition network")
    return numbers


def _tensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The layers with weights, in the order of the file, which is the order of computation."""
    data, at = path.read_bytes(), 0
    while True:
        tags = {kind: data.find(_tag(kind), at, at + _MOST_BETWEEN) for kind in ("con_4", "affine_", "fc_2")}
        there = {place: kind for kind, place in tags.items() if place >= 0}
        if not there:
            return
        kind = there[min(there)]
        at = min(there) + len(_tag(kind))
        for _ in range(2 if kind == "fc_2" else 0):  # its numbers of outputs and inputs
            _, at = _integer(data, at)
        version, at = _integer(data, at)
        count = 1
        for _ in range(4):
            size, at = _integer(data, at)
            count *= size
        if version != _VERSION or not 0 < count * 4 <= len(data) - at:
            raise DataError(
                f"{path}: tensor of version {version} with {count} numbers at byte {at}: the file is damaged"
            )
        yield kind, np.frombuffer(data, "<f4", count, at)
        at += 4 * count


def _tag(kind: str) -> bytes:
    """A string as dlib writes it: the length as an integer of one byte, then the characters."""
    return struct.pack("BB", 1, len(kind)) + kind.encode()


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """An integer of variable length: the low 4 bits of the first byte count the bytes, its high bit is the sign."""
    if at >= len(data):
        return 0, at
    head, size = data[at], data[at] & 0x0F
    value = int.from_bytes(data[at + 1 : at + 1 + size], "little")
    return (-value if head & 0x80 else value), at + 1 + size
