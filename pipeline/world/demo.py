"""Write a synthetic world to a folder: photographs, recordings, the lists a crawler needs, and the truth."""

import csv
import io
import json
import sys
import wave
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import track

from manifests.errors import UsageError
from manifests.table import write_text
from pipeline import engine
from pipeline.world import voices
from pipeline.world.ceiling import ceiling
from pipeline.world.defects import DEFECTS, Shot, take
from pipeline.world.traits import FACE_FIELDS, VOICE_FIELDS, Person, draw_person

HOST = "world.test"  # the name under which the loopback server is asked for the photographs
_LICENCE = "CC0-1.0"
_UTTERANCES_PER_VIDEO = 3
_CLEAN_SHARE = 0.57  # of a person's pictures; the first is always clean
_BAD_CLIP_SHARE = 0.08
_PARTS = "parts"  # folder of finished people while a world is being made
_FORMAT = 1  # raise it when the same parameters give another world

_TEXT, _REAL, _INT = pa.string(), pa.float64(), pa.int32()
_PEOPLE = pa.schema(
    [(name, _TEXT) for name in ("identity_id", "name", "gender", "nationality")]
    + [(name, _REAL) for name in FACE_FIELDS + VOICE_FIELDS]
)
_PHOTOS = pa.schema(
    {
        "identity_id": _TEXT,
        "url": _TEXT,
        "defect": _TEXT,  # null for a clean picture
        "yaw_deg": _REAL,  # of the person in front; null where nobody is seen
        "pitch_deg": _REAL,
        "roll_deg": _REAL,
        "expression": _TEXT,
        "light_azimuth_deg": _REAL,
        "light_harshness": _REAL,
        "pupils": pa.list_(_REAL),  # x, y of the left one in the picture, then of the right one, EXIF-upright pixels
        "pupil_px": _REAL,
        "width": _INT,  # EXIF-upright
        "height": _INT,
        "is_wrong_person": pa.bool_(),
        "duplicate_of": _INT,  # number of the repeated picture of the same person
    }
)
_CLIPS = pa.schema(
    {
        "identity_id": _TEXT,
        "video_id": _TEXT,
        "utterance": _TEXT,
        "path": _TEXT,
        "defect": _TEXT,
        "duration_s": _REAL,
        "speech": pa.list_(pa.list_(_REAL)),  # start and end of each planted stretch, seconds
    }
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What fixes every byte of a world."""

    people: int
    seed: int
    photos_per_person: int
    clips_per_person: int
    format: int = _FORMAT


def metadata(out: Path) -> Path:
    """The world's people, laid out like vox1_meta.csv."""
    return out / "meta.csv"


def url_list(out: Path) -> Path:
    """The world's pictures as identity_id,url,licence,page."""
    return out / "urls.csv"


def make_world(
    out: Path, people: int, seed: int, photos_per_person: int = 14, clips_per_person: int = 6, workers: int = 1
) -> None:
    """Write a world, or finish one that was interrupted; a finished one with the same recipe is left alone.

    Raises UsageError where the folder holds another world or anything else.
    """
    recipe = Recipe(people, seed, photos_per_person, clips_per_person)
    if _claim(out, recipe):
        return
    todo = [index for index in range(people) if not _part(out, draw_person(seed, index)).exists()]
    drawn = engine.map_shards(partial(_write_person, out, recipe), todo, workers, preload=(__name__,))
    console = Console(file=sys.stderr)
    shown = track(drawn, "world", total=len(todo), console=console, transient=True, disable=not console.is_terminal)
    for _ in shown:
        pass
    _finish(out, recipe)
    best = ", ".join(f"R@{rank} {100 * share:.0f} %" for rank, share in ceiling().items())
    console.print(
        f"world      {people} people, {people * photos_per_person} pictures, {people * clips_per_person} recordings "
        f"in {out}; best possible voice to face among 100: {best}",
        highlight=False,
        soft_wrap=True,
    )


def _claim(out: Path, recipe: Recipe) -> bool:
    """Take the folder for this recipe; True where it holds the finished world already."""
    wanted = json.dumps(asdict(recipe), indent=1, sort_keys=True) + "\n"
    started, done = out / _PARTS / "world.json", out / "world.json"
    for file in (done, started):
        if file.exists():
            if file.read_text(encoding="utf-8") != wanted:
                raise UsageError(f"{out} holds another world ({file} differs): delete the folder or name another one")
            return file == done
    if out.exists() and any(entry.name != _PARTS for entry in out.iterdir()):
        raise UsageError(f"{out} holds files that are no synthetic world: name an empty or new folder")
    write_text(started, wanted)
    return False


def _part(out: Path, person: Person) -> Path:
    return out / _PARTS / f"{person.person_id}.json"


def plan_defects(seed: int, index: int, photos: int) -> list[str | None]:
    """Return the defect of each of a person's pictures; neighbours in the world get different ones."""
    rng = np.random.default_rng([seed, index, 1_000_003])
    bad = photos - max(1, round(_CLEAN_SHARE * photos))
    # Going round the list, shuffled once per world, plants every kind equally often.
    order = np.random.default_rng([seed, 1_000_033]).permutation(len(DEFECTS))
    planted: list[str | None] = [DEFECTS[order[(index * bad + k) % len(DEFECTS)]] for k in range(bad)]
    rest = planted + [None] * (photos - 1 - bad)
    return [None, *(rest[k] for k in rng.permutation(len(rest)))]


def _write_person(out: Path, recipe: Recipe, index: int) -> None:
    """Write one person's pictures and recordings, then the note that says they are whole."""
    person = draw_person(recipe.seed, index)
    pictures = [
        _write_photo(out, person, number, take(recipe.seed, index, number, defect))
        for number, defect in enumerate(plan_defects(recipe.seed, index, recipe.photos_per_person))
    ]
    clips = [_write_clip(out, recipe.seed, index, person, number) for number in range(recipe.clips_per_person)]
    write_text(_part(out, person), json.dumps({"photos": pictures, "clips": clips}))


def _write_photo(out: Path, person: Person, number: int, shot: Shot) -> dict[str, Any]:
    file = out / "photos" / person.person_id / f"{number:03d}.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(shot.data)
    scene, photo = shot.scene, shot.photo
    seen = photo is not None and photo.pupil_px > 0
    return {
        "identity_id": person.person_id,
        "url": f"http://{HOST}/photos/{person.person_id}/{file.name}",
        "defect": shot.defect,
        "yaw_deg": scene.yaw_deg if seen else None,
        "pitch_deg": scene.pitch_deg if seen else None,
        "roll_deg": scene.roll_deg if seen else None,
        "expression": scene.expression if seen else None,
        "light_azimuth_deg": scene.light_azimuth_deg,
        "light_harshness": scene.light_harshness,
        "pupils": photo.pupils.ravel().tolist() if photo is not None and seen else None,
        "pupil_px": photo.pupil_px if photo is not None and seen else None,
        "width": photo.pixels.shape[1] if photo is not None else None,
        "height": photo.pixels.shape[0] if photo is not None else None,
        "is_wrong_person": shot.defect == "wrong_person",
        "duplicate_of": shot.duplicate_of,
    }


def _write_clip(out: Path, seed: int, index: int, person: Person, number: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, index, number, 2])
    video, utterance = divmod(number, _UTTERANCES_PER_VIDEO)
    defect: voices.Defect | None = None
    if rng.random() < _BAD_CLIP_SHARE:
        defect = get_args(voices.Defect)[rng.integers(len(get_args(voices.Defect)))]
    recording = voices.speak(person, int(rng.integers(2**31)), float(rng.uniform(4.0, 8.0)), defect)
    name = f"{person.person_id}-v{video:02d}"
    file = out / "voices" / person.person_id / name / f"{utterance + 1:05d}.wav"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(wav(recording.samples, recording.sample_rate))
    return {
        "identity_id": person.person_id,
        "video_id": name,
        "utterance": file.stem,
        "path": str(file.relative_to(out).as_posix()),
        "defect": defect,
        "duration_s": len(recording.samples) / recording.sample_rate,
        "speech": recording.speech.tolist(),
    }


