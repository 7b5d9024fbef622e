"""A manifest of random faces and mels, written in milliseconds, and systems small enough to train on it in seconds."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
import torch

from manifests.schema import MANIFEST, WHITEN, Column, Table, mel_column
from manifests.table import write_table
from models import dimnet, dimnet_frozen, face_net, i2g, sf2f, speaker, svhf, voice2face, wav2pix
from models.config import Experiment
from models.setup import Options
from pipeline.frontend import PROFILES
from tests.factories import digest, picture

Row = dict[str, Any]
_ROW_ID = Column("row_id", pa.string(), "as in the manifest")
_PROFILES = ("sf2f", "voice2face")
_AUDIO = Column("audio", pa.binary(), "FLAC", nullable=True)
_LANDMARKS = tuple(replace(c, nullable=True) for c in WHITEN.columns if c.name in ("landmarks", "transform"))
TRANSFORM = [0.25, 0.05, 3.0, -0.05, 0.25, 9.0]
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
DIMNET = dimnet.Settings(
    covariates=("identity", "gender", "nationality"),
    voice_channels=(8, 8, 8, 8),
    face_channels=(8, 8, 8, 8),
    embedding=8,
    side=32,
    batch=4,
    iterations=(2, 1, 1),
    frames=(30, 50),
)
DIMNET_FROZEN = dimnet_frozen.Settings(
    covariates=("identity", "gender"),
    encoder_channels=(8, 8, 8, 8),
    face_channels=(8, 8, 8, 8),
    voice_features=6,
    face_features=10,
    width=8,
    embedding=8,
    side=32,
    batch=4,
    encoder_batch=4,
    voice_iterations=1,
    face_iterations=1,
    iterations=2,
    frames=(30, 50),
)
SVHF = svhf.Settings(
    channels=(4, 8),
    hidden=8,
    embedding=8,
    head=(8, 8),
    side=32,
    batch=4,
    voice_iterations=1,
    face_iterations=1,
    iterations=2,
    width=100,
)
I2G = i2g.Settings(
    candidates=3,
    speech_channels=(4,) * 8,
    speech_kernel=31,
    bottleneck=16,
    face_channels=(4, 4),
    embedding=8,
    noise=8,
    generator_channels=(4, 4, 4),
    frames=(40, 40),
    matching_batch=4,
    matching_iterations=2,
    batch=2,
    iterations=2,
)
WAV2PIX = wav2pix.Settings(
    encoder_channels=(4,) * 6,
    hidden=(8, 8),
    embedding=8,
    generator_channels=(8, 4),
    discriminator_channels=(4, 8),
    classifier=8,
    batch=4,
    iterations=4,
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
    audio: bool = False  # whether shards hold the sound too
    landmarks: bool = False  # whether shards hold those of the original, and the alignment
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
                    "identity_id": f"id{number:05d}", "gender": "mf"[number % 2],
                    "nationality": ("Avenia", "Torvia")[number // 2 % 2], "split": split, "kind": kind,
                    "row_id": row_id, "shard": f"{kind}/part-0000.parquet", "row": len(held[kind]),
                    "duration_s": 1.0,
                }  # fmt: skip
                named.append(row)
                content = (
                    {"image": picture(1000 * sketch.seed + 10 * number + place, sketch.side, sketch.kind)}
                    if kind == "face"
                    else {mel_column(p).name: _mel(rng, number, sketch.clips[place], p) for p in sketch.profiles}
                )
                if kind == "face" and sketch.landmarks:
                    points = np.random.default_rng([sketch.seed, number, place]).uniform(0, 200, 136)
                    content |= {"landmarks": points.tolist(), "transform": TRANSFORM}
                if kind == "speech" and sketch.audio:
                    content["audio"] = _sound(rng, number, sketch.clips[place])
                held[kind].append({"row_id": row_id, **content} | sketch.payload.get((kind, len(held[kind])), {}))
    heard = {"settings": {"profiles": list(sketch.profiles), "vads": list(sketch.profiles), "keep_audio": sketch.audio}}
    voices = Table(
        "voices",
        (
            _ROW_ID,
            *([_AUDIO] if sketch.audio else []),
            *(replace(mel_column(p), nullable=True) for p in sketch.profiles),
        ),
    )
    faces = replace(FACES, columns=(*FACES.columns, *_LANDMARKS)) if sketch.landmarks else FACES
    for kind, table in (("face", faces), ("speech", voices)):
        write_table(folder / kind / "part-0000.parquet", table, held[kind], heard)
    path = folder / "hq_voxceleb.parquet"
    write_table(path, MANIFEST, [row for row in named if keep(row)], {})
    return path


def _mel(rng: np.random.Generator, number: int, frames: int, profile: str) -> bytes:
    """Noise around 11, as log-mels are, and a little of the person."""
    bands = PROFILES[profile].bands
    return (11 + number / 10 + 3 * rng.standard_normal((frames, bands))).astype("<f2").tobytes()


def _sound(rng: np.random.Generator, number: int, frames: int) -> bytes:
    """Noise and a tone of the person's own, as FLAC."""
    samples = np.arange(160 * frames)
    wave = 0.05 * rng.standard_normal(len(samples)) + 0.2 * np.sin(2 * np.pi * (200 + 100 * number) * samples / 16_000)
    out = io.BytesIO()
    soundfile.write(out, wave, 16_000, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def write_judge(path: Path, seed: int = 7) -> Path:
    """A face network with random weights, as `models pretrain-face` would write one."""
    shape = face_net.Shape(width=4, embedding=8)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        face_net.write(path, face_net.OwnNet(shape), shape, {"half": "a"})
    return path
