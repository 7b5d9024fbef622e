"""How far the face features of voices are from those of faces: terms of Speech2Face and AR-SPM.

Each is of every sample by itself, summed over its numbers, and a mean over the batch.
"""

import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 2.0  # of the distillation


def absolute(said: Tensor, shown: Tensor) -> Tensor:
    """The L1 distance."""
    return (said - shown).abs().sum(dim=1).mean()


def directional(said: Tensor, shown: Tensor) -> Tensor:
    """The squared distance of unit vectors. A public port divides by the norm of the whole batch instead."""
    return (F.normalize(said) - F.normalize(shown)).square().sum(dim=1).mean()


def turned(said: Tensor, shown: Tensor) -> Tensor:
    """1 - cosine."""
    return (1 - F.cosine_similarity(said, shown)).mean()


def distilled(said: Tensor, shown: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Cross-entropy of the softened classes that logits say against those that are shown (Hinton et al. 2015)."""
    wanted = (shown / temperature).softmax(dim=1)
    return -(wanted * (said / temperature).log_softmax(dim=1)).sum(dim=1).mean()
