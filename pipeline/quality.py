"""How good a portrait is: colour, evenness of light, sharpness, and one number to rank by. Pure functions.

Every measure is taken on the face at a fixed size, so that a picture and its resized copies measure alike.
Luminance is the picture's own (gamma-coded) grey value, which is near to how bright things look.
"""

from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline import geometry, warp
from pipeline.images import Pixels

Plane = NDArray[np.float64]

_COLOUR_PX: Final = 24  # side that colour is measured at: coarse, so that JPEG's chroma noise averages out
_FACE_PX: Final = 128  # side of the upright face that light is measured on
_EYES: Final = np.array([[0.3, 0.35], [0.7, 0.35]]) * _FACE_PX - 0.5  # where its pupils lie: the midline at an edge
_PUPILS_PX: Final = float(_EYES[1, 0] - _EYES[0, 0])
_SHARP_PX: Final = 160  # side of the face box that sharpness is measured on


def colourfulness(pixels: Pixels) -> float:
    """Colour that brightness does not explain, in grey levels: 0 for grey, sepia and any other single tint.

    The spread term of Hasler and Suesstrunk (2003), sqrt(var(R - G) + var((R + G) / 2 - B)), after taking out of both
    opponent channels their regression on luminance: in a toned picture the tint is a function of it. Of the fourth
    degree, since tones clip where they are bright.
    """
    small = warp.resized(pixels, _COLOUR_PX / max(pixels.shape[:2]))
    red, green, blue = np.moveaxis(small.astype(np.float64), -1, 0).reshape(3, -1)
    grey = (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0
    opponent = np.stack([red - green, 0.5 * (red + green) - blue], axis=1)
    known = np.stack([grey**power for power in range(5)], axis=1)
    explained = known @ np.linalg.lstsq(known, opponent, rcond=None)[0]
    return float(np.sqrt(((opponent - explained) ** 2).mean(axis=0).sum()))


def upright_face(pixels: Pixels, landmarks: ArrayLike) -> tuple[Plane, NDArray[np.float64]]:
    """Luminance (0..255) of the face with the pupils level, at a fixed size, and the landmarks in it."""
    matrix = geometry.similarity(geometry.eye_centres(landmarks), _EYES)
    face = warp.warp(pixels, matrix, _FACE_PX, _FACE_PX)
    return cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64), geometry.apply(matrix, landmarks)


def _filled(outlines: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    mask = np.zeros((_FACE_PX, _FACE_PX), np.uint8)
    for outline in outlines:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(outline).astype(np.int32)), 1)
    return mask.astype(bool)


def _skin(at: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cheeks, nose and lower forehead: inside the landmarks, above the mouth, without eyes and brows."""
    above_mouth = np.concatenate([at[1:5], at[12:16], at[17:27], at[[33, 48, 54]]])
    features = _filled([at[36:42], at[42:48], at[17:22], at[22:27], at[48:60]])
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    outline = cv2.erode(_filled([above_mouth]).astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0)
    skin: NDArray[np.bool_] = outline.astype(bool) & ~cv2.dilate(features.astype(np.uint8), reach).astype(bool)
    return skin


def light(pixels: Pixels, landmarks: ArrayLike) -> tuple[float, float]:
    """Light imbalance and light contrast of a face, both relative to its luminance; 0 is even light.

    Both compare the skin with its mirror image, so that beards, glasses and the face's own relief cancel out.
    Imbalance is the difference between the halves. Contrast is the strongest step, over a quarter of the pupil
    distance, of what low-pass light the halves do not share: the edge of a shadow that falls across the face.
    """
    face, at = upright_face(pixels, landmarks)
    skin = _skin(at)
    skin &= skin[:, ::-1]  # each point has its partner across the midline
    if not skin.any():  # a profile: nothing faces its mirror image
        return 0.0, 0.0
    level = float(np.median(face[skin])) + 1.0
    middle = _FACE_PX // 2
    left, right = face[:, :middle][skin[:, :middle]], face[:, middle:][skin[:, middle:]]
    imbalance = abs(float(np.median(left)) - float(np.median(right))) / level
    # Blurred within the skin alone: brows, eyes and hair must not leak into it.
    sigma = 0.08 * _PUPILS_PX
    weight = cv2.GaussianBlur(skin.astype(np.float64), (0, 0), sigma)
    smooth = cv2.GaussianBlur(face * skin, (0, 0), sigma) / np.maximum(weight, 1e-6)
    return imbalance, _strongest_step(0.5 * (smooth - smooth[:, ::-1]), skin) / level


def _strongest_step(plane: Plane, skin: NDArray[np.bool_]) -> float:
    """98th percentile over the skin of the change across a quarter of the pupil distance, grey levels."""
    half = round(_PUPILS_PX / 8)
    steps = []
    for axis in (0, 1):
        ahead, behind = np.roll(plane, -half, axis), np.roll(plane, half, axis)
        inside = skin & np.roll(skin, -half, axis) & np.roll(skin, half, axis)
        steps.append(np.where(inside, ahead - behind, 0.0))
    return float(np.percentile(np.hypot(*steps)[skin], 98))


def sharpness(pixels: Pixels, face_box: geometry.Box) -> float:
    """Fine detail of the face as a share of its coarse detail, 0..1; blurred and enlarged faces are near 0."""
    face = warp.crop(pixels, geometry.square(face_box), _SHARP_PX)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    coarse = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 4.0)
    return float(min(1.0, 2.0 * fine.std() / (coarse.std() + 1.0)))


def quality(scores: Mapping[str, Any]) -> float:
    """One number, 0..1, to rank a person's pictures by: the geometric mean of what makes a portrait good.

    Reads yaw_deg, pitch_deg, pupil_px, sharpness, light_imbalance, p_neutral and edge_quality; a measure that is null
    (its stage was off) counts as perfect, so that it favours nobody.
    """

    def known(name: str, perfect: float) -> float:
        value = scores.get(name)
        return perfect if value is None else float(value)

    turned_deg = float(np.hypot(known("yaw_deg", 0.0), known("pitch_deg", 0.0)))
    parts = (
        np.exp(-0.5 * (turned_deg / 8.0) ** 2),  # degrees at which a portrait starts to look turned
        min(1.0, known("pupil_px", 120.0) / 120.0),  # pupils 120 px apart fill a 512 px square
        known("sharpness", 1.0),
        np.exp(-known("light_imbalance", 0.0) / 0.3),
        known("p_neutral", 1.0),
        known("edge_quality", 1.0),
    )
    return float(np.prod([min(1.0, max(1e-6, part)) for part in parts]) ** (1.0 / len(parts)))
