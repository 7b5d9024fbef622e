"""Segments against the authors' collectors, written out as their papers' code is described, and planted truth."""

import collections
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webrtcvad
from hypothesis import given
from hypothesis import strategies as st

from pipeline import vad, vad_modern
from pipeline.speech import decode


def authors_segments(
    frames: list[bytes], ring_frames: int, is_speech: Callable[[bytes], bool], asks_again: bool
) -> list[list[bytes]]:
    """A ring of frames; trigger and release when more than nine tenths of it agree."""
    ring: collections.deque[tuple[bytes, bool]] = collections.deque(maxlen=ring_frames)
    segments: list[list[bytes]] = []
    current: list[bytes] = []
    triggered = False
    for frame in frames:
        if asks_again:
            ring.append((frame, False))
            ring = collections.deque(((f, is_speech(f)) for f, _ in ring), maxlen=ring_frames)
        else:
            ring.append((frame, is_speech(frame)))
        if triggered:
            current.append(frame)
            if sum(not speech for _, speech in ring) > 0.9 * ring_frames:
                segments.append(current)
                triggered, current = False, []
                ring.clear()
        elif sum(speech for _, speech in ring) > 0.9 * ring_frames:
            triggered = True
            current = [f for f, _ in ring]
            ring.clear()
    return [*segments, current] if current else segments


def authors_voiced(samples: np.ndarray, how: vad.Collector) -> bytes:
    pcm = samples.tobytes()
    size = 2 * 16 * how.frame_ms
    frames, offset = [], 0
    while offset + size < len(pcm):  # not <=: the last frame is lost even when it is complete
        frames.append(pcm[offset : offset + size])
        offset += size
    detector = webrtcvad.Vad(how.aggressiveness)
    ring = int(how.padding_ms / how.frame_ms)
    segments = authors_segments(frames, ring, lambda f: detector.is_speech(f, 16_000), how.asks_again)
    return b"".join(frame for segment in segments for frame in segment)


@pytest.mark.parametrize("name", vad.COLLECTORS)
def test_real_recordings_are_cut_byte_for_byte_as_the_authors_cut_them(name: str, real_data: Path) -> None:
    files = sorted((real_data / "vad").rglob("*.wav")) + sorted((real_data / "speech").glob("*/*.*"))[::6]
    cut = 0
    for path in files:
        samples = decode(path.read_bytes(), 600).samples
        found = vad.voiced(samples, vad.segments(samples, name)).tobytes()
        assert found == authors_voiced(samples, vad.COLLECTORS[name]), path.name
        cut += 0 < len(found) < len(samples.tobytes())
    assert cut > 10


@given(verdicts=st.lists(st.booleans(), max_size=120), ring=st.integers(1, 10))
def test_any_verdicts_make_the_segments_of_the_ring(verdicts: list[bool], ring: int) -> None:
    frames = [bytes([i]) for i in range(len(verdicts))]
    expected = authors_segments(frames, ring, lambda f: verdicts[f[0]], asks_again=False)
    edges = vad._ask_once(lambda i: verdicts[i], len(verdicts), ring)
    edges += [len(verdicts)] * (len(edges) % 2)
    assert [frames[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)] == expected


@given(answers=st.lists(st.booleans(), min_size=200, max_size=200), count=st.integers(0, 60), ring=st.integers(1, 3))
def test_a_detector_with_a_memory_is_asked_in_the_authors_order(answers: list[bool], count: int, ring: int) -> None:
    """The n-th question gets the n-th answer, whatever it is about."""
    frames = [bytes([i]) for i in range(count)]
    theirs, ours = iter(answers), iter(answers)
    expected = authors_segments(frames, ring, lambda _: next(theirs), asks_again=True)
    edges = vad._ask_again(lambda _: next(ours), count, ring)
    edges += [count] * (len(edges) % 2)
    assert [frames[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)] == expected


def test_the_last_frame_is_dropped_even_when_complete() -> None:
    """As measured on the authors' code: 2.000 s of noise keeps 1.980 s."""
    loud = (np.random.default_rng(0).standard_normal(32_000) * 8000).clip(-32768, 32767).astype(np.int16)
    assert vad.segments(loud, "sf2f") == [(0, 31_680)]


@pytest.mark.parametrize("name", vad.VADS)
@pytest.mark.parametrize("length", [0, 1, 159, 480, 481])
def test_recordings_too_short_to_judge_have_no_speech(name: str, length: int) -> None:
    assert vad.segments(np.zeros(length, np.int16), name) == []


@pytest.mark.parametrize("name", vad.VADS)
def test_digital_silence_has_no_speech(name: str) -> None:
    assert vad.segments(np.zeros(48_000, np.int16), name) == []


def speech_labels(folder: Path) -> dict[str, tuple[list[tuple[float, float]], float]]:
    """File name -> spans of speech and the end of what is labelled, seconds."""
    labels: dict[str, tuple[list[tuple[float, float]], float]] = {}
    for file, key, wav in (
        ("pyannote_sample.rttm", "sample", "pyannote_sample.wav"),
        ("debug.development.rttm", "dev00", "dev00.wav"),
    ):
        turns = [line.split() for line in (folder / file).read_text().splitlines()]
        labels[wav] = ([(float(t[3]), float(t[3]) + float(t[4])) for t in turns if t[1] == key], 30.0)
    spans = []
    for window in json.loads((folder / "sb_vad_train.json").read_text()).values():
        seconds = [float(x) + window["wav"]["start"] / 16_000 for x in window["speech"].split()]
        spans += list(zip(seconds[::2], seconds[1::2], strict=True))
    labels["sb_vad_train.wav"] = (spans, 4.0)
    return labels


def test_modern_errs_on_at_most_a_tenth_of_labelled_frames(real_data: Path) -> None:
    for wav, (spans, end) in speech_labels(real_data / "vad").items():
        samples = decode((real_data / "vad" / wav).read_bytes(), 600).samples[: int(end * 16_000)]
        middles = np.arange(80, len(samples), 160)
        truth = np.any([(middles >= a * 16_000) & (middles < b * 16_000) for a, b in spans], axis=0)
        found = np.zeros(len(middles), bool)
        for a, b in vad.segments(samples, "modern"):
            found |= (middles >= a) & (middles < b)
        assert (found != truth).mean() <= 0.10, wav


def test_modern_keeps_nothing_of_recordings_without_speech(real_data: Path) -> None:
    files = sorted((real_data / "vad" / "nonspeech").glob("*.wav"))
    assert len(files) == 8
    for path in files:
        assert vad.segments(decode(path.read_bytes(), 600).samples, "modern") == [], path.name


def test_modern_keeps_most_of_real_speech(real_data: Path) -> None:
    kept = total = 0
    for path in sorted((real_data / "speech").glob("libri_*/*.flac"))[::8]:
        samples = decode(path.read_bytes(), 600).samples
        kept += sum(end - start for start, end in vad.segments(samples, "modern"))
        total += len(samples)
    assert kept / total > 0.8


def test_pitch_of_a_pulse_train_is_its_rate() -> None:
    pulses = np.zeros(16_000, np.int16)
    pulses[::128] = 20_000  # 125 Hz
    strength, pitch_hz = vad_modern.pitch(pulses)
    assert np.median(pitch_hz) == pytest.approx(125, rel=0.01)
    assert np.median(strength) > 0.8


@given(mask=st.lists(st.booleans(), max_size=300))
def test_modern_segments_are_ordered_and_apart(mask: list[bool]) -> None:
    spans = vad_modern._smooth(np.array(mask, bool))
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(set(edges))
    assert all(0 <= edge <= len(mask) for edge in edges)
