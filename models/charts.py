"""Plain figures without a plotting library: curves, confusion matrices, points in groups, as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.agreement import by_row

Points = NDArray[np.float64]  # (n, 2): x, y
_SIZE, _MARGIN = (720, 420), 64  # pixels, without the legend
_TITLE, _LINE, _ENTRY = 22, 15, 200  # pixels: height of the title and of a line of the legend, width of its entries
_CELL, _LABELS = 56, 120  # pixels of a matrix
_INK = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (148, 103, 189), (140, 86, 75), (23, 190, 207))
_CORNERS = (0, 4, 3, 5)  # of a mark; 0: round
_MARKED = 60  # points of a curve at most that are marked one by one
_DARK = 0.55  # share from which a cell is too dark for black figures


def curves(path: Path, title: str, axes: tuple[str, str], of: Mapping[str, Points]) -> Path:
    """Lines over a common pair of named axes; returns `path`."""
    image, pen, place = _figure(title, axes, of)
    for number, points in enumerate(of.values()):
        drawn = [place(point) for point in points]
        if len(drawn) > 1:
            pen.line(drawn, fill=_ink(number), width=2)
        for x, y in drawn if len(drawn) <= _MARKED else ():
            _mark(pen, x, y, number)
    image.save(path)
    return path


def scatter(path: Path, title: str, axes: tuple[str, str], of: Mapping[str, Points]) -> Path:
    """Points of several groups over a common pair of named axes; returns `path`."""
    image, pen, place = _figure(title, axes, of)
    for number, points in enumerate(of.values()):
        for point in points:
            _mark(pen, *place(point), number)
    image.save(path)
    return path


def matrix(path: Path, title: str, sides: tuple[str, str], labels: Sequence[str], counts: NDArray[np.int64]) -> Path:
    """A confusion matrix of counts: shares of each row printed and shaded, the row's number beside it.

    `sides` name the rows and the columns. Returns `path`.
    """
    side = _LABELS + _CELL * len(labels)
    image = Image.new("RGB", (max(side, 320), side), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default()
    pen.text((4, 4), title, fill="black", font=font)
    pen.text((4, 4 + _LINE), f"N = {counts.sum()}; rows: {sides[0]}; columns: {sides[1]}", fill="black", font=font)
    for row, (label, shares) in enumerate(zip(labels, by_row(counts), strict=True)):
        at = _LABELS + row * _CELL
        pen.text((4, at + _CELL // 2 - 6), f"{label[:10]} (n = {counts[row].sum()})", fill="black", font=font)
        pen.text((at + 4, _LABELS - 16), label[:8], fill="black", font=font)
        for column, share in enumerate(shares):
            box = (_LABELS + column * _CELL, at, _LABELS + (column + 1) * _CELL - 1, at + _CELL - 1)
            shade = 255 - round(200 * (share or 0))
            pen.rectangle(box, fill=(shade, shade, 255))
            told, ink = ("-" if share is None else f"{share:.2f}"), "white" if (share or 0) > _DARK else "black"
            pen.text((box[0] + 14, at + _CELL // 2 - 6), told, fill=ink, font=font)
    image.save(path)
    return path


class _Place:
    """From the values of a figure to its pixels; in the middle where all values are one."""

    def __init__(self, points: Points, top: int) -> None:
        self.low, self.high, self.top = points.min(axis=0), points.max(axis=0), top

    def __call__(self, point: Points) -> tuple[float, float]:
        varies = self.high > self.low
        x, y = np.where(varies, (point - self.low) / np.where(varies, self.high - self.low, 1.0), 0.5)
        return _MARGIN + x * (_SIZE[0] - 2 * _MARGIN), self.top + (1 - y) * (_SIZE[1] - 2 * _MARGIN)


def _figure(
    title: str, axes: tuple[str, str], of: Mapping[str, Points]
) -> tuple[Image.Image, ImageDraw.ImageDraw, _Place]:
    """A frame below title and legend, its axes named, with their ends."""
    across = (_SIZE[0] - 8) // _ENTRY
    top = _TITLE + _LINE * -(-len(of) // across) + 2 * _LINE
    left, right, bottom = _MARGIN, _SIZE[0] - _MARGIN, top + _SIZE[1] - 2 * _MARGIN
    image = Image.new("RGB", (_SIZE[0], bottom + _MARGIN), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default()
    pen.text((8, 6), title, fill="black", font=font)
    for number, name in enumerate(of):
        x, y = 8 + _ENTRY * (number % across), _TITLE + _LINE * (number // across)
        _mark(pen, x + 5, y + 7, number)
        pen.text((x + 14, y), name[:30], fill="black", font=font)
    pen.rectangle((left, top, right, bottom), outline="gray")
    pen.text(((left + right) // 2, bottom + 22), axes[0], fill="black", font=font, anchor="ma")
    pen.text((left, top - 9), axes[1], fill="black", font=font, anchor="ms")
    held = [points for points in of.values() if len(points)]
    place = _Place(np.concatenate(held) if held else np.zeros((1, 2)), top)
    for value in np.unique([place.low[0], place.high[0]]):
        at, _ = place(np.array([value, place.low[1]]))
        pen.text((at, bottom + 5), f"{value:.4g}", fill="black", font=font, anchor="ma")
    for value in np.unique([place.low[1], place.high[1]]):
        _, at = place(np.array([place.low[0], value]))
        pen.text((left - 4, at), f"{value:.3g}", fill="black", font=font, anchor="rm")
    return image, pen, place


def _mark(pen: ImageDraw.ImageDraw, x: float, y: float, number: int) -> None:
    """A colour for each group, then another form with the same colours, then the forms without filling."""
    corners, hollow = _CORNERS[number // len(_INK) % len(_CORNERS)], number // (len(_INK) * len(_CORNERS)) % 2
    fill = None if hollow else _ink(number)
    if corners:
        pen.regular_polygon((x, y, 4), corners, fill=fill, outline=_ink(number))
    else:
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=fill, outline=_ink(number))


def _ink(number: int) -> tuple[int, int, int]:
    return _INK[number % len(_INK)]
