"""Plain figures without a plotting library: curves, matrices of shares, points in groups, as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Points = NDArray[np.float64]  # (n, 2): x, y
_SIZE, _MARGIN = (720, 420), 52  # pixels
_CELL, _LABELS = 56, 96  # pixels of a matrix
_INK = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (148, 103, 189), (140, 86, 75), (23, 190, 207))


def curves(path: Path, title: str, of: Mapping[str, Points]) -> Path:
    """Lines over a common pair of axes; returns `path`."""
    image, pen, place = _axes(title, list(of.values()))
    for number, (name, points) in enumerate(of.items()):
        drawn = [place(point) for point in points]
        if len(drawn) > 1:
            pen.line(drawn, fill=_ink(number), width=2)
        _legend(pen, number, name)
    image.save(path)
    return path


def scatter(path: Path, title: str, of: Mapping[str, Points]) -> Path:
    """Points of several groups over a common pair of axes; returns `path`."""
    image, pen, place = _axes(title, list(of.values()))
    for number, (name, points) in enumerate(of.items()):
        for point in points:
            x, y = place(point)
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_ink(number))
        _legend(pen, number, name)
    image.save(path)
    return path


def matrix(path: Path, title: str, labels: Sequence[str], shares: Sequence[Sequence[float | None]]) -> Path:
    """A confusion matrix: rows wanted, columns found, shares of each row printed and shaded; returns `path`."""
    side = _LABELS + _CELL * len(labels)
    image = Image.new("RGB", (max(side, 320), side), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default()
    pen.text((4, 4), title, fill="black", font=font)
    for row, label in enumerate(labels):
        at = _LABELS + row * _CELL
        pen.text((4, at + _CELL // 2 - 6), label[:14], fill="black", font=font)
        pen.text((at + 4, _LABELS - 16), label[:8], fill="black", font=font)
        for column, share in enumerate(shares[row]):
            box = (_LABELS + column * _CELL, at, _LABELS + (column + 1) * _CELL - 1, at + _CELL - 1)
            shade = 255 - round(200 * (share or 0))
            pen.rectangle(box, fill=(shade, shade, 255))
            told = "-" if share is None else f"{share:.2f}"
            pen.text((box[0] + 14, at + _CELL // 2 - 6), told, fill="black", font=font)
    image.save(path)
    return path


class _Place:
    """From the values of a figure to its pixels."""

    def __init__(self, points: Points) -> None:
        self.low, high = points.min(axis=0), points.max(axis=0)
        self.span = np.where(high > self.low, high - self.low, 1.0)

    def __call__(self, point: Points) -> tuple[float, float]:
        x, y = (point - self.low) / self.span
        return (
            _MARGIN + x * (_SIZE[0] - 2 * _MARGIN),
            _SIZE[1] - _MARGIN - y * (_SIZE[1] - 2 * _MARGIN),
        )


def _axes(title: str, of: Sequence[Points]) -> tuple[Image.Image, ImageDraw.ImageDraw, _Place]:
    """An empty figure with the ends of its axes named."""
    held = [points for points in of if len(points)]
    place = _Place(np.concatenate(held) if held else np.zeros((1, 2)))
    image = Image.new("RGB", _SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default()
    left, top, right, bottom = _MARGIN, _MARGIN, _SIZE[0] - _MARGIN, _SIZE[1] - _MARGIN
    pen.rectangle((left, top, right, bottom), outline="gray")
    pen.text((left, 6), title, fill="black", font=font)
    (x0, y0), (x1, y1) = place.low, place.low + place.span
    pen.text((left, bottom + 4), f"{x0:.4g}", fill="black", font=font)
    pen.text((right - 40, bottom + 4), f"{x1:.4g}", fill="black", font=font)
    pen.text((2, bottom - 12), f"{y0:.3g}", fill="black", font=font)
    pen.text((2, top), f"{y1:.3g}", fill="black", font=font)
    return image, pen, place


def _legend(pen: ImageDraw.ImageDraw, number: int, name: str) -> None:
    x, y = _MARGIN + 8 + 170 * (number % 4), 20 + 14 * (number // 4)
    pen.rectangle((x, y + 3, x + 8, y + 11), fill=_ink(number))
    pen.text((x + 12, y), name[:24], fill="black", font=ImageFont.load_default())


def _ink(number: int) -> tuple[int, int, int]:
    return _INK[number % len(_INK)]