def wav(samples: np.ndarray, rate: int) -> bytes:
    """Encode 16-bit mono samples as a RIFF file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def _finish(out: Path, recipe: Recipe) -> None:
    """Write the lists and the truth, then world.json, then remove the notes."""
    people = [draw_person(recipe.seed, index) for index in range(recipe.people)]
    parts = [json.loads(_part(out, person).read_text(encoding="utf-8")) for person in people]
    photos = [row for part in parts for row in part["photos"]]
    clips = [row for part in parts for row in part["clips"]]
    write_text(url_list(out), _table(("identity_id", "url", "licence", "page"), map(_url_row, photos), ","))
    head = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
    write_text(metadata(out), _table(head, [_meta_row(k, person) for k, person in enumerate(people)], "\t"))
    write_truth(out / "truth" / "people.parquet", [_person_row(person) for person in people], _PEOPLE)
    write_truth(out / "truth" / "photos.parquet", photos, _PHOTOS)
    write_truth(out / "truth" / "clips.parquet", clips, _CLIPS)
    started = out / _PARTS / "world.json"
    write_text(out / "world.json", started.read_text(encoding="utf-8"))
    for person in people:
        _part(out, person).unlink()
    started.unlink()
    started.parent.rmdir()


def _url_row(photo: dict[str, Any]) -> tuple[str, ...]:
    return photo["identity_id"], photo["url"], _LICENCE, f"http://{HOST}/people/{photo['identity_id']}"


def _meta_row(index: int, person: Person) -> tuple[str, ...]:
    dataset = "test" if index % 10 == 9 else "dev"
    return person.person_id, person.name.replace(" ", "_"), person.gender, person.nationality, dataset


def _person_row(person: Person) -> dict[str, Any]:
    traits = {name: getattr(person.face, name) for name in FACE_FIELDS}
    voice = {name: getattr(person.voice, name) for name in VOICE_FIELDS}
    plain = {"identity_id": person.person_id, "name": person.name, "gender": person.gender}
    return {**plain, "nationality": person.nationality, **traits, **voice}


def _table(head: Sequence[str], rows: Any, delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def write_truth(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as a Parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema), temporary)
    temporary.replace(path)
