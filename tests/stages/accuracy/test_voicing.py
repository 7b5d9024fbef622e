"""The VAD figures: labels are read as their files mean them, frames are counted right, aims are met on real data."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.accuracy import voicing
from stages.accuracy.finding import Finding, Unmeasured

WAV_S = 6


def wav(path: Path, seconds: float = WAV_S) -> None:
    soundfile.write(path, np.zeros(int(seconds * 16_000), np.int16), 16_000)


def test_turns_of_both_speakers_are_speech_to_the_end_of_the_recording(tmp_path: Path) -> None:
    wav(tmp_path / "talk.wav")
    turns = ("talk 1 1.000 0.500 <NA> <NA> A", "talk 1 1.250 0.750 <NA> <NA> B", "other 1 3.000 1.000 <NA> <NA> A")
    (tmp_path / "some.rttm").write_text("".join(f"SPEAKER {turn} <NA>\n" for turn in turns))
    (found,) = voicing.labelled(tmp_path)
    assert len(found.speech) == 100 * WAV_S
    assert np.flatnonzero(found.speech).tolist() == list(range(100, 200))


def test_windows_count_from_their_own_start_and_nothing_beyond_them_is_judged(tmp_path: Path) -> None:
    wav(tmp_path / "talk.wav")
    windows = {
        "one": {"wav": {"start": 0, "stop": 32_000}, "speech": "0.5 1.0"},
        "two": {"wav": {"start": 32_000, "stop": 64_000}, "speech": "0.25 0.5 1.0 1.5"},
    }
    (tmp_path / "talk.json").write_text(json.dumps(windows))
    (found,) = voicing.labelled(tmp_path)
    assert len(found.samples) == 64_000
    expected = [*range(50, 100), *range(225, 250), *range(300, 350)]
    assert np.flatnonzero(found.speech).tolist() == expected


def test_a_recording_without_labels_is_not_judged(tmp_path: Path) -> None:
    wav(tmp_path / "talk.wav")
    assert list(voicing.labelled(tmp_path)) == []


def test_a_frame_belongs_to_the_span_that_holds_its_middle() -> None:
    assert voicing.frames([(79, 241)], 3).tolist() == [True, True, False]
    assert voicing.frames([(81, 240)], 3).tolist() == [False, False, False]


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_is_as_loud_as_asked_and_the_same_each_time(snr_db: float) -> None:
    samples = (3000 * np.sin(np.arange(32_000) / 7)).astype(np.int16)
    noisy = voicing.with_noise(samples, snr_db)
    noise = noisy.astype(float) - samples
    assert 10 * np.log10(np.mean(samples.astype(float) ** 2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.1)
    assert np.array_equal(noisy, voicing.with_noise(samples, snr_db))


def test_without_recordings_nothing_is_measured(tmp_path: Path) -> None:
    (tmp_path / "PROVENANCE.csv").write_text("file,sha256,category,identity,label\n")
    (found,) = voicing.measure(tmp_path)
    assert isinstance(found, Unmeasured)


def test_every_aim_is_met_on_real_recordings(real_data: Path) -> None:
    findings = [found for found in voicing.measure(real_data) if isinstance(found, Finding)]
    assert [found.what for found in findings if found.met is False] == []
    assert sum(found.met is True for found in findings) == 4
