"""What the finished dataset holds: the SF2F paper's Table 1, who is in it, and how its values are spread."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manifests import table
from manifests.removals import REMOVED
from manifests.schema import FACE_SCORES, MANIFEST, REVIEW, WHITEN
from manifests.validate import SPLITS
from pipeline.report.funnel import StageYield, drop_files, funnel, kept_files
from pipeline.review import decisions, status
from pipeline.review.people import Wanted
from pipeline.stage import Row

NOT_STATED = "not stated"
_SECONDS_PER_HOUR = 3600.0
_COUNTED = ("identity_id", "name", "gender", "nationality", "split", "kind", "width", "duration_s", "licence")


@dataclass(frozen=True, slots=True)
class Holdings:
    """One column of Table 1."""

    identities: int
    images: int
    speech_clips: int
    average_resolution_px: float | None  # mean width of the square pictures; None without any


# SF2F paper, Table 1: HQ-VoxCeleb as its authors built it.
PAPER_TABLE_1 = {
    "total": Holdings(3638, 8028, 609700, 505.41),
    "train": Holdings(2890, 6375, 478009, 505.78),
    "val": Holdings(370, 859, 63337, 503.63),
    "test": Holdings(378, 794, 68354, 504.37),
}


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in equal bins: everything that was scored, and what was kept in the end."""

    title: str
    unit: str
    edges: tuple[float, ...]
    scored: tuple[int, ...]
    kept: tuple[int, ...]


_HISTOGRAMS = (  # column, title, unit, least, most, bins; values beyond fall into the end bins
    ("yaw_deg", "Head turn (yaw)", "degrees", -45.0, 45.0, 30),
    ("pitch_deg", "Head nod (pitch)", "degrees", -45.0, 45.0, 30),
    ("pupil_px", "Distance between the pupils", "pixels of the original", 0.0, 300.0, 30),
    ("sharpness", "Sharpness of the face", "0 to 1", 0.0, 1.0, 20),
)


def holdings(rows: Iterable[Row]) -> Holdings:
    """Count manifest rows as Table 1 does."""
    people: set[str] = set()
    widths: list[int] = []
    clips = 0
    for row in rows:
        people.add(row["identity_id"])
        if row["kind"] == "face":
            widths.append(row["width"])
        else:
            clips += 1
    resolution = round(sum(widths) / len(widths), 2) if widths else None
    return Holdings(len(people), len(widths), clips, resolution)


def table_1(rows: Sequence[Row]) -> dict[str, Holdings]:
    """Table 1 of a manifest: total and by split."""
    by_split: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_split[row["split"]].append(row)
    return {"total": holdings(rows)} | {split: holdings(by_split[split]) for split in SPLITS}


def histogram(
    title: str,
    unit: str,
    bounds: tuple[float, float, int],
    scored: Iterable[float | None],
    kept: Iterable[float | None],
) -> Histogram:
    """Bin scored and kept values alike; `bounds` are least, most and the number of bins."""
    least, most, bins = bounds
    edges = np.linspace(least, most, bins + 1)

    def count(values: Iterable[float | None]) -> tuple[int, ...]:
        present = np.array([value for value in values if value is not None], dtype=np.float64)
        return tuple(np.histogram(np.clip(present, least, most), edges)[0].tolist())

    return Histogram(title, unit, tuple(np.round(edges, 6).tolist()), count(scored), count(kept))


def shares(rows: Iterable[Row], column: str) -> dict[str, int]:
    """How many people have each value of a column, the commonest first."""
    people = {row["identity_id"]: row[column] or NOT_STATED for row in rows}
    return dict(sorted(Counter(people.values()).items(), key=lambda item: (-item[1], item[0])))


