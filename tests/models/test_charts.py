"""Figures: what is drawn where."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from manifests.errors import Missing
from models import charts

AXES = ("x", "y")
BLUE, ORANGE, GREEN = (31, 119, 180), (255, 127, 14), (44, 160, 44)  # matplotlib's first colours


def pixels(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3)."""
    return np.asarray(Image.open(path).convert("RGB"))


def where(path: Path, colour: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels of a colour."""
    return np.nonzero((pixels(path) == colour).all(axis=2))


def test_curves_show_every_line(tmp_path: Path) -> None:
    of = {"one": np.array([[0, 1], [10, 2.0]]), "other": np.array([[0, 2], [10, 1.0]])}
    path = charts.curves(tmp_path / "c.png", "loss", AXES, of)
    assert [len(where(path, colour)[0]) > 0 for colour in (BLUE, ORANGE, GREEN)] == [True, True, False]


def test_a_rising_curve_rises(tmp_path: Path) -> None:
    path = charts.curves(tmp_path / "c.png", "", AXES, {"one": np.array([[0, 0], [1, 5.0]])})
    ys, xs = where(path, BLUE)
    of_curve = xs < 0.8 * pixels(path).shape[1]  # the legend stands at the right
    assert ys[of_curve][xs[of_curve].argmin()] > ys[of_curve][xs[of_curve].argmax()]  # rows count downwards


@pytest.mark.parametrize("draw", [charts.curves, charts.scatter])
def test_one_point_is_drawn_and_none_are_too(draw, tmp_path: Path) -> None:
    marked = {}
    for name, points in {"one": np.array([[3, 4.0]]), "none": np.empty((0, 2))}.items():
        path = draw(tmp_path / f"{name}.png", "", AXES, {"group": points})
        _, xs = where(path, BLUE)
        marked[name] = (xs < 0.8 * pixels(path).shape[1]).any()
    assert marked == {"one": True, "none": False}
    assert draw(tmp_path / "nobody.png", "", AXES, {}).is_file()


def test_every_group_has_a_mark_of_its_own(tmp_path: Path) -> None:
    names = [f"group {number}" for number in range(30)]
    marks = set()
    for name in names:
        of = {other: np.array([[0.0, 0.0]]) if other == name else np.empty((0, 2)) for other in names}
        marks.add(pixels(charts.scatter(tmp_path / "s.png", "", AXES, of)).tobytes())
    assert len(marks) == len(names)


def test_title_and_axes_are_named_and_dollars_are_no_formula(tmp_path: Path) -> None:
    of = {"one": np.array([[0, 1], [10, 2.0]])}
    shown = [
        pixels(charts.curves(tmp_path / "c.png", title, axes, of))
        for title, axes in (("$a$", AXES), ("a", AXES), ("$a$", ("z", "y")), ("$a$", ("x", "z")))
    ]
    assert len({one.tobytes() for one in shown}) == len(shown)


def test_names_are_never_formulas(tmp_path: Path) -> None:
    broken = "$\\frac$"  # as a formula it would be an error
    charts.scatter(tmp_path / "s.png", broken, (broken, broken), {broken: np.array([[0.0, 1.0]])})
    charts.matrix(tmp_path / "m.png", broken, (broken, broken), (broken, "f"), np.array([[1, 0], [0, 1]]))


def test_a_matrix_is_darker_where_the_share_is_larger(tmp_path: Path) -> None:
    """Nine of ten, one of ten; below them a row of nobody: the three fill cells of their own, in this order."""
    counts = np.array([[9, 1], [0, 0]])
    path = charts.matrix(tmp_path / "m.png", "", ("real", "drawn"), ("f", "m"), counts)
    colours, filled = np.unique(pixels(path).reshape(-1, 3), axis=0, return_counts=True)
    cells = [colour for colour, n in zip(colours, filled, strict=True) if n > 1000 and colour[2] > colour[0]]
    first, second, nobody = sorted(cells, key=lambda colour: int(colour.astype(int).sum()))
    (y1, x1), (y2, x2), (y3, _) = (
        [float(np.median(places)) for places in where(path, tuple(colour))] for colour in (first, second, nobody)
    )
    assert x1 < x2 and y1 == pytest.approx(y2, abs=5) and y3 > y1
    ys, xs = where(path, tuple(first))
    assert (pixels(path)[ys.min() : ys.max(), xs.min() : xs.max()] == 255).all(axis=2).any()  # white figures on dark


def test_without_matplotlib_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Missing, match="pip install matplotlib"):
        charts.curves(tmp_path / "c.png", "", AXES, {})
