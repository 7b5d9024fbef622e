"""What a second visit found: the same bytes, the same pixels, a similar picture, another one, or nothing any more."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from PIL import Image

from pipeline.crawl.outcome import Outcome, outcome_of
from pipeline.crawl.record import Record
from pipeline.images import Pixels, Unreadable, decode

_SIDE = 32  # pixels of the grey thumbnails that are compared
_SIMILAR = 8.0  # grey levels between them on average: recompressed, resized or slightly retouched


class Drift(StrEnum):
    """How an address has changed since it was crawled."""

    SAME_BYTES = "same bytes"
    SAME_PIXELS = "same pixels"
    SIMILAR = "similar"
    ANOTHER = "another picture"
    GONE = "gone"
    WITHDRAWN = "withdrawn"  # robots.txt, an opt-out header or the list of removals forbids it now
    NOT_REACHED = "not reached"  # the old bytes stay


def drift_of(new: Record | None, old_sha256: str) -> Drift | None:
    """The class of an address by its record alone; None where the pictures must be compared."""
    if new is None:
        return Drift.NOT_REACHED
    if new.facts is not None:
        return Drift.SAME_BYTES if new.facts.sha256 == old_sha256 else None
    withdrawn = (Outcome.BLOCKED_ROBOTS, Outcome.OPTED_OUT, Outcome.REMOVED)
    return Drift.WITHDRAWN if outcome_of(new.drop) in withdrawn else Drift.GONE


def compare(old: bytes, new: bytes, max_pixels: int) -> Drift:
    """How two pictures of different bytes differ."""
    try:
        before, after = decode(old, max_pixels), decode(new, max_pixels)
    except Unreadable:
        return Drift.ANOTHER
    if before.shape == after.shape and np.array_equal(before, after):
        return Drift.SAME_PIXELS
    apart = np.abs(_thumbnail(before) - _thumbnail(after)).mean()
    return Drift.SIMILAR if apart <= _SIMILAR else Drift.ANOTHER


def _thumbnail(pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    grey = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32)


def counted(classes: Sequence[Drift]) -> dict[str, int]:
    """How many addresses are in each class, in the order of the classes."""
    return {kind.value: classes.count(kind) for kind in Drift}
