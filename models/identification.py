"""A step in which an embedding network and a classifier on it learn to name whose a voice or a face is."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from models.system import Losses, Step, move


def identify(step: Step, name: str, embed: Callable[[], Tensor], identity: Tensor) -> Losses:
    """Move the phase's one optimiser by the cross-entropy of whose `embed()` (B, E) is, by network `name`_classifier.

    Returns it as `name`, and the share that was named wrongly as `error`.
    """
    (optimiser,) = step.optimisers
    with step.autocast():
        logits: Tensor = step.parallel[f"{name}_classifier"](embed())
    loss = F.cross_entropy(logits.float(), identity)
    move(step, optimiser, loss)
    right = (logits.detach().argmax(dim=1) == identity).float().mean()
    return {name: loss.detach(), "error": 1 - right}
