"""Place the 68 landmarks on a face: dlib's regression trees (Kazemi and Sullivan 2014), or FAN of face-alignment.

Both look at the face at one fixed size and at its mirror image, and the two answers are averaged: so a face gets the
same landmarks whatever the picture's size, and mirrored landmarks in the mirrored picture.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import dlib
import numpy as np
from numpy.typing import NDArray

from manifests import weights
from pipeline import geometry
from pipeline.faces.detect import Detector
from pipeline.geometry import Box, Matrix, Points
from pipeline.images import Pixels
from pipeline.warp import warp

WEIGHTS: Final[dict[Detector, tuple[str, ...]]] = {
    "dlib_hog": ("dlib-68",),
    "dlib_cnn": ("dlib-68",),
    "fan": ("fan-2d-4",),
}

Pair = NDArray[np.float64]  # 2 x 68 x 2

_BROWS_TO_LIPS: Final = slice(17, 68)
_FACE_PX: Final = 200  # side of the face box at which dlib's trees look
_TREES_PX: Final = 400  # side of the crop around it

# dlib's trees hardly know tilted heads: beyond this they look again at the face turned upright, which on photographs
# turned by 30 degrees takes nine tenths off the error of the eyes.
_TILTED_DEG: Final = 10.0
# dlib's box by the landmarks from brows to lips, in their root mean square distance from their mean; medians of 158
# upright faces.
_BOX_SIZE: Final = 3.48
_BOX_LOWER: Final = 0.03

_FAN_PX: Final = 256
_FAN_CROP: Final = 400.0 / 195.0  # FAN was trained on crops of 200 pixels per 195 pixels of width + height
_FAN_RAISED: Final = 0.12  # centred this share of the box's height above its centre


def place(pixels: Pixels, box: Box, detector: Detector) -> Points:
    """The 68 landmarks (pixels of the picture) of the face in `box`, by the landmarker that goes with the detector."""
    return np.asarray(place_twice(pixels, box, detector).mean(axis=0), dtype=np.float64)


def place_twice(pixels: Pixels, box: Box, detector: Detector) -> Pair:
    """Both answers (2 x 68 x 2, pixels of the picture): on the face, and on its mirror image, mirrored back."""
    if detector == "fan":
        return _look_twice(pixels, geometry.resizing(_fan_square(box), _FAN_PX, _FAN_PX), _FAN_PX, _fan)
    there = geometry.resizing(_dlib_square(box), _TREES_PX, _TREES_PX)
    twice = _look_twice(pixels, there, _TREES_PX, _trees)
    left, right = geometry.eye_centres(twice.mean(axis=0))
    if abs(math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))) <= _TILTED_DEG:
        return twice
    return _look_twice(pixels, _upright(twice.mean(axis=0)), _TREES_PX, _trees)


def _look_twice(pixels: Pixels, there: Matrix, side: int, look: Callable[[Pixels], Points]) -> Pair:
    """Both answers on the part of the picture that `there` brings to a square of `side` pixels."""
    face = warp(pixels, there, side, side)
    here, mirrored = look(face), look(np.ascontiguousarray(face[:, ::-1]))
    back = geometry.invert(there)
    return np.stack([geometry.apply(back, here), geometry.apply(back, geometry.mirror(mirrored, side))])


def _upright(at: Points) -> Matrix:
    """Brings the eyes level and the face to where dlib's box would have it, judged by its landmarks."""
    left, right = geometry.eye_centres(at)
    across = (right - left) / max(geometry.distance(left, right), 1e-9)
    inner = at[_BROWS_TO_LIPS]
    middle = inner.mean(axis=0)
    size = math.sqrt(float(((inner - middle) ** 2).sum(axis=1).mean()))
    centre = middle + _BOX_LOWER * size * np.array([-across[1], across[0]])
    turn = _FACE_PX / (_BOX_SIZE * size) * np.array([[across[0], across[1]], [-across[1], across[0]]])
    return np.column_stack([turn, np.full(2, 0.5 * (_TREES_PX - 1)) - turn @ centre])


def spread(twice: Pair) -> float:
    """Mean distance between both answers, brows to lips, as a share of the pupil distance.

    About 0.01 where the landmarks fit. Turned and covered faces on which they slip to somewhere plausible, and so to a
    frontal pose, give 0.05 and more.
    """
    eyes = geometry.eye_centres(twice.mean(axis=0))
    gap = np.linalg.norm(twice[0] - twice[1], axis=1)[_BROWS_TO_LIPS]
    return float(gap.mean()) / max(geometry.distance(eyes[0], eyes[1]), 1e-9)


def _dlib_square(box: Box) -> Box:
    return geometry.square(box, _TREES_PX / _FACE_PX)


def _trees(face: Pixels) -> Points:
    start = (_TREES_PX - _FACE_PX) // 2
    box = dlib.rectangle(start, start, start + _FACE_PX - 1, start + _FACE_PX - 1)
    return np.array([(part.x, part.y) for part in _predictor()(face, box).parts()], dtype=np.float64)


def _fan_square(box: Box) -> Box:
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3]) - _FAN_RAISED * (box[3] - box[1])
    half = 0.25 * _FAN_CROP * (box[2] - box[0] + box[3] - box[1])
    return (x - half, y - half, x + half, y + half)


def _fan(face: Pixels) -> Points:
    import torch

    batch = torch.from_numpy(face.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255.0)
    with torch.inference_mode():
        heat = _fan_network()(batch)[-1][0].numpy()
    height, width = heat.shape[1:]
    return geometry.apply(geometry.resizing((0, 0, width, height), _FAN_PX, _FAN_PX), peaks(heat))


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
