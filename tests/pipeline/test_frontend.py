"""The front ends against the published code, or against a slow reading of its description."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import python_speech_features
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.frontend import PROFILES, WAVE, from_float16, mel, to_float16, waveform, width
from pipeline.speech import decode

LENGTHS = st.integers(min_value=1, max_value=4000)


def noise(length: int, seed: int = 0) -> np.ndarray:
    """Loud and quiet stretches of noise, int16."""
    rng = np.random.default_rng(seed)
    loudness = np.interp(np.arange(length), [0, length / 2, length], [10, 8000, 300])
    return np.clip(rng.standard_normal(length) * loudness, -32768, 32767).astype(np.int16)


def real_clips(real_data: Path) -> list[np.ndarray]:
    files = sorted(path for path in (real_data / "speech").rglob("*") if path.suffix in (".wav", ".flac", ".mp3"))
    assert len(files) > 100
    return [decode(path.read_bytes(), 600).samples for path in files]


def voice2face_reference(samples: np.ndarray) -> np.ndarray:
    """Frame by frame, as the description of the authors' code reads."""
    edges_mel = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 7200 / 700), 66)
    edges = [round(700 * (10 ** (m / 2595) - 1) / 15.625) for m in edges_mel]
    filters = np.zeros((513, 64))
    for band in range(64):
        left, centre, right = edges[band : band + 3]
        height = 2 / ((right - left) * 15.625)
        for bin_ in range(left + 1, right):
            side = (bin_ - left) / (centre - left) if bin_ < centre else (right - bin_) / (right - centre)
            filters[bin_, band] = height * side
    rows, last = [], 0.0
    for start in range(0, len(samples) + 1, 160):
        frame = samples[start : start + 400].astype(np.float64)
        frame = np.resize(frame, 400) if len(frame) else np.zeros(400)
        history = np.concatenate([[last], frame[:-1]])
        last = frame[-1]
        spectrum = np.fft.rfft((frame - 0.97 * history) * np.hamming(400), 1024)
        rows.append(np.log(np.maximum(np.abs(spectrum) ** 2 @ filters, 1e-5)))
        if start + 160 > len(samples):
            break
    return np.array(rows)


@pytest.mark.parametrize(
    ("samples", "frames"), [(16_000, 99), (20_000, 124), (20_240, 125), (400, 1), (1, 1), (401, 2)]
)
def test_sf2f_counts_frames_as_published(samples: int, frames: int) -> None:
    assert mel(noise(samples), PROFILES["sf2f"]).shape == (frames, 40)


@given(length=LENGTHS, seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_sf2f_in_float64_is_the_library_at_any_length(length: int, seed: int) -> None:
    samples = noise(length, seed)
    expected = python_speech_features.logfbank(samples, 16_000, nfilt=40)
    found = mel(samples, PROFILES["sf2f"], np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-9


def test_sf2f_takes_digital_silence_as_the_library_does() -> None:
    samples = np.zeros(2000, np.int16)
    expected = python_speech_features.logfbank(samples, 16_000, nfilt=40)
    for dtype in (np.float32, np.float64):
        assert np.allclose(mel(samples, PROFILES["sf2f"], dtype), expected, atol=1e-5)


def test_sf2f_on_every_real_clip(real_data: Path) -> None:
    """1e-9 in float64, 2e-3 in float32, and the stored float16 is the float32 value rounded."""
    for samples in real_clips(real_data):
        expected = python_speech_features.logfbank(samples, 16_000, nfilt=40)
        fast = mel(samples, PROFILES["sf2f"])
        assert np.abs(mel(samples, PROFILES["sf2f"], np.float64) - expected).max() < 1e-9
        assert np.abs(fast - expected).max() < 2e-3
        assert np.array_equal(from_float16(to_float16(fast), PROFILES["sf2f"]), fast.astype(np.float16))


@given(length=LENGTHS)
@settings(max_examples=30, deadline=None)
def test_voice2face_is_its_description_at_any_length(length: int) -> None:
    samples = noise(length)
    expected = voice2face_reference(samples)
    assert np.abs(mel(samples, PROFILES["voice2face"], np.float64) - expected).max() < 1e-9
    assert np.abs(mel(samples, PROFILES["voice2face"]) - expected).max() < 2e-3


def test_voice2face_counts_101_frames_in_a_second() -> None:
    assert mel(noise(16_000), PROFILES["voice2face"]).shape == (101, 64)


@pytest.mark.filterwarnings("ignore:n_fft=512 is too large")  # librosa's word on short signals
@given(length=LENGTHS)
@settings(max_examples=30, deadline=None)
def test_modern_is_librosa_at_any_length(length: int) -> None:
    samples = noise(length)
    power = librosa.feature.melspectrogram(
        y=samples / 32768.0, sr=16_000, n_fft=512, win_length=400, hop_length=160, n_mels=80, fmax=8000,
        pad_mode="constant",
    )  # fmt: skip
    expected = np.log(np.maximum(power, 1e-10)).T
    found = mel(samples, PROFILES["modern"], np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6  # librosa keeps its filters in float32


@given(length=st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_later_samples_never_change_earlier_frames(length: int) -> None:
    """The first frames of a longer recording are those of its beginning."""
    samples = noise(6000)
    whole = max(0, (length - 400) // 160 + 1)  # frames that lie wholly inside the beginning
    begun = mel(samples[:length], PROFILES["sf2f"], np.float64)[:whole]
    assert np.allclose(begun, mel(samples, PROFILES["sf2f"], np.float64)[:whole], atol=1e-12)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_no_samples_give_no_frames(profile) -> None:  # type: ignore[no-untyped-def]
    assert mel(np.empty(0, np.int16), profile).shape == (0, profile.bands)


@pytest.mark.parametrize("wrong", [np.zeros(800, np.float32), np.zeros((800, 2), np.int16)])
def test_anything_but_int16_mono_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected int16"):
        mel(wrong, PROFILES["sf2f"])


@given(LENGTHS)
def test_a_waveform_is_its_samples_end_to_end_without_the_last_part_of_a_frame(length: int) -> None:
    samples = noise(length)
    frames = waveform(samples)
    assert frames.shape == (length // 160, width(WAVE)) and frames.dtype == np.int16
    np.testing.assert_array_equal(frames.ravel(), samples[: length - length % 160])


def test_the_width_of_a_frame_is_that_of_its_front_end() -> None:
    assert {name: width(name) for name in (*PROFILES, WAVE)} == {
        "sf2f": 40, "voice2face": 64, "modern": 80, "wave": 160
    }  # fmt: skip
