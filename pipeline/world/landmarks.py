"""The 68 landmarks (iBUG 300-W) of an invented head: where its features really are, no detector asked.

Left is left as seen in the picture, where x is negative.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.world.features import brow_ends, brow_line, lid_lines, lip_lines
from pipeline.world.head import Anatomy, Points, head_surface

_TIP_MM = 9.0  # tip of the nose above its underside
# Jaw from beside the eye to the chin: height as a share of the chin's, and azimuth on the head.
_JAW_Y = np.array([-0.01, 0.16, 0.33, 0.50, 0.66, 0.80, 0.90, 0.97, 1.00])
_JAW_DEG = np.array([86.0, 86.0, 86.0, 86.0, 84.0, 78.0, 68.0, 50.0, 0.0])
_LID = 0.35  # share of the eye's half width: its two points on each lid, either side of the pupil
_FRONT = np.radians(np.linspace(-90.0, 90.0, 241)).astype(np.float32)


def landmarks(a: Anatomy) -> Points:
    """Points (3, 68) on the skin, mm in the frame of the head."""
    surface = head_surface(a, _FRONT)
    flat = np.concatenate([_brows(a), _nose(a), _eyes(a), _mouth(a)])
    return np.concatenate([_jaw(a, surface), _on(surface, flat)], axis=1)


def _on(surface: Points, flat: NDArray[np.float64]) -> Points:
    """Points (n, 2) seen from the front, on the surface: (3, n)."""
    grid = surface.reshape(3, -1)
    away = (grid[0][None] - flat[:, :1]) ** 2 + (grid[1][None] - flat[:, 1:]) ** 2
    return np.stack([flat[:, 0], flat[:, 1], grid[2][away.argmin(axis=1)]]).astype(np.float32)


def _jaw(a: Anatomy, surface: Points) -> Points:
    rows = [int(np.abs(surface[1, :, 0] - y).argmin()) for y in _JAW_Y * a.chin_y]
    columns = [int(np.abs(_FRONT - azimuth).argmin()) for azimuth in np.radians(_JAW_DEG)]
    right = surface[:, rows, columns]
    left = right[:, :-1] * np.array([[-1.0], [1.0], [1.0]], np.float32)
    return np.concatenate([left, right[:, ::-1]], axis=1)


def _mirrored(right: NDArray[np.float64], order: list[int]) -> NDArray[np.float64]:
    """The left half of points (n, 2) of the right half, in another order."""
    return right[order] * [-1.0, 1.0]


def _brows(a: Anatomy) -> NDArray[np.float64]:
    inner, outer = brow_ends(a)
    along = np.linspace(0.0, 1.0, 5)
    thick = (
        0.5 * a.brow_thick * np.array([0.3, 0.7, 0.9, 0.7, -0.1])
    )  # the points follow the upper edge, if not at its ends
    right = np.column_stack([inner + along * (outer - inner), brow_line(a, along) - thick])
    return np.concatenate([_mirrored(right, [4, 3, 2, 1, 0]), right])


def _nose(a: Anatomy) -> NDArray[np.float64]:
    bridge = np.column_stack([np.zeros(4), np.linspace(-2.0, a.nose_y - _TIP_MM, 4)])
    across = a.nose_half_width * np.array([-0.62, -0.32, 0.0, 0.32, 0.62])
    below = a.nose_y + np.array([0.0, 2.0, 3.0, 2.0, 0.0])
    return np.concatenate([bridge, np.column_stack([across, below])])


def _eyes(a: Anatomy) -> NDArray[np.float64]:
    outward = a.eye_half_width * np.array([-1.0, -_LID, _LID, 1.0, _LID, -_LID])  # from the inner corner, over the top
    upper, lower = lid_lines(a, outward)
    y = np.where(np.arange(6) < 4, upper, lower) - a.eye_slant * outward / a.eye_half_width
    right = np.column_stack([a.eye_x + outward, y])
    return np.concatenate([_mirrored(right, [3, 2, 1, 0, 5, 4]), right])


def _mouth(a: Anatomy) -> NDArray[np.float64]:
    outer, inner = (a.mouth_half_width * np.array(shares) for shares in ((0.0, 0.25, 0.6, 1.0), (0.0, 0.35, 0.88)))
    line, _, _, top, bottom = lip_lines(a, outer)
    rim = line[3]
    above = [(-outer[3], rim), (-outer[2], top[2]), (-outer[1], top[1]), (0.0, top[0])]
    above += [(outer[1], top[1]), (outer[2], top[2]), (outer[3], rim)]
    below = [(outer[2], bottom[2]), (outer[1], bottom[1]), (0.0, bottom[0])]
    below += [(-outer[1], bottom[1]), (-outer[2], bottom[2])]
    seam, roof, floor, _, _ = lip_lines(a, inner)
    within = [(-inner[2], seam[2]), (-inner[1], roof[1]), (0.0, roof[0]), (inner[1], roof[1]), (inner[2], seam[2])]
    within += [(inner[1], floor[1]), (0.0, floor[0]), (-inner[1], floor[1])]
    return np.array(above + below + within)
