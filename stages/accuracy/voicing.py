"""Voiced or not: the authors' segments byte for byte, and the frames that each detector gets wrong."""

import collections
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from pipeline import vad
from pipeline.speech import SAMPLE_RATE, decode
from pipeline.vad import Collector, Samples
from stages.accuracy.finding import Aim, Finding, Unmeasured, bootstrap, share
from stages.accuracy.labelled import files

_STAGE = "voiced or not"
_MAX_S = 3600.0  # of a recording
_FRAME = SAMPLE_RATE // 100  # samples; errors are counted in frames of 10 ms
_SILENT = ("nonspeech", "corrupt_or_empty")  # labels of recordings that hold no speech
_SNR_DB = 20.0  # of the noise that is mixed in
_GAIN = 0.1  # 20 dB down
Spans = list[tuple[float, float]]  # seconds
Flags = NDArray[np.bool_]  # one value per frame


@dataclass(frozen=True, slots=True)
class Labelled:
    """A recording whose speech is known."""

    name: str
    samples: Samples
    speech: Flags


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Bytes equal to the authors' detectors, frame errors, and what is kept where nobody speaks."""
    clips = {file.path: decode(file.path.read_bytes(), _MAX_S).samples for file in files(data, "speech")}
    sounds = {
        file.path: (decode(file.path.read_bytes(), _MAX_S).samples, file.label)
        for file in files(data, "vad")
        if file.path.suffix == ".wav"
    }
    if not sounds:
        yield Unmeasured(_STAGE, "frame error", "the data has no recordings in vad/")
        return
    yield from _as_the_authors([*clips.values(), *(samples for samples, _ in sounds.values())])
    yield from _errors(list(labelled(data / "vad")))
    yield _kept_of_silence({path.name: samples for path, (samples, label) in sounds.items() if label in _SILENT})
    if clips:
        yield from _kept_of_speech(list(clips.values()))


def _as_the_authors(recordings: list[Samples]) -> Iterator[Finding]:
    for name, how in vad.COLLECTORS.items():
        equal = sum(
            vad.voiced(samples, vad.segments(samples, name)).tobytes() == authors_voiced(samples, how)
            for samples in recordings
        )
        what = f"{name}: voiced part equal to the authors' VAD, byte for byte"
        yield Finding(_STAGE, what, "recordings", len(recordings), share(equal, len(recordings)), aim=Aim(">=", 1.0))


def _errors(recordings: list[Labelled]) -> Iterator[Finding | Unmeasured]:
    """Frame errors of every detector; of `modern` also on copies that are noisy or quiet."""
    if not recordings:
        yield Unmeasured(_STAGE, "frame error", "the data has no recordings with labelled speech")
        return
    aims = {"modern": Aim("<=", 0.10)}
    for name in vad.VADS:
        yield _error(f"{name}: frames misjudged", name, recordings, aims.get(name))
    noisy = [Labelled(one.name, with_noise(one.samples, _SNR_DB), one.speech) for one in recordings]
    yield _error(f"modern: frames misjudged, pink noise {_SNR_DB:.0f} dB below", "modern", noisy)
    quiet = [Labelled(one.name, np.rint(one.samples * _GAIN).astype(np.int16), one.speech) for one in recordings]
    yield _error("modern: frames misjudged, 20 dB quieter", "modern", quiet)


def _error(what: str, name: str, recordings: list[Labelled], aim: Aim | None = None) -> Finding:
    wrong = {one.name: frames(vad.segments(one.samples, name), len(one.speech)) != one.speech for one in recordings}
    pooled = np.concatenate(list(wrong.values()))
    note = ", ".join(f"{file} {errors.mean():.1%}" for file, errors in wrong.items())
    return Finding(_STAGE, what, "frames of 10 ms", len(pooled), share(int(pooled.sum()), len(pooled)), "%", aim, note)


def _kept_of_silence(recordings: dict[str, Samples]) -> Finding:
    kept_s = {name: _kept(samples, "modern") / SAMPLE_RATE for name, samples in recordings.items()}
    length_s = sum(map(len, recordings.values())) / SAMPLE_RATE
    some = [f"{name} {seconds:.2f} s" for name, seconds in kept_s.items() if seconds]
    return Finding(
        _STAGE,
        "modern: recordings without speech of which anything is kept",
        "recordings",
        len(recordings),
        share(len(some), len(recordings)),
        "%",
        Aim("<=", 0.0),
        ", ".join(some) or f"nothing of {length_s:.1f} s",
    )


