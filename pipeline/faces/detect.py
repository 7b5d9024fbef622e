"""Find the faces in a picture: dlib's HOG or CNN detector, or S3FD of face-alignment.

Large pictures are searched small first. A finer search follows where nothing was found, or where a second face of
rival size could have been too small to see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import cv2
import dlib
import numpy as np

from manifests import weights
from pipeline import geometry
from pipeline.geometry import Box
from pipeline.images import Pixels
from pipeline.warp import resized, shrink_to

Detector = Literal["dlib_hog", "dlib_cnn", "fan"]

WEIGHTS: Final[dict[Detector, tuple[str, ...]]] = {
    "dlib_hog": ("dlib-mmod",),  # the second look
    "dlib_cnn": ("dlib-mmod",),
    "fan": ("s3fd",),
}

RIVAL_AREA: Final = 0.5  # a face of this share of the main face's area is looked for, however small the main one
_SMALLEST_PX: Final = 72  # side of the smallest face that dlib's detectors see
_ENLARGED_PX: Final = 800  # longer side of the largest picture that is searched enlarged
_NARROWEST_PX: Final = 32  # narrower strips hold no face for a CNN; the narrowest make it raise
_S3FD_PX: Final = 640  # longer side searched by S3FD, which sees faces of about 16 pixels


@dataclass(frozen=True, slots=True)
class Face:
    """A face that a detector found."""

    box: Box  # pixel edges of the full-size picture
    score: float  # the detector's own scale; larger is surer


Search = Callable[[Pixels], list[Face]]


def find(pixels: Pixels, detector: Detector, search_px: int, second_look_px: int | None) -> list[Face]:
    """The faces of a picture (height x width x 3), the main one first: the largest, weighted by the score.

    `search_px` is the longer side of the first search. Where dlib's HOG detector finds nothing at any size, its CNN
    looks again at `second_look_px` (None: no second look): it also sees turned, bowed and half-covered faces.
    """
    if detector == "fan":
        found = _at(pixels, _S3FD_PX, _s3fd)
    elif detector == "dlib_cnn":
        found = _search(pixels, search_px, _mmod)
    else:
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        found = _search(grey, search_px, _hog)
        if not found and second_look_px is not None:
            found = _mmod_at(pixels, second_look_px)
    return sorted(found, key=lambda face: (-geometry.area(face.box) * max(face.score, 0.0), face.box))


def rival_area(faces: list[Face]) -> float:
    """Area of the largest other face as a share of the main (first) face's; 0 where it is alone."""
    main, *others = faces
    return max((geometry.area(other.box) for other in others), default=0.0) / geometry.area(main.box)


def _search(pixels: Pixels, search_px: int, look: Search) -> list[Face]:
    longest = max(pixels.shape[:2])
    found = _at(pixels, search_px, look)
    if not found and longest > search_px:
        found = _at(pixels, longest, look)
    if not found and longest <= _ENLARGED_PX:
        return _scaled(look(resized(pixels, 2.0)), 2.0)
    if found:
        main = max(geometry.longer_side(face.box) for face in found)
        needed_px = round(longest * _SMALLEST_PX / (RIVAL_AREA**0.5 * main))
        if search_px < min(needed_px, longest):
            # Keep what was found where the finer search, on other pixels, loses the face.
            found = _at(pixels, min(needed_px, longest), look) or found
    return found


def _at(pixels: Pixels, longest_px: int, look: Search) -> list[Face]:
    small, scale = shrink_to(pixels, longest_px)
    return _scaled(look(small), scale)


def _mmod_at(pixels: Pixels, longest_px: int) -> list[Face]:
    """Exactly this size, small pictures enlarged: the CNN sees only faces of 80 pixels and more."""
    scale = longest_px / max(pixels.shape[:2])
    return _scaled(_mmod(resized(pixels, scale)), scale)


def _scaled(faces: list[Face], scale: float) -> list[Face]:
    if scale == 1.0:
        return faces
    return [Face(tuple(edge / scale for edge in face.box), face.score) for face in faces]  # type: ignore[arg-type]


def _edges(rectangle: Any) -> Box:
    # dlib's right and bottom are the last pixels inside.
    return (rectangle.left(), rectangle.top(), rectangle.right() + 1.0, rectangle.bottom() + 1.0)


def _hog(pixels: Pixels) -> list[Face]:
    rectangles, scores, _ = _hog_detector().run(pixels, 0, 0.0)
    return [Face(_edges(r), float(score)) for r, score in zip(rectangles, scores, strict=True)]


def _mmod(pixels: Pixels) -> list[Face]:
    if min(pixels.shape[:2]) < _NARROWEST_PX:
        return []
    return [Face(_edges(found.rect), float(found.confidence)) for found in _mmod_detector()(pixels, 0)]


def _s3fd(pixels: Pixels) -> list[Face]:
    if min(pixels.shape[:2]) < _NARROWEST_PX:
        return []
    found = _s3fd_detector().detect_from_image(pixels)
    return [Face((float(x0), float(y0), float(x1), float(y1)), float(score)) for x0, y0, x1, y1, score in found]


@cache
def _hog_detector() -> Any:
    return dlib.get_frontal_face_detector()


@cache
def _mmod_detector() -> Any:
    return dlib.cnn_face_detection_model_v1(str(weights.path("dlib-mmod")))


@cache
def _s3fd_detector() -> Any:
    from face_alignment.detection.sfd import FaceDetector

    return FaceDetector(device="cpu", path_to_detector=str(weights.path("s3fd")))
