"""The truth about a synthetic world: what each person, picture and recording really is, as three Parquet tables."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.world.defects import Shot
from pipeline.world.traits import FACE_FIELDS, VOICE_FIELDS, Person
from pipeline.world.voices import Recording

_TEXT, _REAL, _INT = pa.string(), pa.float64(), pa.int32()
PEOPLE = pa.schema(
    [(name, _TEXT) for name in ("identity_id", "name", "gender", "nationality", "double_of")]
    + [(name, _REAL) for name in FACE_FIELDS + VOICE_FIELDS]
)
PHOTOS = pa.schema(
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
CLIPS = pa.schema(
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


def person_row(person: Person, double_of: str | None) -> dict[str, Any]:
    """A row of PEOPLE; `double_of` is whom the person looks like."""
    traits = {name: getattr(person.face, name) for name in FACE_FIELDS}
    voice = {name: getattr(person.voice, name) for name in VOICE_FIELDS}
    plain = {"identity_id": person.person_id, "name": person.name, "gender": person.gender}
    return {**plain, "nationality": person.nationality, "double_of": double_of, **traits, **voice}


def photo_row(person: Person, url: str, shot: Shot) -> dict[str, Any]:
    """A row of PHOTOS."""
    scene, photo = shot.scene, shot.photo
    row: dict[str, Any] = dict.fromkeys(PHOTOS.names) | {
        "identity_id": person.person_id,
        "url": url,
        "defect": shot.defect,
        "light_azimuth_deg": scene.light_azimuth_deg,
        "light_harshness": scene.light_harshness,
        "is_wrong_person": shot.defect == "wrong_person",
        "duplicate_of": shot.duplicate_of,
    }
    if photo is not None:
        row |= {"width": photo.pixels.shape[1], "height": photo.pixels.shape[0]}
        if photo.pupil_px > 0:
            row |= {name: getattr(scene, name) for name in ("yaw_deg", "pitch_deg", "roll_deg", "expression")}
            row |= {"pupils": photo.pupils.ravel().tolist(), "pupil_px": photo.pupil_px}
    return row


def clip_row(person: Person, path: Path, recording: Recording) -> dict[str, Any]:
    """A row of CLIPS; `path` is <voices>/<person>/<video>/<utterance>.wav below the world's folder."""
    return {
        "identity_id": person.person_id,
        "video_id": path.parent.name,
        "utterance": path.stem,
        "path": path.as_posix(),
        "defect": recording.defect,
        "duration_s": len(recording.samples) / recording.sample_rate,
        "speech": recording.speech.tolist(),
    }


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as a Parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema), temporary)
    temporary.replace(path)
