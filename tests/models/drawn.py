"""A manifest of random faces and mels, written in milliseconds, and systems small enough to train on it in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from manifests.schema import MANIFEST, Column, Table, mel_column
from manifests.table import write_table
from models import face_net, sf2f, speaker, voice2face
from models.config import Experiment
from models.setup import Options
from pipeline.frontend import PROFILES
from tests.factories import digest, picture

Row = dict[str, Any]
_ROW_ID = Column("row_id", pa.string(), "as in the manifest")
_PROFILES = ("sf2f", "voice2face")
FACES = Table("faces", (_ROW_ID, Column("image", pa.binary(), "PNG or JPEG", nullable=True)))

SF2F = sf2f.Settings(
    encoder_channels=(8, 8, 8, 8),
    embedding=8,
    decoder_channels=(8, 8, 8, 8, 8),
    discriminator_width=4,
    judge="none",
    batch=4,
    iterations=4,
    settling=2,
    fuser_iterations=2,
    frames=(30, 50),
    windows=3,
    window=40,
    stride=20,
    embedding_noise=0.05,
)
VOICE2FACE = replace(
    voice2face.Settings(),
    encoder_channels=(8, 8, 8, 8),
    embedding=8,
    generator_channels=(8, 8, 8, 8, 8),
    discriminator_width=4,
    batch=4,
    iterations=4,
    frames=(30, 50),
)
SPEAKER = replace(
    speaker.Settings(), encoder_channels=(8, 8, 8, 8), embedding=8, batch=4, iterations=2, frames=(30, 50)
)
CPU = Options(torch.device("cpu"), save_every=1, report_every=1, validate_every=2, autocast=False, compile=False)


def experiment(settings: Any, name: str = "tiny") -> Experiment:
    """An experiment of one of the systems, known by the type of its settings."""
    return Experiment(name, type(settings).__module__.removeprefix("models."), settings, "", "")


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a drawn manifest holds; every person has the same."""

    train: int = 6
    val: int = 3
    test: int = 2
    faces: int = 2
    clips: tuple[int, ...] = (90, 20, 130)  # frames
    kind: str = "PNG"
    side: int = 80
    seed: int = 0
    profiles: tuple[str, ...] = _PROFILES
    payload: Mapping[tuple[str, int], Row] = field(default_factory=dict)  # changes of shard rows, by kind and place


def write_manifest(folder: Path, sketch: Sketch = Sketch(), keep: Any = lambda row: True) -> Path:
    """Write the manifest and one shard a kind; `keep` says which rows the manifest names."""
    splits = ["train"] * sketch.train + ["val"] * sketch.val + ["test"] * sketch.test
    rng = np.random.default_rng(sketch.seed)
    named: list[Row] = []
    held: dict[str, list[Row]] = {"face": [], "speech": []}
    for number, split in enumerate(splits):
        for kind, count in (("face", sketch.faces), ("speech", len(sketch.clips))):
            for place in range(count):
                row_id = digest(kind, number, place)[:32]
                row = {c.name: "x" if c.type == pa.string() else 1 for c in MANIFEST.columns} | {
                    "identity_id": f"id{number:05d}", "gender": "mf"[number % 2], "split": split, "kind": kind,
                    "row_id": row_id, "shard": f"{kind}/part-0000.parquet", "row": len(held[kind]),
                    "duration_s": 1.0,
                }  # fmt: skip
                named.append(row)
                content = (
                    {"image": picture(1000 * sketch.seed + 10 * number + place, sketch.side, sketch.kind)}
                    if kind == "face"
                    else {mel_column(p).name: _mel(rng, number, sketch.clips[place], p) for p in sketch.profiles}
                )
                held[kind].append({"row_id": row_id, **content} | sketch.payload.get((kind, len(held[kind])), {}))
    voices = Table("voices", (_ROW_ID, *(replace(mel_column(p), nullable=True) for p in sketch.profiles)))
    heard = {"settings": {"profiles": list(sketch.profiles), "vads": list(sketch.profiles)}}
    for kind, table in (("face", FACES), ("speech", voices)):
        write_table(folder / kind / "part-0000.parquet", table, held[kind], heard)
    path = folder / "hq_voxceleb.parquet"
    write_table(path, MANIFEST, [row for row in named if keep(row)], {})
    return path


def _mel(rng: np.random.Generator, number: int, frames: int, profile: str) -> bytes:
    """Noise around 11, as log-mels are, and a little of the person."""
    bands = PROFILES[profile].bands
    return (11 + number / 10 + 3 * rng.standard_normal((frames, bands))).astype("<f2").tobytes()


def write_judge(path: Path, seed: int = 7) -> Path:
    """A face network with random weights, as `models pretrain-face` would write one."""
    shape = face_net.Shape(width=4, embedding=8)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        face_net.write(path, face_net.OwnNet(shape), shape, {"half": "a"})
    return path
