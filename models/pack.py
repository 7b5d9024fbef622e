"""The manifest's shards, packed once into flat files that are mapped into memory: what every run trains from.

One folder per split, front end and picture size; a changed manifest packs anew. Each array is a plain .npy file.
"""

import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow.compute as pc
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from manifests import table
from manifests.errors import DataError, Missing
from manifests.schema import MANIFEST, mel_column
from models.encoders import MIN_FRAMES
from pipeline.frontend import PROFILES

_FORMAT = 1  # raise it when the files change
_ARRAYS = ("clip_start", "clip_frames", "clip_person", "clip_mean", "clip_std", "faces", "face_person")
_MAX_PIXELS = 4096 * 4096  # of a finished picture
_AT_ONCE = 256  # pictures decoded together
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Packed:
    """One split: people in order of their id, each with their recordings and faces side by side."""

    split: str
    profile: str
    people: tuple[str, ...]
    genders: tuple[str | None, ...]
    left_out: dict[str, int]  # people without one of the halves, by what they lack
    arrays: dict[str, NDArray[Any]]  # mapped from disk, read-only
    digest: str  # of the rows of the manifest and of its shards
    vad: str  # voice activity detection that the mels were cut by


def pack(manifest: Path, split: str, profile: str, side: int, cache: Path) -> Packed:
    """The packed split, made now unless it lies in `cache`.

    Faces are (n, 3, side, side) uint8, mels (all frames, bands) float16. People without a face or without speech are
    left out; but where `side` is 0 no picture is read, nobody needs one, and each has one without pixels.
    Raises Missing for a manifest or front end that is absent, DataError for a broken one, or where nobody is left.
    """
    table.expect(manifest, MANIFEST)
    digest = _digest(manifest)
    name = sha256(json.dumps([_FORMAT, digest, split, profile, side]).encode()).hexdigest()[:16]
    folder = cache / f"{split}-{profile}-{side}-{name}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{folder.name}.lock"):  # processes that train together pack once
        if not folder.exists():
            _write(manifest, split, profile, side, folder)
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in _ARRAYS}
        mels = np.memmap(folder / "mels.f16", "<f2", "r").reshape(-1, PROFILES[profile].bands)
        people, genders, left_out, vad = (facts[n] for n in ("people", "genders", "left_out", "vad"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} is damaged ({error}): delete it, it is packed anew") from error
    return Packed(split, profile, tuple(people), tuple(genders), left_out, arrays | {"mels": mels}, digest, vad)


def _digest(manifest: Path) -> str:
    """Of every row, payload included: mels that were made again leave the manifest's own rows as they were."""
    shards = sorted(set(table.read_table(manifest, ["shard"])["shard"].to_pylist()))
    return table.digest_of([table.rows_digest(p) for p in (manifest, *(_inside(manifest.parent, s) for s in shards))])


def _write(manifest: Path, split: str, profile: str, side: int, folder: Path) -> None:
    """Pack into a temporary folder and rename it: a killed run leaves nothing that looks finished.

    The caller holds the lock, so that a temporary folder that is there already is a killed run's.
    """
    listed = table.read_table(manifest)
    listed = listed.filter(pc.equal(listed["split"], split))
    rows = sorted(listed.to_pylist(), key=lambda row: (row["identity_id"], row["row_id"]))
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in ("face", "speech")}
    having = {kind: {row["identity_id"] for row in of} for kind, of in by_kind.items()}
    people = sorted(having["face"] & having["speech"] if side else having["speech"])
    if not people:
        told = "with both: nothing to pair" if side else "to listen to"
        raise DataError(
            f"{manifest}: split {split} has {len(having['face'])} people with a face and {len(having['speech'])} with "
            f"speech, none {told} (`manifest` in params.yaml holds the split's fractions)"
        )
    numbers = {person: number for number, person in enumerate(people)}
    faces, clips = ([row for row in by_kind[kind] if row["identity_id"] in numbers] for kind in ("face", "speech"))
    genders = {row["identity_id"]: row["gender"] for row in rows}
    facts = {
        "vad": _vad([_inside(manifest.parent, shard) for shard in sorted({row["shard"] for row in clips})], profile),
        "people": people,
        "genders": [genders[person] for person in people],
        "left_out": {
            "no face": len(having["speech"].difference(people)),
            "no speech": len(having["face"] - having["speech"]),
        },
    }
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        if side:
            _write_faces(manifest.parent, faces, side, temporary)
            owners = [numbers[row["identity_id"]] for row in faces]
        else:
            np.save(temporary / "faces.npy", np.empty((len(people), 3, 0, 0), np.uint8))
            owners = list(numbers.values())
        np.save(temporary / "face_person.npy", np.array(owners))
        _write_mels(manifest.parent, clips, profile, temporary)
        np.save(temporary / "clip_person.npy", np.array([numbers[row["identity_id"]] for row in clips]))
        table.write_text(temporary / "facts.json", json.dumps(facts))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _inside(root: Path, shard: str) -> Path:
    """The path of a shard that a manifest names; it may not lead out of the manifest's folder."""
    path = PurePosixPath(shard)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"the manifest points to shard {shard!r}: expected a path below its own folder")
    return root / path