def people(rows: Sequence[Row], found: Mapping[str, int], names: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Per person: pictures crawled and kept, clips and voiced seconds; `found` counts crawled pictures by id."""
    per: dict[str, dict[str, Any]] = {
        identity_id: {"identity_id": identity_id, "name": names.get(identity_id), "split": None, "pictures": count,
                      "faces": 0, "clips": 0, "voiced_s": 0.0}
        for identity_id, count in found.items()
    }  # fmt: skip
    for row in rows:
        empty = {"identity_id": row["identity_id"], "name": row["name"], "pictures": 0, "faces": 0, "clips": 0,
                 "voiced_s": 0.0}  # fmt: skip
        entry = per.setdefault(row["identity_id"], empty)
        entry["split"] = row["split"]
        entry["faces" if row["kind"] == "face" else "clips"] += 1
        entry["voiced_s"] += row["duration_s"] or 0.0
    return [entry | {"voiced_s": round(entry["voiced_s"], 3)} for _, entry in sorted(per.items())]


def licences(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows by kind and licence as the source states it, the commonest first."""
    counts = Counter((row["kind"], row["licence"] or NOT_STATED) for row in rows)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [{"kind": kind, "licence": licence, "rows": count} for (kind, licence), count in ordered]


def collect(data: Path, review: Path, stages: Sequence[str]) -> dict[str, Any]:
    """All figures of the report as JSON-like values.

    `data` holds the tables, `review` the decisions, `stages` are counted in that order. Raises Missing where there
    is no manifest.
    """
    rows = table.read_rows(data / f"{MANIFEST.name}.parquet", _COUNTED)
    measured = [name for name, *_ in _HISTOGRAMS]
    reviewed = _read(kept_files(data, REVIEW.name), [*measured, "decided_by"])
    persons = _persons(data, rows)
    seconds = sum(row["duration_s"] for row in rows if row["kind"] == "speech")
    return {
        "table_1": {split: asdict(held) for split, held in table_1(rows).items()},
        "table_1_paper": {split: asdict(held) for split, held in PAPER_TABLE_1.items()},
        "hours": round(seconds / _SECONDS_PER_HOUR, 4),
        "funnel": [_yield(found) for found in funnel(data, stages)],
        "faces_per_person": {str(n): count for n, count in sorted(Counter(p["faces"] for p in persons).items())},
        "people": persons,
        "gender": shares(rows, "gender"),
        "nationality": shares(rows, "nationality"),
        "histograms": {name: asdict(found) for name, found in _histograms(data, rows, reviewed).items()},
        "licences": licences(rows),
        "weights": _weights(data, stages),
        "decided_by_people": sum(row["decided_by"] != "auto" for row in reviewed),
        "decisions": asdict(_audit(data, review)),
        "review": _review(data, review),
    }


def _histograms(data: Path, rows: Sequence[Row], reviewed: Sequence[Row]) -> dict[str, Histogram]:
    """What was measured on all pictures and recordings, and on those that stayed, by column."""
    scored = _read(sorted((data / FACE_SCORES.name).glob("part-*.parquet")), [name for name, *_ in _HISTOGRAMS])
    found = {
        name: histogram(title, unit, (least, most, bins), _column(scored, name), _column(reviewed, name))
        for name, title, unit, least, most, bins in _HISTOGRAMS
    }
    recordings = _column(_read(kept_files(data, "voices"), ["duration_s"]), "duration_s")
    kept = [row["duration_s"] for row in rows if row["kind"] == "speech"]
    return found | {
        "duration_s": histogram("Voiced length of a recording", "seconds", (0.0, 30.0, 30), recordings, kept)
    }


def _persons(data: Path, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Everybody who was looked for, those without any picture included; not who asked to be removed."""
    crawled = _read(kept_files(data, "crawl"), ("identity_id", "name"))
    found = Counter(row["identity_id"] for row in crawled)
    for row in _read(drop_files(data, "crawl"), ("identity_id", "reason")):
        if row["reason"] != REMOVED:
            found.setdefault(row["identity_id"], 0)
    return people(rows, found, {row["identity_id"]: row["name"] for row in crawled})


def _yield(found: StageYield) -> dict[str, Any]:
    return asdict(found) | {"share": None if found.share is None else round(found.share, 6)}


def _read(files: Iterable[Path], columns: Sequence[str]) -> list[Row]:
    return [row for path in files for row in table.read_rows(path, columns)]


def _column(rows: Iterable[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _weights(data: Path, stages: Sequence[str]) -> dict[str, str]:
    """Name and sha256 of every network that any stage recorded in its footers."""
    files = [files[0] for stage in stages if (files := kept_files(data, stage))]
    recorded = [table.provenance(path).get("weights", {}) for path in files]
    return {name: digest for weights in recorded for name, digest in sorted(weights.items())}


def _audit(data: Path, review: Path) -> decisions.Audit:
    shown = _read(kept_files(data, WHITEN.name), ("sample_id", "image_sha256"))
    by_id = {row["sample_id"]: row["image_sha256"] for row in shown}
    return decisions.audit(decisions.read(review / decisions.FILE), by_id)


def _review(data: Path, review: Path) -> dict[str, Any] | None:
    """What `pipeline review-status` says; None where nobody has decided anything."""
    files = kept_files(data, REVIEW.name)
    if not files or not decisions.read(review / decisions.FILE):
        return None
    limits = table.provenance(files[0])["settings"]
    return status.read(data, review, Wanted(limits["min_per_person"], limits["max_per_person"])).as_json()
