"""Turn recordings into voiced 16 kHz speech and log-mel spectrograms, one row per recording."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifests import removals
from manifests.errors import Missing, UsageError
from manifests.removals import REMOVED, Removals
from manifests.schema import VOICES, Table, mel_column, segments_column
from manifests.settings import MoreThanZero, NotNegative, Positive
from manifests.table import digest_of
from pipeline import identities, speech, vad
from pipeline.crawl.sources import source_of
from pipeline.frontend import PROFILES, mel, to_float16
from pipeline.names import row_id, sample_id
from pipeline.recordings import Found, Layout, find
from pipeline.stage import UNREADABLE_FILE, Context, Drop, Row, ShardStage, failure


@dataclass(frozen=True, slots=True)
class Settings:
    """The `voices` section of params.yaml."""

    roots: tuple[Path, ...] = ()  # folders of recordings
    layout: Layout = "auto"  # voxceleb: <speaker>/<video>/<utterance>; folder: <speaker>/...; auto: either
    metadata: tuple[Path, ...] = ()  # who the speakers are: VoxCeleb's files, or a CSV with identity_id
    profiles: tuple[str, ...] = ("sf2f",)  # front ends, one mel column each; the first counts the frames
    vads: tuple[str, ...] = ("sf2f",)  # voice activity detection of each profile, in the same order
    min_voiced_s: NotNegative = 0.3  # seconds of speech by the first profile's VAD; a recording with less is dropped
    max_duration_s: MoreThanZero = 3600.0  # seconds; a longer recording is dropped
    max_bytes: Positive = 1 << 30  # of a file; a larger one is dropped unread
    keep_audio: bool = True  # store the voiced part as FLAC
    removals: Path | None = None  # the salted list of what must never come back

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
    """Every recording under the roots, with the person it belongs to; `fault` says why one is not to be read."""
    absent = [str(root) for root in settings.roots if not root.is_dir()]
    if absent:
        raise Missing(f"voices.roots: no folder {', '.join(absent)}; make the demo's by `pipeline demo`, or name yours")
    people = identities.load(settings.metadata)
    removed = removals.load(settings.removals)
    rows: dict[str, Row] = {}
    again: list[Row] = []
    times: Counter[str] = Counter()  # further listings of a row
    for root in settings.roots:
        for found in find(root, settings.layout):
            row = _listed(found, root, people, removed)
            if row["row_id"] in rows:
                times[row["row_id"]] += 1
                twin = row_id(row["row_id"], f"once more: {times[row['row_id']]}")
                again.append(row | {"fault": "duplicate_address", "row_id": twin})
            else:
                rows[row["row_id"]] = row
    return [*rows.values(), *again]


def _listed(found: Found, root: Path, people: identities.Identities, removed: Removals) -> Row:
    person = people.resolve(found.speaker) if found.speaker else identities.Identity("")
    source = source_of(found.path.relative_to(root))  # not the root: a moved folder keeps its rows
    fault = None if found.speaker else "no_speaker_folder"
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
        "fault": REMOVED if removed.blocks(person.identity_id, source) else fault,
    }


def fingerprint(rows: Sequence[Row], settings: Settings, _context: Context) -> str:
    """Digest of every file: a replaced recording is noticed, and reading costs little beside decoding."""
    digests = [_digest(Path(row["path"])) for row in rows]
    removed = removals.load(settings.removals)
    return digest_of([digests, [removed.blocks(sha256=digest) for digest in digests]])


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return type(error).__name__


def process(rows: Sequence[Row], settings: Settings, _context: Context) -> list[Row | Drop]:
    """Decode, find the speech, compute the spectrograms."""
    removed = removals.load(settings.removals)
    first: dict[str, str] = {}
    results: list[Row | Drop] = []
    for row in rows:
        result = Drop(row["fault"]) if row["fault"] else _process(row, settings, removed)
        if not isinstance(result, Drop):
            same = first.setdefault(result["sample_id"], row["row_id"])
            if same != row["row_id"]:
                result = Drop("duplicate", detail=f"the same bytes as row {same}")
        results.append(result)
    return results


def _process(row: Row, settings: Settings, removed: Removals) -> Row | Drop:
    path = Path(row["path"])
    try:
        size = path.stat().st_size
        if size > settings.max_bytes:
            return Drop("too_many_bytes", size, settings.max_bytes)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if removed.blocks(sha256=sha256):
            return Drop(REMOVED, detail="the content")
        recording = speech.decode(data, settings.max_duration_s)
    except OSError as error:
        return Drop(UNREADABLE_FILE, detail=f"{type(error).__name__}: {error.strerror}")
    except speech.Unreadable as fault:
        return Drop(fault.reason, detail=str(fault))
    try:
        return _voiced_row(row, sha256, recording, settings)
    except Exception as error:  # noqa: BLE001  # one bad recording must not cost its neighbours
        return failure(error)


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
