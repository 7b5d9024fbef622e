"""The report in the terminal: what came out, the yield of each stage, and where to look next."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.stage import DEFECTS

_WIDTH = 110  # characters
_REASONS = 3  # named per stage
_COLUMNS = ("total", "train", "val", "test")


def hints(stats: Mapping[str, Any]) -> list[str]:
    """Where to look next, the most pressing first."""
    found: list[str] = []
    by_stage = {entry["stage"]: entry for entry in stats["funnel"]}
    reasons = {stage: entry["reasons"] for stage, entry in by_stage.items()}
    for stage, counts in reasons.items():
        failed = {reason: counts[reason] for reason in DEFECTS if reason in counts}
        if failed:
            named = ", ".join(f"`{reason}`" for reason in failed)
            count = sum(failed.values())
            found.append(f"Rows of stage {stage} that failed by a defect: {count:,}; its drops ({named}) say where.")
    waiting = reasons.get("review", {}).get("awaiting_review", 0)
    if waiting:
        found.append(f"Pictures that wait for a person's decision: {waiting:,} (`pipeline review-export`).")
    stale = stats["decisions"]["stale"] + stats["decisions"]["unknown"]
    if stale:
        found.append(f"Human decisions about pictures that have changed or are gone: {stale:,}; they do not count.")
    no_filters = {"crawl", "manifest"} | ({"review"} if waiting else set())
    filters = [entry for entry in stats["funnel"] if entry["input"] and entry["stage"] not in no_filters]
    worst = min(filters, key=lambda entry: (entry["share"], entry["stage"]), default=None)
    if worst is not None and worst["reasons"]:
        reason, count = next(iter(worst["reasons"].items()))
        found.append(
            f"Stage {worst['stage']} keeps least ({worst['share']:.0%}), mostly for `{reason}` ({count:,} of "
            f"{worst['input'] - worst['kept']:,}): look at those in the report, then at section `{worst['stage']}` of "
            "params.yaml."
        )
    halves = reasons.get("manifest", {})
    for reason, half in (("no_face", "faces"), ("no_speech", "speech")):
        if reason in halves:
            found.append(f"Rows of people without {half}: {halves[reason]:,} (`manifest.require_both`).")
    if stats["table_1"]["total"]["images"] and not stats["decided_by_people"]:
        found.append(
            "All faces were chosen by quality score, which cannot see a wrong person: for the paper's way set "
            "`review.mode: human`."
        )
    return found


def _text(value: Any) -> Text:
    """A cell that is never read as markup, without the control characters that would steer a terminal."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in str(value)))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _plain(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE)


def _table_1(stats: Mapping[str, Any]) -> Table:
    table = _plain("Table 1 (in brackets: HQ-VoxCeleb as the SF2F paper prints it)", "", *_COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for key, label in (
        ("identities", "identities"),
        ("images", "images"),
        ("speech_clips", "speech clips"),
        ("average_resolution_px", "average resolution, px"),
    ):
        cells = [
            f"{_number(stats['table_1'][split][key])} ({_number(stats['table_1_paper'][split][key])})"
            for split in _COLUMNS
        ]
        table.add_row(label, *(_text(cell) for cell in cells))
    return table


def _funnel(entries: Sequence[Mapping[str, Any]]) -> Table:
    table = _plain("Yield", "stage", "in", "kept", "yield", "people", "dropped most for")
    for column in table.columns[1:5]:
        column.justify = "right"
    for entry in entries:
        top = list(entry["reasons"].items())[:_REASONS]
        words = ", ".join(f"{reason} {count:,}" for reason, count in top)
        share = "-" if entry["share"] is None else f"{entry['share']:.0%}"
        numbers = (_number(entry["input"]), _number(entry["kept"]), share, _number(entry["people"]))
        table.add_row(*(_text(cell) for cell in (entry["stage"], *numbers, words)))
    return table


def summary_text(stats: Mapping[str, Any]) -> str:
    """What `dvc repro` prints when it is done; `stats` is the report's JSON, and `page` where the report lies."""
    total = stats["table_1"]["total"]
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, legacy_windows=False)
    headline = (
        f"{total['identities']:,} people, {total['images']:,} faces, {total['speech_clips']:,} clips, "
        f"{stats['hours']:.2f} hours of voiced speech"
    )
    console.print(_text(headline))
    console.print(_table_1(stats))
    console.print(_funnel(stats["funnel"]))
    for hint in hints(stats):
        console.print(_text(f"- {hint}"))
    console.print(_text(f"The whole report: {stats['page']}; as JSON: `pipeline stats --json`."))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
