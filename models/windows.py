"""One feature of a voice that is heard in several windows, where a paper has no fuser of its own: their mean."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.system import Batch


def heard(encode: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """What `encode` makes of waveforms, (n, samples) to (n, E), for each voice of a batch: (B, E)."""
    wave = batch.wave
    if wave.dim() == 2:
        return encode(wave)
    each = encode(wave.flatten(0, 1)).view(*wave.shape[:2], -1)
    if batch.n_windows is None:
        return each.mean(dim=1)
    counts = torch.arange(each.shape[1], device=each.device) < batch.n_windows[:, None]
    return (each * counts[..., None]).sum(dim=1) / batch.n_windows[:, None]
