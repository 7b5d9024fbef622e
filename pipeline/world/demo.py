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
from shutil import rmtree
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from manifests.errors import UsageError
from manifests.table import write_text
from pipeline import engine
from pipeline.world import truth, voices
from pipeline.world.ceiling import ceiling
from pipeline.world.defects import DEFECTS, Shot, take
from pipeline.world.traits import Person, double_of, listed_person

HOST = "world.test"  # the name under which the loopback server is asked for the photographs
_LICENCE = "CC0-1.0"
_UTTERANCES_PER_VIDEO = 3
_CLEAN_SHARE = 0.57  # of a person's pictures; the first is always clean
_BAD_CLIP_SHARE = 0.08
_CLIP_S = (4.0, 8.0)  # seconds, shortest and longest recording
_PARTS = "parts"  # folder of finished people while a world is being made
_FORMAT = 2  # raise it when the same parameters give another world


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

    Raises UsageError for a negative seed and where the folder holds another world or anything else.
    """
    if seed < 0:
        raise UsageError(f"seed {seed}: expected 0 or more")
    recipe = Recipe(people, seed, photos_per_person, clips_per_person)
    if _claim(out, recipe):
        return
    todo = [index for index in range(people) if not _part(out, listed_person(seed, index)).exists()]
    drawn = engine.map_shards(partial(_write_person, out, recipe), todo, workers)
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
            if file == done:
                rmtree(out / _PARTS, ignore_errors=True)  # left behind if it was stopped in its last moment
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
    person = listed_person(recipe.seed, index)
    pictures = [
        _write_photo(out, person, number, take(recipe.seed, index, number, defect))
        for number, defect in enumerate(plan_defects(recipe.seed, index, recipe.photos_per_person))
    ]
    clips = [_write_clip(out, recipe.seed, index, person, number) for number in range(recipe.clips_per_person)]
    write_text(_part(out, person), json.dumps({"photos": pictures, "clips": clips}))


def _write_photo(out: Path, person: Person, number: int, shot: Shot) -> dict[str, Any]:
    path = Path("photos", person.person_id, f"{number:03d}.jpg")
    _write(out / path, shot.data)
    return truth.photo_row(person, f"http://{HOST}/{path.as_posix()}", shot)


def _write_clip(out: Path, seed: int, index: int, person: Person, number: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, index, number, 2])
    video, utterance = divmod(number, _UTTERANCES_PER_VIDEO)
    defect: voices.Defect | None = None
    if rng.random() < _BAD_CLIP_SHARE:
        defect = get_args(voices.Defect)[rng.integers(len(get_args(voices.Defect)))]
    recording = voices.speak(person, int(rng.integers(2**31)), float(rng.uniform(*_CLIP_S)), defect)
    path = Path("voices", person.person_id, f"{person.person_id}-v{video:02d}", f"{utterance + 1:05d}.wav")
    _write(out / path, wav(recording.samples, recording.sample_rate))
    return truth.clip_row(person, path, recording)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def wav(samples: NDArray[np.int16], rate: int) -> bytes:
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
    people = [listed_person(recipe.seed, index) for index in range(recipe.people)]
    parts = [json.loads(_part(out, person).read_text(encoding="utf-8")) for person in people]
    photos = [row for part in parts for row in part["photos"]]
    clips = [row for part in parts for row in part["clips"]]
    write_text(url_list(out), _table(("identity_id", "url", "licence", "page"), map(_url_row, photos), ","))
    head = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
    write_text(metadata(out), _table(head, [_meta_row(k, person) for k, person in enumerate(people)], "\t"))
    doubles = {k: people[other].person_id for k in range(len(people)) if (other := double_of(k)) is not None}
    rows = [truth.person_row(person, doubles.get(k)) for k, person in enumerate(people)]
    truth.write(out / "truth" / "people.parquet", rows, truth.PEOPLE)
    truth.write(out / "truth" / "photos.parquet", photos, truth.PHOTOS)
    truth.write(out / "truth" / "clips.parquet", clips, truth.CLIPS)
    write_text(out / "world.json", (out / _PARTS / "world.json").read_text(encoding="utf-8"))
    rmtree(out / _PARTS)


def _url_row(photo: dict[str, Any]) -> tuple[str, ...]:
    return photo["identity_id"], photo["url"], _LICENCE, f"http://{HOST}/people/{photo['identity_id']}"


def _meta_row(index: int, person: Person) -> tuple[str, ...]:
    dataset = "test" if index % 10 == 9 else "dev"
    return person.person_id, person.name.replace(" ", "_"), person.gender, person.nationality, dataset


def _table(head: Sequence[str], rows: Any, delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()
