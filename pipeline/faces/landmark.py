"""Place the 68 landmarks on a face: dlib's regression trees (Kazemi and Sullivan 2014), or FAN of face-alignment.

Both look at the face at one fixed size and at its mirror image, and the two answers are averaged: so a face gets the
same landmarks whatever the picture's size, and mirrored landmarks in the mirrored picture.
"""

from functools import cache
from typing import Any, Final

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from manifests import weights
from pipeline import geometry
from pipeline.faces.detect import Detector
from pipeline.geometry import Box, Points
from pipeline.images import Pixels
from pipeline.warp import crop

WEIGHTS: Final[dict[Detector, tuple[str, ...]]] = {
    "dlib_hog": ("dlib-68",),
    "dlib_cnn": ("dlib-68",),
    "fan": ("fan-2d-4",),
}

_FACE_PX: Final = 250  # side of the face box at which dlib's trees look
_CROP: Final = 2.0  # side of the crop around it, in face boxes

_FAN_PX: Final = 256
_FAN_CROP: Final = 400.0 / 195.0  # FAN was trained on crops of 200 pixels per 195 pixels of width + height
_FAN_RAISED: Final = 0.12  # centred this share of the box's height above its centre


def place(pixels: Pixels, box: Box, detector: Detector) -> Points:
    """The 68 landmarks (pixels of the picture) of the face in `box`, by the landmarker that goes with the detector."""
    return _fan(pixels, box) if detector == "fan" else _dlib(pixels, box)


def _dlib(pixels: Pixels, box: Box) -> Points:
    side = round(_CROP * _FACE_PX)
    around = geometry.square(box, _CROP)
    face = crop(pixels, around, side)
    found = 0.5 * (_trees(face) + geometry.mirror(_trees(cv2.flip(face, 1)), side))
    return geometry.apply(geometry.invert(geometry.resizing(around, side, side)), found)


def _trees(face: Pixels) -> Points:
    start = (face.shape[0] - _FACE_PX) // 2
    box = dlib.rectangle(start, start, start + _FACE_PX - 1, start + _FACE_PX - 1)
    return np.array([(part.x, part.y) for part in _predictor()(face, box).parts()], dtype=np.float64)


def _fan(pixels: Pixels, box: Box) -> Points:
    import torch

    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3]) - _FAN_RAISED * (box[3] - box[1])
    half = 0.25 * _FAN_CROP * (box[2] - box[0] + box[3] - box[1])
    around = (x - half, y - half, x + half, y + half)
    face = crop(pixels, around, _FAN_PX)
    both = np.stack([face, face[:, ::-1]]).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        here, mirrored = _fan_network()(torch.from_numpy(both.astype(np.float32) / 255.0))[-1].numpy()
    heat = here + mirrored[list(geometry.MIRRORED), :, ::-1]
    side = heat.shape[-1]
    return geometry.apply(geometry.invert(geometry.resizing(around, side, side)), peaks(heat))


def peaks(heat: NDArray[np.float32]) -> Points:
    """Where each heat map (n x height x width) is hottest, refined a quarter pixel towards its hotter neighbours."""
    n, _, width = heat.shape
    y, x = np.divmod(heat.reshape(n, -1).argmax(axis=1), width)
    at = np.arange(n)
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    dx = np.sign(padded[at, y + 1, x + 2] - padded[at, y + 1, x])
    dy = np.sign(padded[at, y + 2, x + 1] - padded[at, y, x + 1])
    return np.stack([x + 0.25 * dx, y + 0.25 * dy], axis=1).astype(np.float64)


@cache
def _predictor() -> Any:
    return dlib.shape_predictor(str(weights.path("dlib-68")))


@cache
def _fan_network() -> Any:
    import torch
    from face_alignment.models import FAN

    network = FAN(4)
    network.load_state_dict(torch.load(weights.path("fan-2d-4"), map_location="cpu", weights_only=True))
    return network.eval()
