"""The 128 numbers that dlib's face network gives a face: two pictures of a person lie near each other."""

from functools import cache
from typing import Final

import dlib
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from manifests import weights
from pipeline import dlib_net, geometry
from pipeline.images import Pixels

WEIGHTS: Final = "dlib-face"
NUMBERS: Final = 128

_PADDING: Final = 0.25  # of the chip around the face, as the network was trained


def chip(pixels: Pixels, landmarks: ArrayLike) -> Pixels:
    """The face with these 68 landmarks (pixels), upright at 150 x 150 pixels, as dlib cuts it."""
    at = geometry.points(landmarks)
    left, top, right, bottom = (round(edge) for edge in geometry.bounds(at))
    points = dlib.points([dlib.point(round(x), round(y)) for x, y in at.tolist()])
    face = dlib.full_object_detection(dlib.rectangle(left, top, right, bottom), points)
    return np.asarray(dlib.get_face_chip(np.ascontiguousarray(pixels), face, dlib_net.SIDE, _PADDING))


def descriptor(face: Pixels) -> NDArray[np.float32]:
    """The embedding of a chip: 128 numbers, no unit length."""
    batch = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        found: NDArray[np.float32] = _network()(batch)[0].numpy()
    return found


@cache
def _network() -> dlib_net.DlibResNet:
    return dlib_net.read(weights.path(WEIGHTS))
