"""Figures as PNG, by matplotlib where it is installed: curves, points in groups, confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import Missing
from models.agreement import by_row

Points = NDArray[np.float64]  # (n, 2): x, y
_WIDTH, _HEIGHT, _DPI = 7.2, 4.2, 100  # inches, and pixels an inch
_CELL = 0.9  # inches of a matrix
_MARKS = "os^DvPX*<>"  # with ten colours: a hundred groups before one is like another
_DARK = 0.55  # share from which a cell is too dark for black figures


def curves(path: Path, title: str, axes: tuple[str, str], of: Mapping[str, Points]) -> Path:
    """Lines over a common pair of named axes; returns `path`. Raises Missing without matplotlib."""
    return _drawn(path, title, axes, of, "-")


def scatter(path: Path, title: str, axes: tuple[str, str], of: Mapping[str, Points]) -> Path:
    """Points of several groups over a common pair of named axes; returns `path`. Raises Missing without matplotlib."""
    return _drawn(path, title, axes, of, "")


def matrix(path: Path, title: str, sides: tuple[str, str], labels: Sequence[str], counts: NDArray[np.int64]) -> Path:
    """A confusion matrix of counts: shares of each row printed and shaded, the row's number beside it.

    `sides` name the rows and the columns. Returns `path`. Raises Missing without matplotlib.
    """
    side = _CELL * len(labels)
    figure, plane = _empty(f"{title} (N = {counts.sum()})", (sides[1], sides[0]), (side + 2.4, side + 1.4))
    shares = by_row(counts)
    plane.imshow([[share or 0.0 for share in row] for row in shares], cmap="Blues", vmin=0, vmax=1)
    plane.set_xticks(range(len(labels)), labels, parse_math=False)
    rows = [f"{label} (n = {row.sum()})" for label, row in zip(labels, counts, strict=True)]
    plane.set_yticks(range(len(labels)), rows, parse_math=False)
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            told, ink = ("-" if share is None else f"{share:.2f}"), "white" if (share or 0) > _DARK else "black"
            plane.text(x, y, told, color=ink, ha="center", va="center")
    return _saved(figure, path)


def _drawn(path: Path, title: str, axes: tuple[str, str], of: Mapping[str, Points], line: str) -> Path:
    figure, plane = _empty(title, axes, (_WIDTH, _HEIGHT))
    for number, (name, points) in enumerate(of.items()):
        mark = _MARKS[number // 10 % len(_MARKS)]
        plane.plot(points[:, 0], points[:, 1], f"{mark}{line}", color=f"C{number % 10}", markersize=4, label=name)
    if of:
        legend = figure.legend(loc="outside right upper", fontsize="small", frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return _saved(figure, path)


def _empty(title: str, axes: tuple[str, str], inches: tuple[float, float]) -> tuple[Any, Any]:
    """A figure and its plane, axes named. Text is shown as it is: a name with two dollar signs is no formula."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Missing(f"{error}: figures are matplotlib's: pip install matplotlib") from error
    figure = Figure(figsize=inches, dpi=_DPI, layout="constrained")
    plane = figure.subplots()
    plane.set_title(title, fontsize="medium", parse_math=False)
    plane.set_xlabel(axes[0], parse_math=False)
    plane.set_ylabel(axes[1], parse_math=False)
    return figure, plane


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path)
    return path
