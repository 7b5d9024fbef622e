"""Small valid tables for tests: `make_rows(TABLE, n)` gives rows that pass the schema, any column overridden."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from manifests.schema import Column, Table
from manifests.table import shard_name, write_drops, write_table

Row = dict[str, Any]
PER_PERSON = 4  # rows of one person follow each other


def digest(*parts: object) -> str:
    """A stable sha256 of anything printable."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def picture(seed: int, side: int = 48, kind: str = "PNG") -> bytes:
    """A small coloured picture."""
    y, x = np.mgrid[0:side, 0:side] / side
    colour = np.random.default_rng(seed).uniform(60, 255, 3)
    face = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.12)[..., None]
    out = io.BytesIO()
    Image.fromarray(np.where(face, colour, 255).astype(np.uint8)).save(out, kind)
    return out.getvalue()


def _value(table: Table, column: Column, i: int) -> Any:
    person = i // PER_PERSON
    known: dict[str, Any] = {
        "identity_id": f"id{10001 + person}",
        "name": f"Person_{person}",
        "gender": "mf"[person % 2],
        "nationality": ("India", "Kenya", "Peru")[person % 3],
        "row_id": digest(table.name.split("/")[-1], i)[:32],
        "sample_id": digest("sample", table.name, i)[:32],
        "source": f"https://example.org/{person}/{i}.jpg",
        "licence": "CC-BY-4.0",
        "sha256": digest("bytes", i),
        "image_sha256": digest("image", i),
        "fault": None,
        "fault_detail": None,
        "face_box": [10.0, 10.0, 40.0, 40.0],
        "landmarks": [float(k % 48) for k in range(136)],
        "pupils": [18.0, 20.0, 30.0, 20.0],
        "pupil_px": 60.0 + i,
        "yaw_deg": float(i % 5) - 2.0,
        "pitch_deg": float(i % 3) - 1.0,
        "transform": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "n_faces": 1,
        "format": "JPEG",
        "width": 48,
        "height": 48,
        "side": 48,
        "source_width": 640,
        "source_height": 480,
        "source_rate": 16000,
        "duration_s": 4.0 + i,
        "source_duration_s": 6.0 + i,
        "n_frames": 400 + 100 * i,
        "split": "train",
        "kind": "face",
        "shard": "whiten/part-0000.parquet",
        "row": i,
        "rank": 1 + i % PER_PERSON,
        "decided_by": "auto",
        "stage": "landmarks",
        "reason": "pupils_too_close",
        "quality": 0.9 - 0.01 * (i % 50),
        "video_id": f"video{i}",
        "utterance": f"{i:05d}",
    }
    if column.name in known:
        return known[column.name]
    if pa.types.is_binary(column.type):
        return picture(i)
    if pa.types.is_boolean(column.type):
        return False
    if pa.types.is_integer(column.type):
        return 1
    return 0.5 if pa.types.is_floating(column.type) else f"{column.name}-{i}"


def make_rows(table: Table, n: int, **overrides: Any) -> list[Row]:
    """`n` rows of a table, PER_PERSON to a person; an override is a value, or a function of the row number."""
    rows = []
    for i in range(n):
        row = {column.name: _value(table, column, i) for column in table.columns}
        rows.append(row | {name: given(i) if callable(given) else given for name, given in overrides.items()})
    return rows


def write_stage(data: Path, table: Table, rows: list[Row], drops: list[Row] | None = None, bucket: int = 0) -> None:
    """Write one shard of a stage's table, and its drops, as the runner does."""
    settings = {"min_per_person": 3, "max_per_person": 7}
    provenance = {"stage": table.name, "settings": settings, "weights": {"some-net": digest("net")}}
    write_table(data / table.name / shard_name(bucket), table, rows, provenance)
    write_drops(data / "drops" / table.name / shard_name(bucket), drops or [], provenance)
