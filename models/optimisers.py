"""The optimisers of a phase. All are fused: such a step can be left out by a number that stays on the device."""

from collections.abc import Sequence

import torch
from torch import nn

from models.system import Optimiser


def new(chosen: Optimiser, moving: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """An optimiser over parameters that has not moved yet."""
    if chosen.kind == "adam":
        return torch.optim.Adam(moving, chosen.rate, chosen.betas, chosen.epsilon, chosen.weight_decay, fused=True)
    sgd = torch.optim.SGD(moving, chosen.rate, chosen.momentum, weight_decay=chosen.weight_decay, fused=True)
    if chosen.momentum:
        # The first step would make them without filling them, and then may be left out. From zero it is the same step.
        sgd.state.update({weight: {"momentum_buffer": torch.zeros_like(weight)} for weight in moving})
    return sgd
