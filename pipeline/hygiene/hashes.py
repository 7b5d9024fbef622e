"""Two 64-bit fingerprints of a picture that survive resizing and repacking, but not another picture."""

import cv2
import numpy as np

from pipeline.images import Pixels

BITS = 64
_COSINE_PX = 32  # side of what the cosine transform sees
_LOW = 8  # lowest frequencies, each way


def perceptual(pixels: Pixels) -> int:
    """PHash (Zauner 2010): which of the 8 x 8 lowest cosine frequencies lie above their median."""
    small = _grey(pixels, _COSINE_PX, _COSINE_PX).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].ravel()
    return _packed(low > np.median(low[1:]))  # the first is the mean brightness


def differences(pixels: Pixels) -> int:
    """dHash: which of 8 x 8 cells are brighter than their left neighbour."""
    small = _grey(pixels, _LOW + 1, _LOW)
    return _packed((small[:, 1:] > small[:, :-1]).ravel())


def _grey(pixels: Pixels, width: int, height: int) -> Pixels:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _packed(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