def _kept_of_speech(clips: list[Samples]) -> Iterator[Finding]:
    kept = [_kept(samples, "modern") / len(samples) for samples in clips]
    lost = sum(part == 0 for part in kept)
    yield Finding(_STAGE, "modern: clips of speech wholly lost", "clips", len(clips), share(lost, len(clips)))
    note = f"least {min(kept):.0%}, 5th percentile {np.percentile(kept, 5):.0%}"
    yield Finding(
        _STAGE, "modern: share kept of a clip of speech", "clips", len(clips), bootstrap(kept, np.median), note=note
    )


def _kept(samples: Samples, name: str) -> int:
    return sum(end - start for start, end in vad.segments(samples, name))


def frames(spans: list[tuple[int, int]], count: int) -> Flags:
    """Which frames have their middle in one of the spans (samples)."""
    middles = np.arange(count) * _FRAME + _FRAME // 2
    inside = np.zeros(count, bool)
    for start, end in spans:
        inside |= (middles >= start) & (middles < end)
    return inside


def with_noise(samples: Samples, snr_db: float) -> Samples:
    """The recording with seeded pink noise, so many dB below its mean power."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(len(samples)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, len(samples))
    noise *= np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    mixed: Samples = np.clip(np.rint(samples + noise), -32768, 32767).astype(np.int16)
    return mixed


# --- labels -----------------------------------------------------------------------------------------------------


def labelled(folder: Path) -> Iterator[Labelled]:
    """Recordings whose speech is labelled: speaker turns (.rttm) to the end, windows (.json) as far as they reach."""
    spans = {name: turns for file in sorted(folder.glob("*.rttm")) for name, turns in _turns(file).items()}
    for wav in sorted(folder.glob("*.wav")):
        samples = decode(wav.read_bytes(), _MAX_S).samples
        windows = wav.with_suffix(".json")
        if windows.is_file():
            yield _label(wav.name, samples, *_windows(windows))
        elif turns := spans.get(wav.stem) or spans.get(wav.stem.rpartition("_")[2]):
            yield _label(wav.name, samples, turns, len(samples) / SAMPLE_RATE)


def _turns(file: Path) -> dict[str, Spans]:
    """Turns of speakers by the name of their recording."""
    turns: dict[str, Spans] = collections.defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        _, name, _, start, length, *_ = line.split()
        turns[name].append((float(start), float(start) + float(length)))
    return turns


def _windows(file: Path) -> tuple[Spans, float]:
    """Speech and where the labelled part ends; every window counts its seconds from its own start."""
    spans, end = [], 0
    for window in json.loads(file.read_text(encoding="utf-8")).values():
        first = window["wav"]["start"] / SAMPLE_RATE
        seconds = [first + float(number) for number in window["speech"].split()]
        spans += list(zip(seconds[::2], seconds[1::2], strict=True))
        end = max(end, window["wav"]["stop"])
    return spans, end / SAMPLE_RATE


def _label(name: str, samples: Samples, speech: Spans, end_s: float) -> Labelled:
    samples = samples[: round(end_s * SAMPLE_RATE)]
    spans = [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in speech]
    return Labelled(name, samples, frames(spans, len(samples) // _FRAME))


# --- the authors' detector, written out as their code is described, a frame at a time -----------------------------


def authors_segments(
    pieces: list[bytes], ring_frames: int, is_speech: Callable[[bytes], bool], asks_again: bool
) -> list[list[bytes]]:
    """A ring of frames; a segment begins and ends when more than nine tenths of it agree."""
    ring: collections.deque[tuple[bytes, bool]] = collections.deque(maxlen=ring_frames)
    segments: list[list[bytes]] = []
    current: list[bytes] = []
    triggered = False
    for piece in pieces:
        if asks_again:
            ring.append((piece, False))
            ring = collections.deque(((old, is_speech(old)) for old, _ in ring), maxlen=ring_frames)
        else:
            ring.append((piece, is_speech(piece)))
        if triggered:
            current.append(piece)
            if sum(not speech for _, speech in ring) > 0.9 * ring_frames:
                segments.append(current)
                triggered, current = False, []
                ring.clear()
        elif sum(speech for _, speech in ring) > 0.9 * ring_frames:
            triggered = True
            current = [old for old, _ in ring]
            ring.clear()
    return [*segments, current] if current else segments


def authors_voiced(samples: Samples, how: Collector) -> bytes:
    """The voiced part as 16-bit little-endian samples."""
    pcm = samples.astype("<i2").tobytes()
    size = 2 * SAMPLE_RATE // 1000 * how.frame_ms
    pieces, offset = [], 0
    while offset + size < len(pcm):  # not <=: the last frame is lost even when it is complete
        pieces.append(pcm[offset : offset + size])
        offset += size
    detector = webrtcvad.Vad(how.aggressiveness)
    ring = int(how.padding_ms / how.frame_ms)
    segments = authors_segments(pieces, ring, lambda piece: detector.is_speech(piece, SAMPLE_RATE), how.asks_again)
    return b"".join(piece for segment in segments for piece in segment)