def _vad(shards: Sequence[Path], profile: str) -> str:
    """The voice activity detection of a front end, as the stage recorded it; the same in every shard."""
    found = set()
    for shard in shards:
        settings = table.provenance(shard).get("settings", {})
        by_profile = dict(zip(settings.get("profiles", ()), settings.get("vads", ()), strict=False))
        if profile not in by_profile:
            raise Missing(
                f"{shard} was made without front end {profile}, which this experiment needs: add it to "
                "`voices.profiles` (and its VAD to `voices.vads`) in params.yaml, then `pipeline run voices manifest`"
            )
        found.add(str(by_profile[profile]))
    if len(found) > 1:
        raise DataError(f"{shards[0].parent} was made with several VADs, {sorted(found)}: run `pipeline run voices`")
    return found.pop()


def _payload(root: Path, rows: Sequence[Row], column: str) -> Iterator[tuple[int, bytes]]:
    """(place in `rows`, bytes) of a payload column, shard by shard."""
    places = {row["row_id"]: place for place, row in enumerate(rows)}
    if len(places) < len(rows):
        raise DataError(f"the manifest names {len(rows) - len(places)} rows twice: run `pipeline validate` on it")
    for shard in sorted({row["shard"] for row in rows}):
        path = _inside(root, shard)
        wanted = [row["row_id"] for row in rows if row["shard"] == shard]
        found = 0
        for row_id, values in table.read_payload(path, [column], wanted):
            found += 1
            if values[column] is None:
                raise DataError(f"{path}: row {row_id} has no {column}")
            yield places[row_id], values[column]
        if found != len(wanted):
            raise DataError(
                f"{path} holds {found} of the {len(wanted)} rows that the manifest names: run `pipeline "
                "validate` on the manifest, then `pipeline run`"
            )


def _write_faces(root: Path, rows: Sequence[Row], side: int, folder: Path) -> None:
    out = np.lib.format.open_memmap(folder / "faces.npy", "w+", np.uint8, (len(rows), 3, side, side))
    with (folder / "faces.npy").open("r+b") as file:  # a full disk is an error here, and a killing signal later
        os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        payload = _payload(root, rows, "image")
        while chunk := list(islice(payload, _AT_ONCE)):
            decoded = pool.map(lambda item: _face(item[1], side, rows[item[0]]["row_id"]), chunk)
            for (place, _), face in zip(chunk, decoded, strict=True):
                out[place] = face
    out.flush()


def _face(data: bytes, side: int, row_id: str) -> NDArray[np.uint8]:
    """A picture as (3, side, side), reduced bilinearly over all its pixels, as the released code does."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise DataError(f"face {row_id} has {image.width} x {image.height} pixels: at most {_MAX_PIXELS}")
            small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"face {row_id} cannot be decoded ({error}): run the pipeline again") from error
    return np.asarray(small).transpose(2, 0, 1)


def _write_mels(root: Path, rows: Sequence[Row], profile: str, folder: Path) -> None:
    """All frames in one long file, recording after recording, with each one's mean and deviation per band."""
    bands, column = PROFILES[profile].bands, mel_column(profile).name
    start, frames = np.empty((2, len(rows)), np.int64)
    mean, deviation = np.empty((2, len(rows), bands), np.float32)
    written = 0
    with (folder / "mels.f16").open("wb") as out:
        for place, data in _payload(root, rows, column):
            row_id = rows[place]["row_id"]
            if len(data) % (2 * bands):
                raise DataError(
                    f"recording {row_id}: {len(data)} bytes in {column} are no whole frames of {bands} bands: run "
                    "`pipeline run voices`"
                )
            mel = np.frombuffer(data, "<f2").reshape(-1, bands)
            if len(mel) < MIN_FRAMES:
                raise DataError(
                    f"recording {row_id} has {len(mel)} frames, expected {MIN_FRAMES} or more: raise "
                    "voices.min_voiced_s"
                )
            if not np.isfinite(mel).all():
                raise DataError(
                    f"recording {row_id} has values in {column} that are not finite: run `pipeline run voices`"
                )
            out.write(data)
            start[place], frames[place] = written, len(mel)
            mean[place], deviation[place] = mel.mean(axis=0, dtype=np.float64), mel.std(axis=0, dtype=np.float64)
            written += len(mel)
    for name, array in (("clip_start", start), ("clip_frames", frames), ("clip_mean", mean), ("clip_std", deviation)):
        np.save(folder / f"{name}.npy", array)
