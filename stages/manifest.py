"""Join faces and speech by person, split people into train, val and test, and write `hq_voxceleb.parquet`."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from manifests import removals, table
from manifests.errors import UsageError
from manifests.schema import MANIFEST, REVIEW, VOICES, Table
from manifests.settings import Share
from manifests.validate import SPLITS
from pipeline import identities, source_code
from pipeline.splits import Fractions, assign
from pipeline.stage import Context, Drop, Row, TableStage
from stages import STAGES

NAME = "manifest"
FILE = f"{MANIFEST.name}.parquet"
_SPEECH_TABLE = "voices"


@dataclass(frozen=True, slots=True)
class Settings:
    """The `manifest` section of params.yaml."""

    split: Literal["voxceleb", "paper", "hash"] = "hash"  # whose rule says who is in train, val and test
    metadata: tuple[Path, ...] = ()  # as in `crawl`: sets and row numbers for the first two rules
    val_fraction: Share = 0.1  # share of people (of VoxCeleb's dev people in split `voxceleb`)
    test_fraction: Share = 0.1  # share of people, in split `hash` only
    split_seed: int = 0  # which people the hash picks
    require_both: bool = True  # leave out people without a face or without speech
    removals: Path | None = None  # the salted list of what must never come back

    def __post_init__(self) -> None:
        if self.val_fraction < 0 or self.test_fraction < 0 or self.val_fraction + self.test_fraction > 1:
            raise UsageError(
                f"manifest.val_fraction is {self.val_fraction}, manifest.test_fraction {self.test_fraction}; expected "
                "shares from 0, together at most 1"
            )


def face_row(row: Row) -> Row:
    """A reviewed face as a manifest row: all it shares with the manifest; speech columns stay null."""
    return {name: row.get(name) for name in MANIFEST.names} | {"kind": "face"}


def speech_row(row: Row, shard: str, place: int) -> Row:
    """A recording as a manifest row; face columns stay null."""
    facts = {name: row.get(name) for name in MANIFEST.names}
    return facts | {"kind": "speech", "shard": shard, "row": place}


def why_not(row: Row, faces: Collection[str], speakers: Collection[str], require_both: bool) -> Drop | None:
    """Why a row is left out, or None; `faces` and `speakers` are the identities that have some."""
    if not require_both:
        return None
    if row["identity_id"] not in faces:
        return Drop("no_face")
    return Drop("no_speech") if row["identity_id"] not in speakers else None


def join(rows: Sequence[Row], blocked: Collection[str], require_both: bool) -> tuple[list[Row], list[tuple[Row, Drop]]]:
    """Kept and dropped rows; `blocked` holds the row_ids that the removals list forbids."""
    allowed = [row for row in rows if row["row_id"] not in blocked]
    faces = {row["identity_id"] for row in allowed if row["kind"] == "face"}
    speakers = {row["identity_id"] for row in allowed if row["kind"] == "speech"}
    kept: list[Row] = []
    dropped = [(row, Drop(removals.REMOVED)) for row in rows if row["row_id"] in blocked]
    for row in allowed:
        drop = why_not(row, faces, speakers, require_both)
        if drop is None:
            kept.append(row)
        else:
            dropped.append((row, drop))
    return kept, dropped


def names_of(rows: Sequence[Row]) -> dict[str, str | None]:
    """identity_id -> name, from whichever half of the data knows it."""
    names: dict[str, str | None] = {}
    for row in rows:
        names[row["identity_id"]] = names.get(row["identity_id"]) or row["name"]
    return names


def summarise(kept: Sequence[Row], dropped: Sequence[tuple[Row, Drop]]) -> dict[str, Any]:
    """The stage's metrics."""
    splits = {split: [row for row in kept if row["split"] == split] for split in SPLITS}
    return {
        "input": len(kept) + len(dropped),
        "kept": len(kept),
        "reasons": dict(sorted(Counter(drop.reason for _, drop in dropped).items())),
        "people": {split: len({row["identity_id"] for row in rows}) for split, rows in splits.items()},
        "faces": {split: sum(row["kind"] == "face" for row in rows) for split, rows in splits.items()},
        "clips": {split: sum(row["kind"] == "speech" for row in rows) for split, rows in splits.items()},
    }


def run(settings: Settings, context: Context) -> dict[str, Any]:
    """Read reviewed faces and voices, write the manifest and its drops; kept + dropped = input."""
    data = context.paths.data
    rows = [*_faces(data, context.buckets), *_speech(data, context.buckets)]
    forbidden = removals.load(settings.removals)
    blocked = {r["row_id"] for r in rows if forbidden.blocks(r["identity_id"], r["source"], r["sha256"])}
    kept, dropped = join(rows, blocked, settings.require_both)
    assert len(kept) + len(dropped) == len(rows), f"{len(rows)} rows in, {len(kept)} kept, {len(dropped)} dropped"
    fractions = Fractions(settings.val_fraction, settings.test_fraction, settings.split_seed)
    splits = assign(names_of(kept), identities.load(settings.metadata), settings.split, fractions)
    kept = sorted(
        (row | {"split": splits[row["identity_id"]]} for row in kept),
        key=lambda row: (row["identity_id"], row["kind"], row["row_id"]),
    )
    metrics = summarise(kept, dropped)
    provenance = _provenance(data, settings) | {"counts": metrics}
    table.write_drops(data / "drops" / NAME / table.shard_name(0), _drop_rows(dropped), provenance)
    table.write_table(data / FILE, MANIFEST, kept, provenance)
    return metrics


def _wanted(source: Table) -> list[str]:
    return [name for name in MANIFEST.names if name in source.names]


def _faces(data: Path, buckets: int) -> list[Row]:
    return [face_row(row) for _, row in _rows(data / REVIEW.name, buckets, REVIEW)]


def _speech(data: Path, buckets: int) -> list[Row]:
    found = _rows(data / _SPEECH_TABLE, buckets, VOICES)
    return [speech_row(row, f"{_SPEECH_TABLE}/{shard}", place) for (shard, place), row in found]


def _rows(folder: Path, buckets: int, of: Table) -> Iterator[tuple[tuple[str, int], Row]]:
    """Every row of a table, with the name of its shard and its place there."""
    for path in table.shards(folder, buckets):
        table.expect(path, of)
        for place, row in enumerate(table.read_rows(path, _wanted(of))):
            yield (path.name, place), row


def _drop_rows(dropped: Sequence[tuple[Row, Drop]]) -> list[Row]:
    facts = ("identity_id", "row_id", "sample_id", "source")
    rows = [{name: row[name] for name in facts} | {"stage": NAME} | asdict(drop) for row, drop in dropped]
    return sorted(rows, key=lambda row: (row["identity_id"], row["row_id"]))


def _provenance(data: Path, settings: Settings) -> dict[str, Any]:
    """What the manifest was made from: settings and networks of every stage before, input digests, code digest."""
    before = [name for name in STAGES[: STAGES.index(NAME)] if (data / name).is_dir()]
    records: Mapping[str, dict[str, Any]] = {name: table.provenance(table.shards(data / name)[0]) for name in before}
    inputs = {
        name: table.digest_of([table.rows_digest(path) for path in table.shards(data / name)])
        for name in (REVIEW.name, _SPEECH_TABLE)
    }
    return {
        "stage": NAME,
        "settings": asdict(settings),
        "stages": {name: record.get("settings", {}) for name, record in records.items()},
        "weights": {net: digest for record in records.values() for net, digest in record.get("weights", {}).items()},
        "inputs": inputs,
        "code": source_code.digest(),
    }


STAGE = TableStage(NAME, Settings, run)
