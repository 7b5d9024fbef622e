"""Half-rimmed glasses: two upper rims, a bridge and the beginning of the temples, drawn over a finished figure.

Whole rims double the outline of the eyes, and expression networks read them as wide-open eyes: as fear.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.head import Anatomy

Project = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
_SHIFT = 4  # OpenCV draws at 1/16 pixel


def wear_glasses(
    picture: NDArray[np.float32], coverage: NDArray[np.float32], trait: float, a: Anatomy, project: Project
) -> NDArray[np.float32]:
    """Return the premultiplied linear picture with glasses whose frame depends on the trait."""
    drawing = np.zeros(coverage.shape, np.uint8)
    unit = float(np.hypot(*np.diff(project(np.array([[0, 1], [0, 0], [80, 80]], np.float32)), axis=1)[:, 0]))
    heavy = trait > 1.7
    width = max(1, round((2.0 if heavy else 1.1) * unit))
    half_w, half_h = 25.0, 19.0
    angle = np.linspace(-1.06 * np.pi, 0.06 * np.pi, 33)  # the upper half and a little more
    squareness = 0.62 if heavy else 0.85
    ring_x = half_w * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** squareness
    ring_y = half_h * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** squareness + 3.0
    curves = []
    for sign in (-1.0, 1.0):
        x = sign * (a.eye_x + 1.5) + ring_x
        curves.append(np.stack([x, ring_y, 98.0 - 0.006 * x**2]))
        edge = sign * (a.eye_x + 1.5 + half_w)
        end = sign * 73.0 * a.widen
        curves.append(np.array([[edge, end, end], [-3.0, -4.0, -3.0], [94.0 - 0.006 * edge**2, 60.0, 25.0]]))
    inner = a.eye_x + 1.5 - half_w
    curves.append(np.array([[-inner, 0.0, inner], [-1.0, -4.0, -1.0], [98.0, 101.0, 98.0]]))
    for curve in curves:
        px, py = project(curve.astype(np.float32))
        corners = np.rint(np.stack([px, py], axis=-1) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(drawing, [corners[:, None, :]], False, 255, width, cv2.LINE_AA, _SHIFT)
    alpha = (drawing.astype(np.float32) / 255.0 * 0.92 * coverage).astype(np.float32)
    frame = np.array([0.012, 0.010, 0.010] if heavy else [0.10, 0.085, 0.07], np.float32)
    worn: NDArray[np.float32] = picture * (1.0 - alpha) + frame[:, None, None] * alpha
    return worn
