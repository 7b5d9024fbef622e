"""What to lower where memory runs out: it depends on what was being done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from manifests.errors import DataError
from models.state import LAST
from models.system import Phase

TO_VALIDATE = "--validate-every 0 goes on without validation; else shorter crops, in a new --out"
TO_SAVE = "free some main memory: a checkpoint goes through it, tensor by tensor"


@contextmanager
def enough(doing: str, advice: str, out: Path) -> Iterator[None]:
    """Turn running out of memory into a DataError: what was done, what to change, what is left of the run in `out`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _ran_out(error):
            raise
        left = "the last checkpoint is whole" if (out / LAST).exists() else "there is no checkpoint yet"
        raise DataError(f"out of memory {doing}: {advice}; {left}") from error


def _ran_out(error: Exception) -> bool:
    """Whether it says so; on a CPU, and in the libraries below, torch has no exception of its own for it."""
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in told for words in ("out of memory", "defaultcpuallocator", "alloc_failed")
    )


def to_prepare(kept_bytes: int) -> str:
    """The advice before the first iteration."""
    return f"lower --kept-gb (now {kept_bytes / 2**30:g}), or in a new --out the widths and the embedding (--set)"


def to_train(phase: Phase) -> str:
    """The advice for an iteration of a phase."""
    shortest, longest = (max(frames // 2, 1) for frames in phase.frames)
    voices = f"windows={max(phase.windows // 2, 1)}" if phase.kind == "windows" else f"frames=[{shortest},{longest}]"
    heard = "" if phase.kind == "faces" else f" or how much is heard of each voice (--set {voices})"
    return (
        f"lower the batch (--set batch={max(phase.batch // 2, 1)}){heard} in a new --out, or in this one what is kept "
        "of the real faces' states (--kept-gb)"
    )
