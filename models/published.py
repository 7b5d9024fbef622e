"""Networks that others published: their weight files read without executing anything, their batch norms folded."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from manifests.errors import DataError

_TOLD = 300  # characters of an error of torch


def fill(network: nn.Module, path: Path) -> None:
    """Load a state dict that torch saved, tensors only. Counters of batch norms may be absent: old files lack them.

    Raises DataError for a file that holds anything but exactly this network's tensors.
    """
    try:
        tensors: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its reader met in a hostile file
        raise DataError(f"{path} is no file of tensors: {_told(error)}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise DataError(f"{path} holds something else than tensors by name: expected a state dict")
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(counters | dict(tensors))
    except RuntimeError as error:
        raise DataError(f"{path} does not fit {type(network).__name__}: {_told(error)}") from error


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_TOLD]


def fold(network: nn.Module) -> None:
    """Fold every batch norm that was registered right after a convolution or a linear layer into that layer.

    The network must apply the two in that order. It computes the same with half the passes over memory; it is in eval
    mode afterwards, and can no longer be trained.
    """
    network.eval()
    for parent in list(network.modules()):
        for (first, layer), (second, norm) in pairwise(list(parent.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(layer, norm))
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(parent, first, fuse_linear_bn_eval(layer, norm))
            else:
                continue
            setattr(parent, second, nn.Identity())
