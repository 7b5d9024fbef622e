"""The network that tells a person from what is behind: PSPNet (Zhao et al. 2017) on a small ResNet."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from manifests.errors import DataError
from pipeline.images import Pixels

Probability = NDArray[np.float32]  # height x width, 0 background .. 1 person

_RECORD = "segmenter"  # the metadata key of the weights file
_MEAN, _SPREAD = 127.5, 64.0  # normalisation of 0..255 values, the same for each colour


@dataclass(frozen=True, slots=True)
class Architecture:
    """What must be known to build the network that a weights file fits."""

    side: int = 192  # pixels, side of the square the network sees
    stride: int = 16  # pixels of the input per cell of the last feature map: 8 or 16
    channels: int = 128  # of the pyramid's output


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A loaded network, ready to be asked."""

    net: nn.Module
    architecture: Architecture
    about: dict[str, Any]  # how it was trained, as the weights file says


def build(architecture: Architecture) -> nn.Module:
    """PSPNet on the first four stages of ResNet-18, untrained; maps (n, 3, side, side) to (n, 1, side, side) logits."""
    net = smp.PSPNet(
        "resnet18",
        encoder_weights=None,
        encoder_depth=4,
        psp_out_channels=architecture.channels,
        classes=1,
        upsampling=architecture.stride,
    )
    if architecture.stride == 8:
        net.encoder.make_dilated(output_stride=8)  # the paper's dilated last stage
    net.encoder.layer4 = nn.Identity()  # depth 4 never reaches the last stage: three quarters of all weights
    built: nn.Module = net
    return built


def normalised(pixels: Pixels) -> Tensor:
    """(height, width, 3) or (n, height, width, 3) uint8 to the float32 channels-first tensor the network expects."""
    values = (torch.from_numpy(np.ascontiguousarray(pixels)).float() - _MEAN) / _SPREAD
    return values.movedim(-1, -3)


def save(path: Path, net: nn.Module, architecture: Architecture, about: dict[str, Any]) -> None:
    """Write the weights as float16 safetensors; how they were made goes into the file's metadata."""
    tensors = {
        name: value.detach().cpu().contiguous().to(torch.float16 if value.is_floating_point() else value.dtype)
        for name, value in net.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # One key only: safetensors writes several in an order that differs from run to run.
    record = json.dumps({"architecture": asdict(architecture), "about": about}, sort_keys=True)
    save_file(tensors, path, metadata={_RECORD: record})


def load(path: Path) -> Segmenter:
    """Build the network that the file describes and fill in its weights.

    Raises DataError where the file is no segmenter of this kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            architecture = Architecture(**record["architecture"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        net = build(architecture)
        net.load_state_dict(tensors)
    except Exception as error:
        raise DataError(
            f"{path.name} holds no person segmenter ({type(error).__name__}: {error}); "
            "expected a file that `pipeline train-segmenter` wrote"
        ) from error
    return Segmenter(net.float().eval(), architecture, record["about"])


def small_probability(pixels: Pixels, segmenter: Segmenter) -> Probability:
    """How likely each pixel is part of a person, at the network's own size (side x side).

    The network was trained on squares of 1.5 to 4.5 face boxes around a face; the mean over the picture and its
    mirror makes the answer the same for both.
    """
    side = segmenter.architecture.side
    shrinks = max(pixels.shape[:2]) > side
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    with torch.inference_mode():
        logits = segmenter.net(normalised(np.stack([small, small[:, ::-1]])))[:, 0]
        both = torch.sigmoid(logits).numpy()
    mean: Probability = 0.5 * (both[0] + both[1][:, ::-1])
    return mean


def person_probability(pixels: Pixels, segmenter: Segmenter) -> Probability:
    """`small_probability` at the picture's own size."""
    height, width = pixels.shape[:2]
    small = small_probability(pixels, segmenter)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
