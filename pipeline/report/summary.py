"""The report in the terminal: what came out, the yield of each stage, and where to look next."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from pipeline.stage import DEFECTS
from pipeline.terminal import cell, number, percent, render, table

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
    reviewed = stats.get("review") or {"reviewers": ()}  # a report of an earlier version has no such key
    drifting = [one["name"] for one in reviewed["reviewers"] if one["drifts"]]
    if drifting:
        found.append(f"Reviewers whose decisions are worth a look: {', '.join(drifting)} (`pipeline review-status`).")
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
            "All faces were chosen by quality score, which cannot see the wrong person that "
            "`identity` missed: for the paper's way set `review.mode: human`."
        )
    return found


def _table_1(stats: Mapping[str, Any]) -> Table:
    made = table("Table 1 (in brackets: HQ-VoxCeleb as the SF2F paper prints it)", ["", *_COLUMNS])
    for key, label in (
        ("identities", "identities"),
        ("images", "images"),
        ("speech_clips", "speech clips"),
        ("average_resolution_px", "average resolution, px"),
    ):
        cells = [
            f"{number(stats['table_1'][split][key])} ({number(stats['table_1_paper'][split][key])})"
            for split in _COLUMNS
        ]
        made.add_row(label, *map(cell, cells))
    return made


def _funnel(entries: Sequence[Mapping[str, Any]]) -> Table:
    made = table("Yield", ["stage", "in", "kept", "yield", "people", "dropped most for"], left=["dropped most for"])
    for entry in entries:
        top = list(entry["reasons"].items())[:_REASONS]
        words = ", ".join(f"{reason} {count:,}" for reason, count in top)
        numbers = (number(entry["input"]), number(entry["kept"]), percent(entry["share"]), number(entry["people"]))
        made.add_row(*map(cell, (entry["stage"], *numbers, words)))
    return made


def summary_text(stats: Mapping[str, Any]) -> str:
    """What `dvc repro` prints when it is done; `stats` is the report's JSON, and `page` where the report lies."""
    total = stats["table_1"]["total"]
    headline = (
        f"{total['identities']:,} people, {total['images']:,} faces, {total['speech_clips']:,} clips, "
        f"{stats['hours']:.2f} hours of voiced speech"
    )
    return render(
        [
            cell(headline),
            _table_1(stats),
            _funnel(stats["funnel"]),
            *(cell(f"- {hint}") for hint in hints(stats)),
            cell(f"The whole report: {stats['page']}; as JSON: `pipeline stats --json`."),
        ]
    )
