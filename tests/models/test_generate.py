"""Faces for recordings of any format and length, by the very front end of the training data."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from manifests.errors import DataError
from manifests.schema import mel_column
from models import generate, sf2f, state
from models.cli import main
from models.generate import SHORTEST_S, faces, hear, windows
from models.state import Model
from pipeline.frontend import PROFILES, from_float16
from pipeline.world.traits import draw_person
from pipeline.world.voices import speak
from stages.voices import Settings
from tests.models import drawn, scored
from tests.stages.test_voices import results

pytestmark = pytest.mark.usefixtures("one_thread")

RATE = 16_000
Samples = NDArray[np.int16]


@pytest.fixture(scope="module")
def speech() -> Samples:
    """A drawn voice, 3 s."""
    return speak(draw_person(0, 1), 1, 3.0).samples


def encoded(samples: Samples, kind: str, rate: int = RATE) -> bytes:
    out = io.BytesIO()
    if kind in ("m4a", "webm"):
        container_format, codec = {"m4a": ("ipod", "aac"), "webm": ("webm", "libopus")}[kind]
        with av.open(out, "w", format=container_format) as container:
            stream = container.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate = rate
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
    else:
        soundfile.write(out, samples, rate, format=kind.upper())
    return out.getvalue()


def resampled(samples: Samples, rate: int) -> Samples:
    at = np.arange(0, len(samples) * rate // RATE) * RATE / rate
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)


def run(model: Model, out: Path, *paths: Path) -> list[Path | DataError]:
    return [made for _, made in generate.generate(model, paths, out, scored.CPU)]


def file(folder: Path, content: bytes, name: str = "a.wav") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("profile", ["sf2f", "voice2face"])
def test_a_training_recording_gives_the_stored_mel(profile: str, speech: Samples, tmp_path: Path) -> None:
    """Through the stage's own functions, on recordings that need decoding, mixing and resampling."""
    root = tmp_path / "speech" / "Ann_Other"
    root.mkdir(parents=True)
    (root / "plain.wav").write_bytes(encoded(speech, "wav"))
    (root / "stereo.flac").write_bytes(encoded(np.stack([speech, speech // 2], axis=1), "flac"))
    (root / "slow.ogg").write_bytes(encoded(resampled(speech, 8000), "ogg", 8000))
    chosen = Settings(roots=(root.parent,), profiles=(profile,), vads=(profile,))
    rows = results(chosen)
    assert len(rows) == 3
    for name, row in rows.items():
        assert isinstance(row, dict), row
        stored = from_float16(row[mel_column(profile).name], PROFILES[profile])
        assert np.array_equal(hear(root.parent / name, profile, profile).mel, stored), name


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "m4a", "webm"])
def test_every_format_gives_a_face(kind: str, speech: Samples, tmp_path: Path) -> None:
    (made,) = run(scored.sf2f_model(), tmp_path / "out", file(tmp_path, encoded(speech, kind), "any.name"))
    assert isinstance(made, Path), made
    told = json.loads((made / "face.json").read_text())
    assert told["recording"] == "any.name" and told["duration_s"] == pytest.approx(3.0, abs=0.1)
    assert told["checkpoint_sha256"] == "c" * 64 and told["fused"] is True
    face, strip = (Image.open(made / name) for name in ("face.png", "windows.png"))
    assert face.size == (64, 64) and np.asarray(face).std() > 0
    assert strip.size == (64 * min(10, told["windows"]), 64 * -(-told["windows"] // 10))


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rates_and_channels_do_not_matter(rate: int, channels: int, speech: Samples, tmp_path: Path) -> None:
    plain = hear(file(tmp_path, encoded(speech, "wav"), "plain.wav"), "sf2f", "sf2f")
    samples = np.repeat(resampled(speech, rate)[:, None], channels, axis=1)
    other = hear(file(tmp_path, encoded(samples, "wav", rate)), "sf2f", "sf2f")
    assert other.duration_s == pytest.approx(3.0, abs=0.01)
    assert abs(len(other.mel) - len(plain.mel)) <= 30  # the detector works in steps of 30 ms
    assert np.abs(other.mel.mean(0) - plain.mel.mean(0))[:20].max() < 1.0  # below 4 kHz


@pytest.mark.parametrize("seconds", [SHORTEST_S, 0.5, 1.25, 7.0])
@pytest.mark.parametrize("make", [scored.sf2f_model, scored.voice2face_model])
def test_any_length_from_0_3_s_on(make: Callable[[], Model], seconds: float, tmp_path: Path) -> None:
    samples = speak(draw_person(0, 1), 1, 8.0).samples[RATE // 2 :][: round(seconds * RATE)]
    (made,) = run(make(), tmp_path / "out", file(tmp_path, encoded(samples, "wav")))
    assert isinstance(made, Path), made


def silence(seconds: float, level: int = 0) -> bytes:
    noise = np.random.default_rng(0).integers(-level, level + 1, round(seconds * RATE))
    return encoded(noise.astype(np.int16), "wav")


BAD = {
    "of 0.1 s": (lambda speech: encoded(speech[: RATE // 10], "wav"), "at least 0.3 s"),
    "silent": (lambda _: silence(3.0), "no speech"),
    "silent and short": (lambda _: silence(1.0), "no speech"),
    "nearly silent and short": (lambda _: silence(1.0, 5), "no speech"),
    "empty": (lambda _: b"", "empty"),
    "a page": (lambda _: b"<html>", "not_a_recording"),
    "cut": (lambda speech: encoded(speech, "wav")[:3000], "truncated"),
    "not finite": (lambda _: not_finite(), "not_finite"),
}


def not_finite() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.full(RATE, np.nan, np.float32), RATE, format="WAV", subtype="FLOAT")
    return out.getvalue()


def test_bad_recordings_cost_no_other_and_end_the_command_with_3(speech: Samples, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    model = scored.sf2f_model()
    told = model.facts | {
        "settings": state.settings_of(drawn.SF2F), "average": 0.0,
        "place": {"phase": 2, "iteration": 1, "skipped": 0, "best": {}},
    }  # fmt: skip
    state.write(run_folder / state.LAST, state.weights(model.networks), told)
    paths = [file(tmp_path, make(speech), f"{name}.wav") for name, (make, _) in BAD.items()]
    good = file(tmp_path, encoded(speech, "wav"), "good.wav")
    ended = CliRunner().invoke(
        main,
        ["generate", "--checkpoint", str(run_folder), "--out", str(tmp_path / "out"), "--device", "cpu"]
        + [str(path) for path in (*paths, good)],
    )
    assert ended.exit_code == 3, ended.output
    for name, (_, words) in BAD.items():
        (line,) = (line for line in ended.output.splitlines() if f"/{name}.wav" in line)
        assert words in line
    assert f"{len(BAD)} of {len(BAD) + 1} recordings gave no face" in ended.output
    assert len(list((tmp_path / "out").glob("*/face.png"))) == 1


def test_a_folder_or_a_vanished_file_is_an_error_of_data(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.wav"):
        with pytest.raises(DataError, match="cannot be read"):
            hear(path, "sf2f", "sf2f")


def test_a_recording_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_MOST_BYTES", 100)
    with pytest.raises(DataError, match="at most 100"):
        hear(file(tmp_path, b"RIFF" * 100), "sf2f", "sf2f")


def test_a_name_never_becomes_a_path(speech: Samples, tmp_path: Path) -> None:
    content = encoded(speech, "wav")
    names = ["..", "a;rm -rf", "\x1b[31m\n.wav", "<img>.wav", "-o.wav", "\udcff.wav"]
    paths = [file(tmp_path, content, f"{number}{name}") for number, name in enumerate(names)]
    made = run(scored.sf2f_model(), tmp_path / "out", *paths)
    assert [path.name for path in made if isinstance(path, Path)] == [
        f"{number:04d}-{hear(paths[0], 'sf2f', 'sf2f').sha256[:12]}" for number in range(len(names))
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(p.name for p in made)  # type: ignore[union-attr]
    assert json.loads((tmp_path / "out" / made[1].name / "face.json").read_text())["recording"] == paths[1].name  # type: ignore[union-attr]


@settings(deadline=None, max_examples=40)
@given(frames=st.integers(1, 700), length=st.integers(2, 200))
def test_windows_overlap_by_half_and_cover_all_but_less_than_a_step(frames: int, length: int) -> None:
    mel = np.arange(frames, dtype=np.float32)[:, None]
    found = windows(mel, length)[:, 0]
    step = -(-length // 2)
    assert found.shape[1] == length
    if frames < length:
        assert np.array_equal(found[0], np.arange(length) % frames)
    else:
        assert (found[:, 0] == step * np.arange(len(found))).all()
        assert 0 <= frames - 1 - found[-1, -1] < step


def test_one_face_per_window_and_the_fused_one_are_those_of_the_networks() -> None:
    model = scored.sf2f_model()
    mel = np.random.default_rng(0).normal(11, 3, (130, 40)).astype(np.float32)
    each, together = faces(model, mel, scored.CPU)
    encoder, decoder, fuser = (model.networks[name] for name in ("encoder", "decoder", "fuser"))
    cut = torch.stack([torch.from_numpy(mel[at : at + 40].T) for at in range(0, 91, 20)])
    voices = encoder((cut - sf2f.MEL_MEAN) / sf2f.MEL_STD)
    torch.testing.assert_close(each, sf2f.shown(decoder(voices)[-1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(together, sf2f.shown(decoder(fuser(voices[None]))[-1])[0], rtol=0, atol=1e-5)


def test_voice2face_hears_the_whole_recording_normalised_by_its_own_mean_and_deviation() -> None:
    model = scored.voice2face_model()
    mel = np.random.default_rng(0).normal(5, 2, (300, 64)).astype(np.float32)
    _, together = faces(model, mel, scored.CPU)
    normal = torch.from_numpy(((mel - mel.mean(0)) / mel.std(0)).T[None].copy())
    voice = torch.nn.functional.normalize(model.networks["encoder"](normal))
    (image,) = model.networks["generator"](voice)
    torch.testing.assert_close(together, ((image[0] + 1) / 2).clamp(0, 1), rtol=0, atol=1e-5)


def test_real_voices_of_many_lengths(real_data: Path, tmp_path: Path) -> None:
    recordings = sorted(path for path in (real_data / "speech").glob("*/*") if path.is_file())[::40]
    for model in (scored.sf2f_model(), scored.voice2face_model()):
        made = run(model, tmp_path / model.facts["system"], *recordings)
        assert sum(isinstance(one, Path) for one in made) >= 0.8 * len(recordings)
