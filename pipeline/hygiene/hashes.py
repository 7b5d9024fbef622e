"""Fingerprints of a picture and of a face that survive resizing and repacking, but not another photograph."""

from typing import Final

import cv2
import numpy as np

from pipeline.images import Pixels

BITS: Final = 64
FACE_BITS: Final = 256

_COSINE_PX: Final = 32  # side of what the cosine transform sees
_LOW: Final = 8  # lowest frequencies, each way
_FACE_COSINE_PX: Final = 48
_FACE_LOW: Final = 16
_FACE_MARGIN: Final = 0.1  # of a chip's side: what lies there may be beyond the edge of a cropped copy


def perceptual(pixels: Pixels) -> bytes:
    """PHash (Zauner 2010): which of the 8 x 8 lowest cosine frequencies lie above their median; 8 bytes."""
    return _frequencies(pixels, _COSINE_PX, _LOW)


def differences(pixels: Pixels) -> bytes:
    """dHash: which of 8 x 8 cells are brighter than their left neighbour; 8 bytes."""
    small = _grey(pixels, _LOW + 1, _LOW)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def face(chip: Pixels) -> bytes:
    """PHash of an upright face alone, 16 x 16 frequencies, so that a cropped copy has it too; 32 bytes."""
    edge = round(_FACE_MARGIN * len(chip))
    return _frequencies(np.ascontiguousarray(chip[edge:-edge, edge:-edge]), _FACE_COSINE_PX, _FACE_LOW)


def _frequencies(pixels: Pixels, side_px: int, low: int) -> bytes:
    small = _grey(pixels, side_px, side_px).astype(np.float32)
    lowest = cv2.dct(small)[:low, :low].ravel()
    return np.packbits(lowest > np.median(lowest[1:])).tobytes()  # the first is the mean brightness


def _grey(pixels: Pixels, width: int, height: int) -> Pixels:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
