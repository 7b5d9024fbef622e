"""Count what came out and what was lost, and write the report: JSON, plots for DVC, one HTML page."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import DataError, Missing
from manifests.settings import Count, Positive
from manifests.table import write_text
from pipeline.report import page, samples
from pipeline.report.statistics import collect
from pipeline.report.summary import hints, summary_text
from pipeline.stage import Context, TableStage
from stages import STAGES

__all__ = ["STAGE", "Settings", "read_stats", "run", "summary_text"]

NAME = "stats"
JSON_FILE = "stats.json"
PAGE_FILE = "index.html"


@dataclass(frozen=True, slots=True)
class Settings:
    """The `stats` section of params.yaml."""

    kept_shown: Count = 24  # kept faces on the page
    dropped_shown: Count = 8  # examples on the page per stage and reason
    thumbnail_px: Positive = 160  # side of a thumbnail
    max_pixels: Positive = 100_000_000  # a source picture with more is not opened for a thumbnail


def plots(stats: Mapping[str, Any]) -> dict[str, str]:
    """File name -> CSV text, for `dvc plots`."""
    files = {
        "funnel.csv": _csv(
            ("stage", "input", "kept", "people"),
            ((e["stage"], e["input"], e["kept"], e["people"]) for e in stats["funnel"]),
        ),
        "reasons.csv": _csv(
            ("stage_and_reason", "rows"),
            ((f"{e['stage']}: {reason}", n) for e in stats["funnel"] for reason, n in e["reasons"].items()),
        ),
        "faces_per_person.csv": _csv(("faces", "people"), stats["faces_per_person"].items()),
    }
    for name, found in stats["histograms"].items():
        rows = zip(found["edges"][:-1], found["scored"], found["kept"], strict=True)
        files[f"{name}.csv"] = _csv((name, "scored", "kept"), rows)
    return files


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def metrics(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers that `dvc metrics` compares between runs."""
    total = stats["table_1"]["total"]
    return {
        "people": total["identities"],
        "faces": total["images"],
        "clips": total["speech_clips"],
        "hours": stats["hours"],
        "average_resolution_px": total["average_resolution_px"],
        "yield": {entry["stage"]: entry["share"] for entry in stats["funnel"] if entry["input"]},
    }


def read_stats(reports: Path) -> dict[str, Any]:
    """The figures of the last run, and where its page lies. Raises Missing before the first run."""
    path = reports / JSON_FILE
    try:
        stats: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Missing(f"no statistics at {path}: run `pipeline run {NAME}` first") from error
    except ValueError as error:
        raise DataError(f"{path} is not whole JSON ({error}): run `pipeline run {NAME}` again") from error
    if not isinstance(stats, dict) or "table_1" not in stats:
        raise DataError(f"{path} holds no statistics: run `pipeline run {NAME}` again")
    return stats | {"page": str(reports / PAGE_FILE)}


def run(settings: Settings, context: Context) -> dict[str, Any]:
    """Collect the figures and write reports/stats.json, reports/index.html and metrics/plots/*.csv."""
    paths = context.paths
    counted = STAGES[: STAGES.index(NAME)]
    stats = collect(paths.data, paths.review, counted)
    kept = samples.kept(paths.data, settings.kept_shown, settings.max_pixels, settings.thumbnail_px)
    dropped = samples.dropped(paths.data, counted, settings.dropped_shown, settings.max_pixels, settings.thumbnail_px)
    write_text(paths.reports / JSON_FILE, json.dumps(stats, indent=2) + "\n")  # reasons stay commonest first
    write_text(paths.reports / PAGE_FILE, page.render(stats, kept, dropped, hints(stats)))
    for name, text in plots(stats).items():
        write_text(paths.metrics / "plots" / name, text)
    return metrics(stats)


STAGE = TableStage(NAME, Settings, run)
