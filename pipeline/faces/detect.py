"""Find the faces in a picture: dlib's HOG or CNN detector, or S3FD of face-alignment.

Large pictures are searched small first. A finer search follows where nothing was found, or where a second face of
rival size could have been too small to see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from manifests import weights
from pipeline import geometry
from pipeline.faces import hog, mmod
from pipeline.geometry import Box
from pipeline.images import Pixels
from pipeline.warp import resized, shrink_to

Detector = Literal["dlib_hog", "dlib_cnn", "fan"]

WEIGHTS: Final[dict[Detector, tuple[str, ...]]] = {
    "dlib_hog": ("dlib-mmod",),  # the second look
    "dlib_cnn": ("dlib-mmod",),
    "fan": ("s3fd",),
}

RIVAL_AREA: Final = 0.45  # a face of this share of the main face's area is looked for, however small the main one
_SMALLEST_PX: Final = 72  # side of the smallest face that dlib's detectors see
_ENLARGED_PX: Final = 800  # longer side of the largest picture that is searched enlarged
_NARROWEST_PX: Final = 32  # shorter side; narrower strips hold no face, and the narrowest make the detectors raise
_SAME: Final = 0.3  # boxes that share more (intersection over union) are one face
_S3FD_PX: Final = 640  # longer side searched by S3FD, which sees faces of about 16 pixels


@dataclass(frozen=True, slots=True)
class Face:
    """A face that a detector found."""

    box: Box  # pixel edges of the full-size picture
    score: float  # the detector's own scale; larger is surer


# The faces seen where the longer side is this many pixels, but for those that are known.
Look = Callable[[int, list[Face]], list[Face]]


def find(pixels: Pixels, detector: Detector, search_px: int, second_look_px: int | None) -> list[Face]:
    """The faces of a picture (height x width x 3), the main one first: the largest, weighted by the score.

    `search_px` is the longer side of the first search. Where dlib's HOG detector finds nothing at any size, its CNN
    looks again at `second_look_px` (None: no second look): it also sees turned, bowed and half-covered faces.
    """
    if min(pixels.shape[:2]) < _NARROWEST_PX:
        return []
    longest = max(pixels.shape[:2])
    if detector == "fan":
        found = _s3fd(pixels)
    elif detector == "dlib_cnn":
        found = _search(partial(_mmod, pixels), longest, search_px)
    else:
        # Of an odd number of rows or columns the last is left out: halves are then exact, and made much faster.
        even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
        grey = np.asarray(cv2.cvtColor(even, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        found = _search(partial(_hog, grey), longest, search_px)
        if not found and second_look_px is not None:
            found = _mmod(pixels, second_look_px, [])
    return sorted(found, key=lambda face: (-geometry.area(face.box) * max(face.score, 0.0), face.box))


def rival_area(faces: list[Face]) -> float:
    """Area of the largest other face as a share of the main (first) face's; 0 where it is alone."""
    main, *others = faces
    return max((geometry.area(other.box) for other in others), default=0.0) / geometry.area(main.box)


def _search(look: Look, longest_px: int, search_px: int) -> list[Face]:
    finest_px = 2 * longest_px if longest_px <= _ENLARGED_PX else longest_px
    for seen_px in sorted({min(search_px, longest_px), longest_px, finest_px}):
        found = look(seen_px, [])
        if found:
            break
    else:
        return []
    main = max(geometry.longer_side(face.box) for face in found)
    needed_px = min(finest_px, round(longest_px * _SMALLEST_PX / (RIVAL_AREA**0.5 * main)))
    # What was found stays found: a finer search, on other pixels, may lose it.
    return found + look(needed_px, found) if needed_px > seen_px else found


def _hog(grey: NDArray[np.uint8], longest_px: int, known: list[Face]) -> list[Face]:
    small, _ = shrink_to(grey, longest_px // 2)
    return [Face(box, score) for box, score in hog.find(small, grey, [face.box for face in known])]


def _mmod(pixels: Pixels, longest_px: int, known: list[Face]) -> list[Face]:
    """Exactly this size, small pictures enlarged: the CNN sees only faces of 80 pixels and more."""
    scale = longest_px / max(pixels.shape[:2])
    found = [Face(_scaled(box, scale), score) for box, score in mmod.find(resized(pixels, scale))]
    return [face for face in found if all(geometry.overlap(face.box, old.box) <= _SAME for old in known)]


def _s3fd(pixels: Pixels) -> list[Face]:
    small, scale = shrink_to(pixels, _S3FD_PX)
    if min(small.shape[:2]) < _NARROWEST_PX:
        return []
    found = _s3fd_detector().detect_from_image(small)
    return [Face(_scaled((x0, y0, x1, y1), scale), float(score)) for x0, y0, x1, y1, score in found]


def _scaled(box: Box, scale: float) -> Box:
    left, top, right, bottom = (float(edge) / scale for edge in box)
    return (left, top, right, bottom)


@cache
def _s3fd_detector() -> Any:
    from face_alignment.detection.sfd import FaceDetector

    return FaceDetector(device="cpu", path_to_detector=str(weights.path("s3fd")))
