"""Pack voices: frames of mels or of the waveform, all recordings in one long file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DataError, Missing
from manifests.schema import mel_column
from models import payload
from models.encoders import MIN_FRAMES
from models.payload import Row
from pipeline.frontend import WAVE, waveform, width

ARRAYS = ("clip_start", "clip_frames", "clip_mean", "clip_std")
FRAMES = "frames.bin"
_LONGEST_S = 86_400.0  # of the voiced part of a recording
_AUDIO = "audio"


def read(folder: Path, front_end: str) -> NDArray[Any]:
    """Every frame that `write` wrote, mapped: (n, bands) float16, or (n, HOP) int16 of the waveform."""
    return np.memmap(folder / FRAMES, _type(front_end), "r").reshape(-1, width(front_end))


def write(root: Path, rows: Sequence[Row], front_end: str, folder: Path) -> None:
    """All frames in one long file, recording after recording; of mels, each recording's mean and deviation per band."""
    column = _AUDIO if front_end == WAVE else mel_column(front_end).name
    bands = 0 if front_end == WAVE else width(front_end)  # a waveform has none
    start, frames = np.empty((2, len(rows)), np.int64)
    mean, deviation = np.empty((2, len(rows), bands), np.float32)
    written = 0
    with (folder / FRAMES).open("wb") as out:
        for place, values in payload.read(root, rows, column):
            row_id, data = rows[place]["row_id"], values[column]
            found = _waveform(data, row_id) if front_end == WAVE else _mel(data, front_end, row_id)
            if len(found) < MIN_FRAMES:
                raise DataError(
                    f"recording {row_id} has {len(found)} frames, expected {MIN_FRAMES} or more: raise "
                    "voices.min_voiced_s"
                )
            out.write(found.tobytes())
            start[place], frames[place] = written, len(found)
            if bands:
                mean[place], deviation[place] = (
                    found.mean(axis=0, dtype=np.float64),
                    found.std(axis=0, dtype=np.float64),
                )
            written += len(found)
    arrays: tuple[NDArray[Any], ...] = (start, frames, mean, deviation)
    for name, array in zip(ARRAYS, arrays, strict=True):
        np.save(folder / f"{name}.npy", array)


def _type(front_end: str) -> str:
    return "<i2" if front_end == WAVE else "<f2"


def _mel(data: bytes, profile: str, row_id: str) -> NDArray[np.float16]:
    """A recording's log-mel, (frames, bands)."""
    bands, column = width(profile), mel_column(profile).name
    if len(data) % (2 * bands):
        raise DataError(
            f"recording {row_id}: {len(data)} bytes in {column} are no whole frames of {bands} bands: run "
            "`pipeline run voices`"
        )
    mel = np.frombuffer(data, _type(profile)).reshape(-1, bands)
    if not np.isfinite(mel).all():
        raise DataError(f"recording {row_id} has values in {column} that are not finite: run `pipeline run voices`")
    return mel


def _waveform(data: bytes, row_id: str) -> NDArray[np.int16]:
    """A recording's voiced speech as frames."""
    try:
        from pipeline import speech  # reads sound, which the core packages do not
    except ImportError as error:
        raise Missing(f"{error}: shards hold waveforms as FLAC, to read them: pip install soundfile") from error
    try:
        samples = speech.decode(data, _LONGEST_S).samples
    except speech.Unreadable as error:
        raise DataError(
            f"recording {row_id}: {_AUDIO} cannot be decoded ({error}): run `pipeline run voices`"
        ) from error
    return waveform(samples.astype("<i2"))
