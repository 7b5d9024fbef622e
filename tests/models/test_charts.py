"""Figures: what is drawn where."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models import charts

AXES = ("x", "y")


def pixels(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3)."""
    return np.asarray(Image.open(path))


def colours(path: Path) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(pixels(path).reshape(-1, 3), axis=0).tolist()}


def test_curves_show_every_line_with_its_name(tmp_path: Path) -> None:
    of = {"one": np.array([[0, 1], [10, 2.0]]), "other": np.array([[0, 2], [10, 1.0]])}
    shown = colours(charts.curves(tmp_path / "c.png", "loss", AXES, of))
    assert {charts._INK[0], charts._INK[1]} <= shown
    assert charts._INK[2] not in shown


def test_a_rising_curve_rises(tmp_path: Path) -> None:
    path = charts.curves(tmp_path / "c.png", "", AXES, {"one": np.array([[0, 0], [1, 5.0]])})
    ys, xs = np.nonzero((pixels(path) == charts._INK[0]).all(axis=2))
    below_legend = ys > charts._TITLE + charts._LINE
    left, right = xs[below_legend].argmin(), xs[below_legend].argmax()
    assert ys[below_legend][left] > ys[below_legend][right]  # rows count downwards


def inside(path: Path, groups: int) -> NDArray[np.uint8]:
    """What is drawn in the frame."""
    top = charts._TITLE + charts._LINE * -(-groups // 3) + 2 * charts._LINE
    return pixels(path)[top + 1 : top + charts._SIZE[1] - 2 * charts._MARGIN, charts._MARGIN + 1 : -charts._MARGIN]


def test_one_point_and_none_are_drawn_too(tmp_path: Path) -> None:
    """In the middle, for no end of an axis is known."""
    one = {"one": np.array([[3, 4.0]]), "none": np.empty((0, 2))}
    for draw in (charts.curves, charts.scatter):
        shown = (inside(draw(tmp_path / "c.png", "", AXES, one), 2) == charts._INK[0]).all(axis=2)
        assert [np.median(places) / size for places, size in zip(np.nonzero(shown), shown.shape, strict=True)] == (
            pytest.approx([0.5, 0.5], abs=0.01)
        )
    charts.curves(tmp_path / "n.png", "", AXES, {})


def test_every_group_has_a_mark_of_its_own_and_the_legend_stays_above_the_frame(tmp_path: Path) -> None:
    names = [f"group {number}" for number in range(30)]
    marks = set()
    for name in names:
        of = {other: np.array([[0.0, 0.0]]) if other == name else np.empty((0, 2)) for other in names}
        marks.add(inside(charts.scatter(tmp_path / "s.png", "", AXES, of), len(names)).tobytes())
    assert len(marks) == len(names)
    nobody = {name: np.empty((0, 2)) for name in names}
    assert (inside(charts.scatter(tmp_path / "s.png", "", AXES, nobody), len(names)) == 255).all()


def test_axes_are_named(tmp_path: Path) -> None:
    of = {"one": np.array([[0, 1], [10, 2.0]])}
    named, bare = (pixels(charts.curves(tmp_path / "c.png", "", axes, of)) for axes in (AXES, ("", "")))
    changed = np.nonzero((named != bare).any(axis=2))[0]
    assert changed.min() < 60 and changed.max() > 330


def test_a_matrix_is_darker_where_the_share_is_larger(tmp_path: Path) -> None:
    shown = pixels(charts.matrix(tmp_path / "m.png", "", ("real", "drawn"), ("f", "m"), np.array([[9, 1], [0, 0]])))
    start, cell = charts._LABELS + 3, charts._CELL
    assert shown[start:-cell, start : start + cell - 6, 0].max() > 180  # white figures on dark
    first, second, unknown = (shown[start + y * cell, start + x * cell] for x, y in ((0, 0), (1, 0), (0, 1)))
    assert first[0] < second[0] < unknown[0] == 255
