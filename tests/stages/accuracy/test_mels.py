"""The slow reading of SF2F's front end against its library, and the figures on real clips."""

from pathlib import Path

import numpy as np
import pytest
import python_speech_features
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.accuracy import mels
from stages.accuracy.finding import Finding, Unmeasured


@given(length=st.integers(1, 4000), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_slow_reading_is_the_library_at_any_length(length: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-9000, 9000, length, dtype=np.int16)
    expected = python_speech_features.logfbank(samples, 16_000, nfilt=40)
    found = mels.reference(samples)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-9


@pytest.mark.parametrize(("samples", "frames"), [(16_000, 99), (20_000, 124), (20_240, 125), (400, 1), (1, 1)])
def test_frames_are_counted_as_published(samples: int, frames: int) -> None:
    assert mels.reference(np.ones(samples, np.int16)).shape == (frames, 40)


def test_only_the_nearest_half_counts_as_rounded() -> None:
    values = np.array([[1.0002, -3.14159], [0.1, 12.345]])
    halves = values.astype("<f2")
    assert mels.is_rounded(halves.tobytes(), values)
    assert not mels.is_rounded(np.nextafter(halves, np.float16(20)).tobytes(), values)
    assert not mels.is_rounded(values[::-1].astype("<f2").tobytes(), values)


def test_without_clips_nothing_is_measured(tmp_path: Path) -> None:
    (tmp_path / "PROVENANCE.csv").write_text("file,sha256,category,identity,label\n")
    (found,) = mels.measure(tmp_path)
    assert isinstance(found, Unmeasured)


def test_every_aim_is_met_on_every_real_clip(real_data: Path) -> None:
    findings = list(mels.measure(real_data))
    assert len(findings) == 5
    assert all(isinstance(found, Finding) and found.met for found in findings)
