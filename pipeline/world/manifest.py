"""Write a finished data set straight from the synthetic world, so that model work need not wait for the filters."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from manifests.schema import MANIFEST, VOICES, WHITEN, Table, mel_column
from manifests.table import bucket_of, shard_name, write_table
from pipeline import engine, images, speech, vad
from pipeline.frontend import PROFILES, mel, to_float16
from pipeline.names import row_id, sample_id
from pipeline.splits import Fractions, by_hash
from pipeline.stage import Row
from pipeline.world.portrait import portrait, unfiltered
from pipeline.world.traits import Person, draw_person
from pipeline.world.voices import speak

LICENCE = "CC0-1.0"
_PROFILES = {"sf2f": "sf2f", "voice2face": "voice2face"}  # front ends, each with its VAD; the first counts the frames
_SHARED = tuple(c for c in MANIFEST.columns if c.name not in ("split", "kind", "shard", "row"))
_PAYLOAD = tuple(c for c in WHITEN.columns if c.name in ("landmarks", "transform", "image", "mask"))
_FACES = Table("faces", (*(c for c in _SHARED if c.name in WHITEN.names), *_PAYLOAD))
_SPEECH = Table("voices", (*VOICES.columns, *map(mel_column, _PROFILES)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What fixes every byte of the data set."""

    people: int
    seed: int = 0
    faces_per_person: int = 4
    clips_per_person: int = 4
    clip_s: float = 6.0  # seconds, before silence is cut out
    side: int = 128  # pixels of a portrait
    buckets: int = 8  # shards per kind
    val_fraction: float = 0.1  # of the people
    test_fraction: float = 0.1
    raw: bool = False  # faces as no filter but that for faces leaves them: the same people, splits and voices


def write_manifest(out: Path, recipe: Recipe, workers: int = 1) -> Path:
    """Write `hq_voxceleb.parquet` and the shards it points to; return its path. Same recipe, same bytes."""
    tasks = list(range(recipe.buckets))
    rows = [row for part in engine.map_shards(partial(_write_bucket, out, recipe), tasks, workers) for row in part]
    rows.sort(key=lambda row: (row["identity_id"], row["kind"], row["row_id"]))
    path = out / "hq_voxceleb.parquet"
    write_table(path, MANIFEST, rows, _provenance(recipe))
    return path


def _provenance(recipe: Recipe) -> dict[str, Any]:
    heard = {"profiles": list(_PROFILES), "vads": list(_PROFILES.values())}
    return {"stage": "world", "settings": asdict(recipe) | heard}


def _write_bucket(out: Path, recipe: Recipe, bucket: int) -> list[Row]:
    """Draw the people of one bucket, write their shards, return their manifest rows."""
    people = [draw_person(recipe.seed, index) for index in range(recipe.people)]
    here = [(k, person) for k, person in enumerate(people) if bucket_of(person.person_id, recipe.buckets) == bucket]
    if not here:
        return []
    faces = [row for _, person in here for row in _faces(person, recipe)]
    clips = [row for index, person in here for row in _clips(person, index, recipe)]
    fractions = Fractions(recipe.val_fraction, recipe.test_fraction, recipe.seed)
    rows = []
    for table, kind, drawn in ((_FACES, "face", faces), (_SPEECH, "speech", clips)):
        name = f"{table.name}/{shard_name(bucket)}"
        write_table(out / name, table, drawn, _provenance(recipe))
        for place, row in enumerate(drawn):
            facts = {column.name: row.get(column.name) for column in _SHARED}
            split = by_hash(row["identity_id"], fractions)
            rows.append(facts | {"split": split, "kind": kind, "shard": name, "row": place})
    return rows


def _person_facts(person: Person, source: str, content: bytes) -> Row:
    digest = sha256(content).hexdigest()
    return {
        "identity_id": person.person_id,
        "name": person.name,
        "gender": person.gender,
        "nationality": person.nationality,
        "row_id": row_id(person.person_id, source),
        "sample_id": sample_id(person.person_id, digest),
        "source": source,
        "licence": LICENCE,
        "sha256": digest,
    }


def _faces(person: Person, recipe: Recipe) -> Iterator[Row]:
    draw, kind = (unfiltered, "raw") if recipe.raw else (portrait, "face")
    for number in range(recipe.faces_per_person):
        drawn = draw(person, number, recipe.side)
        image = images.encode_png(drawn.pixels)
        yield _person_facts(person, f"world:{recipe.seed}/{person.person_id}/{kind}/{number}", image) | {
            "width": recipe.side,
            "height": recipe.side,
            "source_width": drawn.source_side,
            "source_height": drawn.source_side,
            "landmarks": drawn.landmarks.ravel().tolist(),
            "transform": drawn.transform.ravel().tolist(),
            "image": image,
            "mask": images.encode_png(drawn.mask),
        }


def _clips(person: Person, index: int, recipe: Recipe) -> Iterator[Row]:
    for number in range(recipe.clips_per_person):
        seed = int(np.random.default_rng([recipe.seed, index, number]).integers(2**31))
        recording = speak(person, seed, recipe.clip_s)
        heard = {p: vad.voiced(recording.samples, vad.segments(recording.samples, v)) for p, v in _PROFILES.items()}
        mels = {profile: mel(samples, PROFILES[profile]) for profile, samples in heard.items()}
        first = next(iter(_PROFILES))
        voiced, frames = heard[first], mels[first]
        audio = speech.encode_flac(voiced)
        yield _person_facts(person, f"world:{recipe.seed}/{person.person_id}/speech/{number}", audio) | {
            "video_id": "world",
            "utterance": f"{number:05d}",
            "source_rate": recording.sample_rate,
            "source_duration_s": len(recording.samples) / recording.sample_rate,
            "duration_s": len(voiced) / recording.sample_rate,
            "n_frames": len(frames),
            "audio": audio,
            **{mel_column(profile).name: to_float16(values) for profile, values in mels.items()},
        }
