"""Pictures for the report: some that were kept, and for every reason some that were dropped."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests import table
from manifests.removals import REMOVED
from manifests.schema import ALIGN, CRAWL, FACE_SCORES, REVIEW, WHITEN
from pipeline.html import thumbnail
from pipeline.images import Unreadable
from pipeline.report.funnel import drop_files, kept_files
from pipeline.stage import Row

# Which stage's picture shows best why a row was dropped; stages not named here drop before there are pictures.
_PICTURES = {
    "landmarks": CRAWL.name,
    "identity": CRAWL.name,
    "emotion": CRAWL.name,
    "align": CRAWL.name,
    "whiten": ALIGN.name,
    "review": WHITEN.name,
    "manifest": WHITEN.name,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a contact sheet."""

    identity_id: str
    source: str
    caption: str
    thumbnail: str | None  # base64 JPEG; None where there is no picture, or none that opens


@dataclass(frozen=True, slots=True)
class Reason:
    """Some of the rows that one stage dropped for one reason."""

    stage: str
    reason: str
    count: int
    samples: tuple[Sample, ...]


def measured(drop: Row) -> str:
    """What a drop says in words: `23.4, limit 5`."""
    parts = []
    if drop["value"] is not None:
        parts.append(f"{drop['value']:.4g}" + ("" if drop["limit"] is None else f", limit {drop['limit']:.4g}"))
    if drop["detail"]:
        parts.append(drop["detail"][:80])
    return "; ".join(parts)


def dropped(data: Path, stages: Sequence[str], most: int, max_pixels: int, side: int) -> list[Reason]:
    """Every stage and reason with up to `most` examples, the same ones every time."""
    return [reason for stage in stages for reason in _stage_reasons(data, stage, most, max_pixels, side)]


def _stage_reasons(data: Path, stage: str, most: int, max_pixels: int, side: int) -> list[Reason]:
    by_reason: dict[str, list[Row]] = defaultdict(list)
    for path in drop_files(data, stage):
        for drop in table.read_rows(path):
            by_reason[drop["reason"]].append(drop)
    # Row ids are hashes: the first ones are a fair sample that does not change from run to run.
    picked = {reason: sorted(drops, key=lambda drop: drop["row_id"])[:most] for reason, drops in by_reason.items()}
    if REMOVED in picked:
        picked[REMOVED] = []  # counted, never shown
    wanted = {drop["row_id"] for drops in picked.values() for drop in drops}
    pictures: dict[str, str] = {}
    if stage in _PICTURES:
        boxes = _face_boxes(data, wanted) if _PICTURES[stage] == CRAWL.name else {}
        pictures = thumbnails(kept_files(data, _PICTURES[stage]), wanted, max_pixels, side, boxes)
    return [
        Reason(
            stage,
            reason,
            len(by_reason[reason]),
            tuple(
                Sample(drop["identity_id"], drop["source"], measured(drop), pictures.get(drop["row_id"]))
                for drop in picked[reason]
            ),
        )
        for reason in sorted(by_reason, key=lambda reason: (-len(by_reason[reason]), reason))
    ]


def kept(data: Path, most: int, max_pixels: int, side: int) -> list[Sample]:
    """Up to `most` kept faces of as many people as there are: everybody's best picture before anybody's second."""
    rows = [
        row
        for path in kept_files(data, REVIEW.name)
        for row in table.read_rows(path, ("row_id", "identity_id", "source", "rank", "quality", "decided_by"))
    ]
    picked = sorted(rows, key=lambda row: (row["rank"], row["row_id"]))[:most]
    files = kept_files(data, WHITEN.name)
    pictures = thumbnails(files, {row["row_id"] for row in picked}, max_pixels, side, boxes={})
    return [
        Sample(
            row["identity_id"],
            row["source"],
            f"quality {row['quality']:.2f}, by {row['decided_by']}",
            pictures.get(row["row_id"]),
        )
        for row in sorted(picked, key=lambda row: (row["identity_id"], row["rank"]))
    ]


def _face_boxes(data: Path, wanted: set[str]) -> dict[str, list[float]]:
    """row_id -> the main face that was found in the original picture."""
    files = sorted((data / FACE_SCORES.name).glob("part-*.parquet"))
    rows = [row for path in files for row in table.read_rows(path, ("row_id", "face_box"))]
    return {row["row_id"]: row["face_box"] for row in rows if row["row_id"] in wanted and row["face_box"]}


def thumbnails(
    files: Iterable[Path], wanted: set[str], max_pixels: int, side: int, boxes: Mapping[str, list[float]]
) -> dict[str, str]:
    """row_id -> base64 JPEG of the wanted pictures that open, faces outlined where a box is given."""
    found: dict[str, str] = {}
    for path in files:
        if not wanted & set(table.read_table(path, ["row_id"]).column("row_id").to_pylist()):
            continue  # row ids alone are quick to read; a shard's pictures are not
        for row_id, payload in table.read_payload(path, ["image"], wanted):
            try:
                found[row_id] = thumbnail(payload["image"], max_pixels, side, boxes.get(row_id))
            except Unreadable:  # it was dropped for that, and the caption says so
                continue
    return found
