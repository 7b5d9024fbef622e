"""Cut a piece out of a picture through a similarity transform, in one resampling, without aliasing."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import geometry
from pipeline.geometry import Box, Matrix
from pipeline.images import Pixels

_MARGIN = 4  # source pixels kept around the piece, so that the interpolation never meets an inner border


def warp(pixels: Pixels, matrix: Matrix, width: int, height: int, fill: int | None = None) -> Pixels:
    """The picture after `matrix` (original pixels to new pixels), width x height.

    What lies outside the original becomes `fill` (a grey level), or repeats the nearest edge pixel where `fill` is
    None. When shrinking, source pixels are averaged by area.
    """
    corners = [[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]]
    left, top, right, bottom = geometry.bounds(geometry.apply(geometry.invert(matrix), corners))
    x0, x1 = (int(x) for x in np.clip([left - _MARGIN, right + _MARGIN + 1], 0, pixels.shape[1]))
    y0, y1 = (int(y) for y in np.clip([top - _MARGIN, bottom + _MARGIN + 1], 0, pixels.shape[0]))
    if x0 >= x1 or y0 >= y1:  # the piece lies wholly outside: nothing but fill or the nearest corner
        x0, y0 = min(x0, pixels.shape[1] - 1), min(y0, pixels.shape[0] - 1)
        x1, y1 = x0 + 1, y0 + 1
    factor = max(1, int(1.0 / geometry.scale_of(matrix) + 1e-9))
    x0, x1 = _widened(x0, x1, factor, pixels.shape[1])
    y0, y1 = _widened(y0, y1, factor, pixels.shape[0])
    piece, placed = _shrink(pixels[y0:y1, x0:x1], (x0, y0, x1, y1), factor)
    return np.asarray(
        cv2.warpAffine(
            piece,
            geometry.compose(matrix, geometry.invert(placed)),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT,
            borderValue=(fill or 0,) * 3,
        )
    )


def _widened(start: int, end: int, factor: int, size: int) -> tuple[int, int]:
    """The stretch made a multiple of `factor` long where the picture has room: averaging is then much faster."""
    missing = -(end - start) % factor
    after = min(missing, size - end)
    return start - min(missing - after, start), end + after


def _shrink(piece: Pixels, box: Box, factor: int) -> tuple[Pixels, Matrix]:
    """The piece averaged down by a whole number, and where it lies."""
    height, width = piece.shape[:2]
    if factor > 1:
        width, height = max(1, round(width / factor)), max(1, round(height / factor))
        piece = np.asarray(cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA))
    return piece, geometry.resizing(box, width, height)


def crop(pixels: Pixels, box: Box, side: int) -> Pixels:
    """A square box of the picture at side x side pixels; outside the picture the edge pixels repeat."""
    return warp(pixels, geometry.resizing(box, side, side), side, side)


def shrink_to(pixels: Pixels, longest_px: int) -> tuple[Pixels, float]:
    """The picture with its longer side at most `longest_px`, averaged by area, and the scale it was made at."""
    height, width = pixels.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    if scale == 1.0:
        return pixels, 1.0
    return resized(pixels, scale), scale


def resized(pixels: Pixels, scale: float) -> NDArray[np.uint8]:
    """The picture at `scale` times its size: averaged by area when shrinking, interpolated when growing."""
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    while width % 2 == height % 2 == 0 and 2 * size[0] <= width and 2 * size[1] <= height:
        # Averages of 2 x 2 pixels take a twentieth of the time of averages over other areas.
        width, height = width // 2, height // 2
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR))


def outside(matrix: Matrix, side: int, width: int, height: int) -> float:
    """Share of a side x side result that lies outside the width x height picture it is warped from, 0..1."""
    corners = [[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]]
    picture = geometry.apply(matrix, corners).astype(np.float32)
    square = np.array([[-0.5, -0.5], [side - 0.5, -0.5], [side - 0.5, side - 0.5], [-0.5, side - 0.5]], np.float32)
    shared, _ = cv2.intersectConvexConvex(picture, square)
    return float(min(1.0, max(0.0, 1.0 - shared / side**2)))
