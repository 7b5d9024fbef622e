"""A system that hears waveforms, from its training to generated faces, scores and ONNX."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from torch import Tensor

from manifests.errors import DataError
from models import evaluate, export, generate, i2g, state, system
from models.bench import Plan, measure
from models.evaluate import Plan as Scoring
from models.residual import AdaIN
from models.state import LAST, Model
from models.system import Batch
from pipeline import speech, vad
from pipeline.world.traits import draw_person
from pipeline.world.voices import speak
from tests.models import drawn, scored
from tests.models.drawn import Sketch, experiment
from tests.models.steps import built
from tests.models.test_train import run

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SIDE = i2g.side(drawn.I2G)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.write_manifest(tmp_path_factory.mktemp("waves"), Sketch(audio=True, test=4))


@pytest.fixture(scope="module")
def trained(waves: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("trained") / "run"
    run(out, waves, drawn.I2G, drawn.CPU)
    return out


def test_a_checkpoint_says_what_it_hears(trained: Path) -> None:
    facts = state.read(trained / LAST)[1]
    assert (facts["front_end"], facts["vad"]) == ("wave", "sf2f")


def test_it_is_validated_by_its_faces(trained: Path) -> None:
    told = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert all(0 < line["validation"]["pixel_l1"] < 1 for line in told if "validation" in line)
    assert any("validation" in line for line in told)


def test_a_recording_is_heard_as_training_data_are_stored(tmp_path: Path) -> None:
    samples = speak(draw_person(0, 1), 1, 3.0).samples
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    heard = generate.hear(tmp_path / "a.wav", "wave", "sf2f")
    voiced = vad.voiced(samples, vad.segments(samples, "sf2f"))
    stored = speech.decode_flac(speech.encode_flac(voiced))
    assert heard.mel.dtype == np.float32 and heard.mel.shape == (len(stored) // 160, 160)
    np.testing.assert_array_equal(heard.mel.ravel() * 32768, stored[: heard.mel.size])


def test_a_recording_gets_a_face_for_each_window_and_one_for_all(trained: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speak(draw_person(0, 1), 1, 3.0).samples, 16_000)
    model = state.load_model(trained, CPU)
    ((_, made),) = generate.generate(model, [tmp_path / "a.wav"], tmp_path / "out", CPU)
    assert isinstance(made, Path)
    told = json.loads((made / "face.json").read_text())
    assert told["front_end"] == "wave" and told["windows"] > 1 and (made / "face.png").is_file()


def test_it_is_scored_as_the_others_are(trained: Path, waves: Path, tmp_path: Path) -> None:
    model = state.load_model(trained, CPU)
    plan = Scoring(runs=2, seconds=(0.5, 1.0), gallery=2)
    report, _ = evaluate.evaluate(model, waves, scored.judge(SIDE), plan, tmp_path / "packed")
    assert [row["name"] for row in report["rows"]] == ["0.5 s", "1 s"]
    assert report["trained_on"]["front_end"] == report["data"]["front_end"] == "wave"
    assert report["trained_on"]["features"] is None
    assert all(np.isfinite(row["cosine"]["mean"]) for row in report["rows"])


def test_a_manifest_of_another_detector_is_refused(trained: Path, tmp_path: Path) -> None:
    other = drawn.write_manifest(tmp_path, Sketch(audio=True, profiles=("voice2face", "sf2f")))
    with pytest.raises(DataError, match="voice activity detection 'voice2face'"):
        evaluate.evaluate(state.load_model(trained, CPU), other, scored.judge(SIDE), Scoring(), tmp_path / "packed")


def test_a_bench_times_it() -> None:
    measured = measure(experiment(drawn.I2G), drawn.I2G, drawn.CPU, Plan(steps=1, warm_up=1, people=6))
    assert measured["samples_per_s"] > 0 and measured["features"] is None


@pytest.mark.slow
def test_onnx_gives_torchs_faces_of_crops_and_longer_voices(tmp_path: Path) -> None:
    module = system.load("wav2pix")
    networks = built(module, drawn.WAV2PIX)
    for network in networks.values():
        network.eval().requires_grad_(False)
    model = Model(module, drawn.WAV2PIX, networks, scored.facts(front_end="wave"), "", None)
    assert export.export(model, tmp_path / "f.onnx") <= 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "f.onnx"), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.name == "wave" and given.shape[1] == 160


@pytest.mark.slow
@pytest.mark.parametrize("frames", [40, 600])
def test_onnx_gives_i2gs_faces_with_the_noise_of_their_places_and_of_six_seconds(tmp_path: Path, frames: int) -> None:
    """Trained on the paper's 6 s or on less: of a longer voice the first 6 s are heard, in the file too."""
    settings = replace(drawn.I2G, frames=(frames, frames))
    networks = built(i2g, settings)
    for network in networks.values():
        network.eval().requires_grad_(False)
    for module in networks["generator"].modules():
        if isinstance(module, AdaIN):  # which hears nothing at the start
            torch.nn.init.normal_(module.gain.weight, generator=torch.Generator().manual_seed(1))
    networks["speech"].get_parameter("embedding.weight").mul_(100)  # so that it tells voices apart
    model = Model(system.load("i2g"), settings, networks, scored.facts(front_end="wave"), "", None)
    assert export.export(model, tmp_path / "f.onnx") <= 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "f.onnx"), providers=["CPUExecutionProvider"])
    time = np.arange(900 * 160, dtype=np.float32).reshape(900, 160).T / 16_000
    low, high = (0.1 * np.sin(2 * np.pi * hertz * time)[None] for hertz in (200, 3000))
    changing = np.concatenate([low[..., :600], 9 * high[..., 600:]], axis=2)
    one, same, other = (session.run(["face"], {"wave": wave})[0] for wave in (low[..., :600], changing, high))
    assert np.abs(one - same).max() < 1e-6 and np.abs(one - other).max() > 1e-5
    (alike,) = session.run(["face"], {"wave": np.repeat(low[..., :600], 66, axis=0)})
    assert np.abs(alike[64:] - alike[:2]).max() < 1e-5 and np.abs(alike[0] - alike[1]).max() > 1e-3


@pytest.mark.slow
def test_what_onnx_has_no_words_for_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of random numbers, and a batch that is taken for a constant."""

    def unnamed(networks: Any, settings: Any, batch: Batch) -> Tensor:
        return torch.rand(len(batch.mel), 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def constant(networks: Any, settings: Any, batch: Batch) -> Tensor:
        return batch.mel.mean(dim=(1, 2)).view(2, 1, 1, 1).expand(2, 3, 4, 4)

    module = system.load("wav2pix")
    model = Model(module, drawn.WAV2PIX, {}, scored.facts(front_end="wave"), "", None)
    for faces in (unnamed, constant):
        monkeypatch.setattr(module, "faces", faces)
        with pytest.raises(DataError, match="cannot be written as ONNX"):
            export.export(model, tmp_path / "f.onnx")
    assert not list(tmp_path.iterdir())
