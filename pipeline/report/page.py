"""The report as one HTML file that needs nothing else: figures and thumbnails inside, no script, no address fetched."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import weights
from pipeline.html import page
from pipeline.report.figures import THEMES, Theme, draw_bars, draw_columns, draw_histogram
from pipeline.report.samples import Reason, Sample
from pipeline.report.statistics import Histogram

_TEMPLATE = Path(__file__).with_name("template.html")
_PEOPLE_SHOWN = 200
_GENDERS = {"m": "male", "f": "female"}


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure, drawn for light and for dark pages."""

    title: str
    light: str  # base64 SVG
    dark: str


@dataclass(frozen=True, slots=True)
class Network:
    """A network that some stage used."""

    name: str
    sha256: str
    used_by: str
    terms: str


def _drawing(title: str, draw: Callable[[Theme], str]) -> Drawing:
    light, dark = (base64.b64encode(draw(theme).encode()).decode() for theme in THEMES)
    return Drawing(title, light, dark)


def drawings(stats: Mapping[str, Any]) -> list[Drawing]:
    """All figures of the report."""
    histograms = [Histogram(**values) for values in stats["histograms"].values()]
    genders = {_GENDERS.get(gender, gender): count for gender, count in stats["gender"].items()}
    faces = stats["faces_per_person"]
    most = max(map(int, faces), default=0)
    faces = {str(count): faces.get(str(count), 0) for count in range(most + 1)}
    return [
        _drawing("Faces kept per person", lambda theme: draw_columns("Faces kept per person", "faces", faces, theme)),
        *(_drawing(found.title, lambda theme, found=found: draw_histogram(found, theme)) for found in histograms),  # type: ignore[misc]
        _drawing("Gender", lambda theme: draw_bars("People by gender", genders, theme)),
        _drawing("Nationality", lambda theme: draw_bars("People by nationality", stats["nationality"], theme)),
    ]


def networks(used: Mapping[str, str]) -> list[Network]:
    """The networks the footers name, with what the registry says of them."""
    known = {entry.name: entry for entry in weights.entries()}
    return [
        Network(
            name,
            digest,
            known[name].used_by if name in known else "not in the registry",
            "; ".join((known[name].licence, known[name].restriction)) if name in known else "",
        )
        for name, digest in sorted(used.items())
    ]


def render(stats: Mapping[str, Any], kept: Sequence[Sample], dropped: Sequence[Reason], hints: Sequence[str]) -> str:
    """The whole page. `stats` is what `pipeline.report.statistics.collect` gives."""
    values = {
        "stats": stats,
        "columns": ("total", "train", "val", "test"),
        "drawings": drawings(stats),
        "networks": networks(stats["weights"]),
        "kept": kept,
        "dropped": dropped,
        "hints": hints,
        "people": stats["people"][:_PEOPLE_SHOWN],
        "people_total": len(stats["people"]),
    }
    return page(_TEMPLATE, values)
