"""The log-mel of the SF2F profile on every clip, against a slow reading of its description."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import speech, vad
from pipeline.frontend import PROFILES, Samples, mel, to_float16
from stages.accuracy.finding import Aim, Finding, Unmeasured, share
from stages.accuracy.labelled import files
from stages.accuracy.voicing import authors_voiced

_STAGE = "mel"
_MAX_S = 3600.0  # of a recording
_BANDS, _WINDOW, _HOP, _POINTS = 40, 400, 160, 512  # bands; samples, samples, points of the transform
_TOLERANCE_64, _TOLERANCE_32 = 1e-9, 2e-3  # of a natural logarithm
Real = NDArray[np.floating[Any]]


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Shares of the clips of `speech/` whose mel agrees, and by how much it departs; of the voiced part, as stored."""
    profile = PROFILES["sf2f"]
    off_64, off_32, counts, voiced, rounded = [], [], [], [], []
    for file in files(data, "speech"):
        samples = speech.decode(file.path.read_bytes(), _MAX_S).samples
        kept = vad.voiced(samples, vad.segments(samples, "sf2f"))
        voiced.append(kept.tobytes() == authors_voiced(samples, vad.COLLECTORS["sf2f"]))
        for part in (samples, kept) if len(kept) else (samples,):
            expected, fast = reference(part), mel(part, profile)
            counts.append(fast.shape == expected.shape)
            off_64.append(float(np.abs(mel(part, profile, np.float64) - expected).max()))
            off_32.append(float(np.abs(fast - expected).max()))
            rounded.append(is_rounded(to_float16(fast), fast))
    if not counts:
        yield Unmeasured(_STAGE, "mel", "the data has no recordings in speech/")
        return
    parts = "clips and their voiced parts"
    for what, off, tolerance in (("float64", off_64, _TOLERANCE_64), ("float32", off_32, _TOLERANCE_32)):
        within = [value <= tolerance for value in off]
        yield _all(f"{what} within {tolerance:g} of an independent reading", parts, within, f"at most {max(off):.1e}")
    yield _all("number of frames as published", parts, counts)
    yield _all("voiced part equal to the authors' VAD, byte for byte", "clips", voiced)
    yield _all("stored float16 is the value rounded", parts, rounded)


def _all(what: str, on: str, right: list[bool], note: str = "") -> Finding:
    return Finding(_STAGE, what, on, len(right), share(sum(right), len(right)), "%", Aim(">=", 1.0), note)


def is_rounded(stored: bytes, values: Real) -> bool:
    """Whether the little-endian float16 are the nearest to the values: no neighbour lies closer."""
    halves = np.frombuffer(stored, "<f2").astype(np.float16).reshape(values.shape)
    distance = np.abs(halves.astype(np.float64) - values)
    return all(
        bool(np.all(distance <= np.abs(np.nextafter(halves, np.float16(side)).astype(np.float64) - values)))
        for side in (-np.inf, np.inf)
    )


def reference(samples: Samples) -> NDArray[np.float64]:
    """The published front end as its description reads, in float64: an explicit Fourier sum and filters one by one.

    Samples are taken as they are (int16, not scaled); frames x 40.
    """
    signal = samples.astype(np.float64)
    emphasised = np.concatenate([signal[:1], signal[1:] - 0.97 * signal[:-1]])
    frames = 1 if len(signal) <= _WINDOW else 1 + int(np.ceil((len(signal) - _WINDOW) / _HOP))
    padded = np.concatenate([emphasised, np.zeros((frames - 1) * _HOP + _WINDOW - len(signal))])
    cut = np.stack([padded[at * _HOP : at * _HOP + _WINDOW] for at in range(frames)])
    turns = np.outer(np.arange(_WINDOW), np.arange(_POINTS // 2 + 1)) % _POINTS  # exact, where the angle is not
    angle = 2 * np.pi * turns / _POINTS
    power = ((cut @ np.cos(angle)) ** 2 + (cut @ np.sin(angle)) ** 2) / _POINTS
    energy = power @ np.stack([_filter(band) for band in range(_BANDS)], axis=1)
    return np.log(np.where(energy == 0.0, np.finfo(np.float64).eps, energy))


def _filter(band: int) -> NDArray[np.float64]:
    """A triangle of height 1 between corners equally far apart in mel (HTK), each rounded down to a bin."""
    highest_mel = 2595 * np.log10(1 + 8000 / 700)
    mels = [highest_mel * (band + side) / (_BANDS + 1) for side in range(3)]
    left, centre, right = (int((_POINTS + 1) * 700 * (10 ** (m / 2595) - 1) / speech.SAMPLE_RATE) for m in mels)
    weights = np.zeros(_POINTS // 2 + 1)
    for at in range(left, centre):
        weights[at] = (at - left) / (centre - left)
    for at in range(centre, right):
        weights[at] = (right - at) / (right - centre)
    return weights
