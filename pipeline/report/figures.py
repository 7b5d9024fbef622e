"""Figures of the report as SVG text: one drawing for light pages, one for dark, the same bytes every time."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.report.statistics import Histogram

_WIDTH_IN, _HEIGHT_IN = 4.6, 2.5  # inches; SVG has 72 units an inch
_FEWEST_ROWS = 5  # room for that many bars, so that two bars are not planks
_FEWEST_COLUMNS = 8  # likewise
_RC: dict[Any, Any] = {  # its keys are literals in the types of some releases of matplotlib
    "svg.hashsalt": "hq-vox",  # without it, element ids are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "text.parse_math": False,  # a nationality with two dollar signs is no formula
}


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one page."""

    name: str
    ink: str
    soft: str
    scored: str  # what was measured
    kept: str  # what stayed


LIGHT = Theme("light", "#1c2126", "#68737d", "#c9d1d8", "#2f7d6b")
DARK = Theme("dark", "#e8ebee", "#97a2ac", "#4a545d", "#5cc4a8")
THEMES = (LIGHT, DARK)


def _axes(title: str, theme: Theme, height_in: float = _HEIGHT_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, color=theme.ink)
    axes.tick_params(colors=theme.soft, length=0)
    axes.xaxis.label.set_color(theme.soft)
    axes.spines["bottom"].set_color(theme.soft)
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with warnings.catch_warnings():
        # Text stays text, so the reader's browser has the glyphs that our measuring font lacks.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def draw_histogram(found: Histogram, theme: Theme) -> str:
    """Kept values, in front of everything that was scored; the page says which colour is which."""
    with rc_context(_RC):
        figure, axes = _axes(found.title, theme)
        axes.stairs(found.scored, found.edges, fill=True, color=theme.scored)
        axes.stairs(found.kept, found.edges, fill=True, color=theme.kept)
        axes.set_xlabel(found.unit)
        axes.set_ylim(bottom=0, top=max(1, *found.scored, *found.kept) * 1.05)
        axes.yaxis.set_major_locator(_whole_numbers())
        return _svg(figure)


def draw_columns(title: str, unit: str, counts: Mapping[str, int], theme: Theme) -> str:
    """One upright bar per key, in the order given."""
    with rc_context(_RC):
        figure, axes = _axes(title, theme)
        axes.bar(list(counts), list(counts.values()), color=theme.kept, width=0.8)
        axes.set_xlim(-0.6, max(len(counts), _FEWEST_COLUMNS) - 0.4)
        axes.set_xlabel(unit)
        axes.yaxis.set_major_locator(_whole_numbers())
        return _svg(figure)


def draw_bars(title: str, counts: Mapping[str, int], theme: Theme, most: int = 12) -> str:
    """One lying bar per key with its count; beyond `most` keys the rest are one bar."""
    names, values = _top(counts, most)
    with rc_context(_RC):
        figure, axes = _axes(title, theme, max(_HEIGHT_IN, 0.24 * len(names) + 0.5))
        rows = max(len(names), _FEWEST_ROWS)
        places = rows - 1 - np.arange(len(names))
        bars = axes.barh(places, values, color=theme.kept, height=0.7)
        axes.bar_label(bars, padding=4, color=theme.soft)
        axes.set_yticks(places, names, color=theme.ink)
        axes.set_ylim(-0.8, rows - 0.2)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        return _svg(figure)


def _top(counts: Mapping[str, int], most: int) -> tuple[Sequence[str], Sequence[int]]:
    names, values = [_short(name) for name in counts], list(counts.values())
    if len(names) <= most:
        return names, values
    rest = len(names) - most + 1
    return [*names[: most - 1], f"{rest} others"], [*values[: most - 1], sum(values[most - 1 :])]


def _short(name: str, length: int = 24) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(nbins=4, integer=True)
