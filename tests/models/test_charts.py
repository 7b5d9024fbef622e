"""Figures: what is drawn where."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import charts


def pixels(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3)."""
    return np.asarray(Image.open(path))


def colours(path: Path) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(pixels(path).reshape(-1, 3), axis=0).tolist()}


def test_curves_show_every_line_with_its_name(tmp_path: Path) -> None:
    of = {"one": np.array([[0, 1], [10, 2.0]]), "other": np.array([[0, 2], [10, 1.0]])}
    shown = colours(charts.curves(tmp_path / "c.png", "loss", of))
    assert {charts._INK[0], charts._INK[1]} <= shown
    assert charts._INK[2] not in shown


def test_a_rising_curve_rises(tmp_path: Path) -> None:
    path = charts.curves(tmp_path / "c.png", "", {"one": np.array([[0, 0], [1, 5.0]])})
    ys, xs = np.nonzero((pixels(path) == charts._INK[0]).all(axis=2))
    below_legend = ys > charts._MARGIN
    left, right = xs[below_legend].argmin(), xs[below_legend].argmax()
    assert ys[below_legend][left] > ys[below_legend][right]  # rows count downwards


def test_one_point_and_none_are_drawn_too(tmp_path: Path) -> None:
    charts.curves(tmp_path / "c.png", "", {"one": np.array([[3, 4.0]])})
    shown = colours(charts.scatter(tmp_path / "s.png", "", {"one": np.array([[3, 4.0]]), "none": np.empty((0, 2))}))
    assert charts._INK[0] in shown


def test_a_matrix_is_darker_where_the_share_is_larger(tmp_path: Path) -> None:
    shown = pixels(charts.matrix(tmp_path / "m.png", "", ("f", "m"), [[0.9, 0.1], [None, None]]))
    start, cell = charts._LABELS + 3, charts._CELL
    first, second, unknown = (shown[start + y * cell, start + x * cell] for x, y in ((0, 0), (1, 0), (0, 1)))
    assert first[0] < second[0] < unknown[0] == 255
