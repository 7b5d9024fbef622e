"""Synthetic voices: deterministic, speech to WebRTC, silent where nothing was planted, and each somebody's own."""

import numpy as np
import pytest
import webrtcvad

from pipeline import vad
from pipeline.frontend import PROFILES, mel
from pipeline.vad_modern import describe
from pipeline.world.traits import draw_person
from pipeline.world.vocal_tract import RATE
from pipeline.world.voices import DEFECTS, Recording, speak

FRAME = 480  # samples, 30 ms
PEOPLE = 30


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return [speak(draw_person(5, i), seed=i, seconds=8.0) for i in range(PEOPLE)]


def verdicts(samples: np.ndarray, mode: int) -> np.ndarray:
    detector = webrtcvad.Vad(mode)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.array([detector.is_speech(frame.tobytes(), RATE) for frame in frames])


def test_the_same_person_and_seed_give_the_same_samples() -> None:
    person = draw_person(1, 4)
    once, again, other = speak(person, 1, 3.0), speak(person, 1, 3.0), speak(person, 2, 3.0)
    assert np.array_equal(once.samples, again.samples)
    assert np.array_equal(once.speech, again.speech)
    assert not np.array_equal(once.samples, other.samples)


@pytest.mark.parametrize("seconds", [1.5, 2.0, 3.37, 10.0])
def test_speech_is_planted_inside_the_recording_in_order(seconds: float) -> None:
    for seed in range(5):
        recording = speak(draw_person(2, seed), seed, seconds)
        assert len(recording.samples) == round(seconds * RATE)
        edges = recording.speech.ravel()
        assert len(edges) >= 2
        assert edges[0] > 0.2
        assert (np.diff(edges) > 0).all()
        assert edges[-1] < seconds


@pytest.mark.parametrize("mode", [1, 2])
def test_webrtc_keeps_planted_speech_and_drops_planted_silence(recordings: list[Recording], mode: int) -> None:
    """Leaving out the lead-in and the six frames of hangover after speech."""
    kept_speech, kept_silence = [], []
    for recording in recordings:
        voiced = verdicts(recording.samples, mode)
        starts = np.arange(len(voiced)) * FRAME
        silence = starts > recording.speech[0, 0] * RATE
        for start, end in recording.speech * RATE:
            kept_speech.append(voiced[(starts >= start) & (starts + FRAME <= end)])
            silence &= (starts + FRAME <= start) | (starts >= end + 6 * FRAME)
        kept_silence.append(voiced[silence])
    assert np.concatenate(kept_speech).mean() >= 0.95
    assert np.concatenate(kept_silence).mean() <= 0.05


def test_pitch_is_the_persons_own(recordings: list[Recording]) -> None:
    for index in range(0, PEOPLE, 5):
        found = describe(recordings[index].samples)
        found_hz = np.median(found.pitch_hz[found.strength > 0.6])
        assert abs(np.log2(found_hz / draw_person(5, index).voice.f0_hz)) < 0.3  # a quarter of an octave or so


def test_mean_and_spread_of_the_log_mel_tell_speakers_apart(recordings: list[Recording]) -> None:
    """Scaled by how much recordings of one person differ, a second recording is nearest to the first."""

    def statistics(recording: Recording) -> np.ndarray:
        frames = mel(vad.voiced(recording.samples, vad.segments(recording.samples, "sf2f")), PROFILES["sf2f"])
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])

    again = [speak(draw_person(5, i), seed=1000 + i, seconds=8.0) for i in range(PEOPLE)]
    pairs = np.array([[statistics(a), statistics(b)] for a, b in zip(recordings, again, strict=True)])
    within = (pairs[:, 0] - pairs[:, 1]) / np.sqrt(2)
    scatter = within.T @ within / PEOPLE
    shrunk = 0.7 * scatter + 0.3 * np.diag(np.diag(scatter))
    round_ = pairs @ np.linalg.cholesky(np.linalg.inv(shrunk))
    distances = np.linalg.norm(round_[:, None, 0] - round_[None, :, 1], axis=2)
    assert (distances.argmin(axis=1) == np.arange(PEOPLE)).mean() >= 0.9


def test_a_silent_recording_holds_no_speech() -> None:
    for seed in range(5):
        recording = speak(draw_person(3, seed), seed, 4.0, "silent")
        assert len(recording.speech) == 0
        assert all(not vad.segments(recording.samples, name) for name in vad.VADS)


def test_a_clipped_recording_sits_at_full_scale() -> None:
    clean, clipped = speak(draw_person(3, 1), 1, 4.0), speak(draw_person(3, 1), 1, 4.0, "clipped")
    assert (np.abs(clean.samples.astype(int)) >= 32767).mean() == 0
    assert (np.abs(clipped.samples.astype(int)) >= 32767).mean() > 0.02


def test_a_noisy_recording_drowns_its_pauses() -> None:
    """Speech over everything else: above 20 dB where clean, below 6 dB where noisy."""
    for defect, low, high in ((None, 20.0, 60.0), ("noisy", 0.0, 6.0)):
        recording = speak(draw_person(3, 2), 2, 6.0, defect)  # type: ignore[arg-type]
        times = np.arange(len(recording.samples)) / RATE
        speech = np.any([(times >= a) & (times < b) for a, b in recording.speech], axis=0)
        before = times < recording.speech[0, 0]
        power = recording.samples.astype(np.float64) ** 2
        assert low <= 10 * np.log10(power[speech].mean() / power[before].mean()) <= high


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1\.5"):
        speak(draw_person(0, 0), 0, 0.5)
    with pytest.raises(ValueError, match=DEFECTS[0]):
        speak(draw_person(0, 0), 0, 3.0, "muffled")  # type: ignore[arg-type]
