"""Turn recordings into voiced 16 kHz speech and log-mel spectrograms, one row per recording."""

import hashlib
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.errors import Missing, UsageError
from manifests.schema import VOICES, Table, mel_column, segments_column
from manifests.table import digest_of
from pipeline import identities, speech, vad
from pipeline.frontend import PROFILES, mel, to_float16
from pipeline.names import row_id, sample_id
from pipeline.recordings import Found, Layout, find
from pipeline.shard import FAILED
from pipeline.stage import Context, Drop, Row, ShardStage


@dataclass(frozen=True, slots=True)
class Settings:
    """The `voices` section of params.yaml."""

    roots: tuple[Path, ...] = ()  # folders of recordings
    layout: Layout = "auto"  # voxceleb: <speaker>/<video>/<utterance>; folder: <speaker>/...; auto: either
    metadata: tuple[Path, ...] = ()  # who the speakers are: VoxCeleb's files, or a CSV with identity_id
    profiles: tuple[str, ...] = ("sf2f",)  # front ends, one mel column each; the first counts the frames
    vads: tuple[str, ...] = ("sf2f",)  # voice activity detection of each profile, in the same order
    min_voiced_s: float = 0.3  # seconds of speech by the first profile's VAD; a recording with less is dropped
    max_duration_s: float = 3600.0  # seconds; a longer recording is dropped
    max_bytes: int = 1 << 30  # of a file; a larger one is dropped unread
    keep_audio: bool = True  # store the voiced part as FLAC

    def __post_init__(self) -> None:
        faults = [
            f"voices.{field}: unknown {name!r}; valid: {', '.join(valid)}"
            for field, names, valid in (("profiles", self.profiles, PROFILES), ("vads", self.vads, vad.VADS))
            for name in names
            if name not in valid
        ]
        if not self.profiles or len(self.profiles) != len(self.vads):
            faults.append(f"voices: {len(self.profiles)} profiles and {len(self.vads)} vads; expected one vad for each")
        if len(set(self.profiles)) != len(self.profiles):
            faults.append("voices.profiles: each may be named once")
        if faults:
            raise UsageError("\n".join(faults))


def writes(settings: Settings) -> Table:
    """The voices table with a mel column per profile and a segments column per VAD."""
    mels = tuple(mel_column(name) for name in settings.profiles)
    segments = tuple(segments_column(name) for name in dict.fromkeys(settings.vads))
    return replace(VOICES, columns=(*VOICES.columns, *mels, *segments))


def list_rows(settings: Settings, _context: Context) -> list[Row]:
    """Every recording under the roots, with the person it belongs to."""
    absent = [str(root) for root in settings.roots if not root.is_dir()]
    if absent:
        raise Missing(f"voices.roots: no folder {', '.join(absent)}; make the demo's by `pipeline demo`, or name yours")
    people = identities.load(settings.metadata)
    return [_listed(found, people) for root in settings.roots for found in find(root, settings.layout)]


def _listed(found: Found, people: identities.Identities) -> Row:
    person = people.resolve(found.speaker) if found.speaker else identities.Identity("")
    # A file name may hold bytes that are no text; tables only hold text.
    source = found.path.as_posix().encode("utf-8", "backslashreplace").decode()
    return {
        "identity_id": person.identity_id,
        "name": person.name,
        "gender": person.gender,
        "nationality": person.nationality,
        "row_id": row_id(person.identity_id, source),
        "source": source,
        "path": os.fspath(found.path),
        "video_id": found.video_id,
        "utterance": found.utterance,
    }


def fingerprint(rows: Sequence[Row], _settings: Settings, _context: Context) -> str:
    """Digest of every file: a replaced recording is noticed, and reading costs little beside decoding."""
    return digest_of([_digest(Path(row["path"])) for row in rows])


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return type(error).__name__


def process(rows: Sequence[Row], settings: Settings, _context: Context) -> list[Row | Drop]:
    """Decode, find the speech, compute the spectrograms."""
    return [_process(row, settings) for row in rows]


def _process(row: Row, settings: Settings) -> Row | Drop:
    if not row["identity_id"]:
        return Drop("no_speaker_folder", detail=f"layout {settings.layout}")
    path = Path(row["path"])
    try:
        size = path.stat().st_size
        if size > settings.max_bytes:
            return Drop("too_many_bytes", size, settings.max_bytes)
        data = path.read_bytes()
        recording = speech.decode(data, settings.max_duration_s)
    except OSError as error:
        return Drop("unreadable_file", detail=f"{type(error).__name__}: {error.strerror}")
    except speech.Unreadable as fault:
        return Drop(fault.reason, detail=str(fault))
    try:
        return _voiced_row(row, hashlib.sha256(data).hexdigest(), recording, settings)
    except Exception:  # noqa: BLE001  # one bad recording must not cost its neighbours
        return Drop(FAILED, detail=" | ".join(traceback.format_exc().strip().splitlines()[-3:]))


def _voiced_row(row: Row, sha256: str, recording: speech.Speech, settings: Settings) -> Row | Drop:
    spans = {name: vad.segments(recording.samples, name) for name in dict.fromkeys(settings.vads)}
    voiced = {name: vad.voiced(recording.samples, spans[name]) for name in spans}
    first = voiced[settings.vads[0]]
    duration_s = len(first) / speech.SAMPLE_RATE
    if duration_s < settings.min_voiced_s or len(first) == 0:
        return Drop("no_speech", duration_s, settings.min_voiced_s)
    mels = [
        mel(voiced[name], PROFILES[profile]) for profile, name in zip(settings.profiles, settings.vads, strict=True)
    ]
    facts = {name: row[name] for name in VOICES.names if name in row}
    return {
        **facts,
        "sample_id": sample_id(row["identity_id"], sha256),
        "licence": None,
        "sha256": sha256,
        "source_rate": recording.source_rate,
        "source_duration_s": recording.source_duration_s,
        "duration_s": duration_s,
        "n_frames": len(mels[0]),
        "audio": speech.encode_flac(first) if settings.keep_audio else None,
        **{mel_column(name).name: to_float16(values) for name, values in zip(settings.profiles, mels, strict=True)},
        **{
            segments_column(name).name: [edge / speech.SAMPLE_RATE for span in spans[name] for edge in span]
            for name in spans
        },
    }


STAGE = ShardStage(
    "voices", writes=writes, settings=Settings, process=process, list_rows=list_rows, fingerprint=fingerprint
)
