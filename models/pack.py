"""The manifest's shards, packed once into flat files that are mapped into memory: what every run trains from.

One folder per split, front end and picture size; a changed manifest packs anew. Each array is a plain .npy file.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from filelock import FileLock
from numpy.typing import NDArray

from manifests import table
from manifests.errors import DataError, Missing
from manifests.schema import MANIFEST
from models import pack_faces, pack_voices, payload
from pipeline.frontend import WAVE

_FORMAT = 2  # raise it when the files change
_ARRAYS = (*pack_voices.ARRAYS, "clip_person", *pack_faces.ARRAYS, "face_person")


@dataclass(frozen=True, slots=True)
class Packed:
    """One split: people in order of their id, each with their recordings and faces side by side."""

    split: str
    profile: str
    people: tuple[str, ...]
    genders: tuple[str | None, ...]
    nationalities: tuple[str | None, ...]
    left_out: dict[str, int]  # people without one of the halves, by what they lack
    arrays: dict[str, NDArray[Any]]  # mapped from disk, read-only
    digest: str  # of the rows of the manifest and of its shards
    vad: str  # voice activity detection that the recordings were cut by


def pack(manifest: Path, split: str, profile: str, side: int, cache: Path) -> Packed:
    """The packed split, made now unless it lies in `cache`.

    Faces are (n, 3, side, side) uint8 and their landmarks (n, 68, 2) float32, mels (all frames, bands) float16, or
    frames of the waveform int16. People without a face or without speech are left out; but where `side` is 0 no picture
    is read, nobody needs one, and each has one without pixels. Raises Missing for a manifest, front end or package that
    is absent, DataError for a broken manifest, or where nobody is left.
    """
    table.expect(manifest, MANIFEST)
    digest = digest_of(manifest)
    name = sha256(json.dumps([_FORMAT, digest, split, profile, side]).encode()).hexdigest()[:16]
    folder = cache / f"{split}-{profile}-{side}-{name}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{folder.name}.lock"):  # processes that train together pack once
        if not folder.exists():
            _write(manifest, split, profile, side, folder)
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in _ARRAYS}
        mels = pack_voices.read(folder, profile)
        people, genders, nationalities = (tuple(facts[n]) for n in ("people", "genders", "nationalities"))
        left_out, vad = facts["left_out"], facts["vad"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} is damaged ({error}): delete it, it is packed anew") from error
    return Packed(split, profile, people, genders, nationalities, left_out, arrays | {"mels": mels}, digest, vad)


def digest_of(manifest: Path) -> str:
    """Of every row, payload included: mels that were made again leave the manifest's own rows as they were.

    Raises Missing and DataError for a manifest or shards that are absent or broken.
    """
    shards = sorted(set(table.read_table(manifest, ["shard"])["shard"].to_pylist()))
    return table.digest_of(
        [table.rows_digest(p) for p in (manifest, *(payload.inside(manifest.parent, s) for s in shards))]
    )


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
    known = {row["identity_id"]: row for row in rows}
    facts = {
        "vad": _vad(
            [payload.inside(manifest.parent, shard) for shard in sorted({row["shard"] for row in clips})], profile
        ),
        "people": people,
        "genders": [known[person]["gender"] for person in people],
        "nationalities": [known[person]["nationality"] for person in people],
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
            pack_faces.write(manifest.parent, faces, side, temporary)
            owners = [numbers[row["identity_id"]] for row in faces]
        else:
            pack_faces.write_none(len(people), temporary)
            owners = list(numbers.values())
        np.save(temporary / "face_person.npy", np.array(owners))
        pack_voices.write(manifest.parent, clips, profile, temporary)
        np.save(temporary / "clip_person.npy", np.array([numbers[row["identity_id"]] for row in clips]))
        table.write_text(temporary / "facts.json", json.dumps(facts))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _vad(shards: Sequence[Path], profile: str) -> str:
    """The voice activity detection of a front end, as the stage recorded it; the same in every shard.

    A waveform is what the first profile's leaves.
    """
    found = set()
    lacking = (
        "set `voices.keep_audio` to true"
        if profile == WAVE
        else "add it to `voices.profiles`, its VAD to `voices.vads`"
    )
    for shard in shards:
        settings = table.provenance(shard).get("settings", {})
        by_profile = dict(zip(settings.get("profiles", ()), settings.get("vads", ()), strict=False))
        if by_profile and settings.get("keep_audio", True):
            by_profile[WAVE] = next(iter(by_profile.values()))
        if profile not in by_profile:
            raise Missing(
                f"{shard} was made without front end {profile}, which this experiment needs: {lacking} in params.yaml, "
                "then `pipeline run voices manifest`"
            )
        found.add(str(by_profile[profile]))
    if len(found) > 1:
        raise DataError(f"{shards[0].parent} was made with several VADs, {sorted(found)}: run `pipeline run voices`")
    return found.pop()
