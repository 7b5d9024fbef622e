"""The `models` command: exit codes, options that reach the run, words instead of tracebacks."""

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from models import state
from models import train as training
from models.cli import main
from models.experiments import EXPERIMENTS
from models.setup import Options
from tests.models import drawn

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = (
    "iterations=1", "settling=0", "fuser_iterations=1", "batch=4", "encoder_channels=[8,8,8,8]", "embedding=8",
    "decoder_channels=[8,8,8,8,8]", "discriminator_width=4", "windows=2", "window=40", "stride=20", "frames=[30,50]",
)  # fmt: skip


def models(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def tiny(judge: Path | None) -> list[str]:
    given = [*TINY, "perceptual=0"] if judge is None else [*TINY, f"judge={judge}"]
    return [word for assignment in given for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def run(manifest: Path, judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("cli") / "run"
    result = models(
        "train", "--experiment", "sf2f-small", "--manifest", manifest, "--out", out, "--device", "cpu",
        "--average", 0.9, "--seed", 3, "--validate-every", 1, "--report-every", 1, "--track", "tensorboard",
        *tiny(judge),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert str(out / "last.safetensors") in result.output
    return out


def test_train_leaves_a_run_that_says_how_it_was_made(run: Path) -> None:
    _, facts = state.read(run / "last.safetensors")
    assert (facts["experiment"], facts["seed"], facts["average"]) == ("sf2f-small", 3, 0.9)
    assert facts["settings"]["batch"] == 4 and facts["loss_judge"]["name"] == "own-a"
    assert (run / "tensorboard").is_dir() and (run / "samples").is_dir()


def test_list_shows_every_experiment_with_its_counts() -> None:
    result = models("list")
    assert result.exit_code == 0
    for one in EXPERIMENTS:
        assert one.name in result.output and one.reproduces in result.output and one.source in result.output
    assert "encoder 4,848,192  decoder 11,566,083  fuser 786,432" in result.output


def test_pretrain_voice_then_voice2face(manifest: Path, tmp_path: Path) -> None:
    small = [word for s in TINY if s.split("=")[0] in ("iterations", "batch", "encoder_channels", "embedding", "frames")
             for word in ("--set", s)]  # fmt: skip
    quiet = ("--manifest", manifest, "--validate-every", 0)
    without = models("train", "--experiment", "voice2face-small", *quiet, "--out", tmp_path / "v", *small)
    assert without.exit_code == 4 and "models pretrain-voice" in without.output and "--start" in without.output
    speaker = models("pretrain-voice", *quiet, "--out", tmp_path / "speaker", *small)
    assert speaker.exit_code == 0, speaker.output
    widths = ("--set", "generator_channels=[8,8,8,8,8]", "--set", "discriminator_width=4")
    result = models(
        "train", "--experiment", "voice2face-small", *quiet, "--out", tmp_path / "v", *small, *widths,
        "--start", tmp_path / "speaker",
    )  # fmt: skip
    assert result.exit_code == 0, result.output


def test_pretrain_voice_takes_only_speakers(manifest: Path, tmp_path: Path) -> None:
    out = ("--manifest", manifest, "--out", tmp_path / "run")
    result = models("pretrain-voice", "--experiment", "sf2f-small", *out)
    assert result.exit_code == 2 and "of system sf2f: expected one of speaker, speaker-small" in result.output
    assert not (tmp_path / "run").exists()


USAGE: dict[str, tuple[list[str], str]] = {
    "no experiment": (["--experiment", "sf3f"], "expected one of sf2f-64"),
    "unknown key": (["--experiment", "sf2f-64", "--set", "bach=3"], "batch, betas, contrast, decoder"),
    "wrong value": (["--experiment", "sf2f-64", "--set", "batch=many"], "batch"),
    "no phase": (["--experiment", "sf2f-64", "--until", "two"], "encoder-decoder, settling, fuser"),
    "no device": (["--experiment", "sf2f-64", "--device", "tpu"], "cpu"),
    "no tracker": (["--experiment", "sf2f-64", "--track", "wandb"], "tensorboard"),
    "negative": (["--experiment", "sf2f-64", "--save-every", "-1"], "save-every"),
    "an average that stands still": (["--experiment", "sf2f-64", "--average", "1"], "average"),
    "a seed beyond 63 bits": (["--experiment", "sf2f-64", "--seed", str(2**63)], "seed"),
    "no judge": (["--experiment", "sf2f-64", "--set", "judge=arcface"], "no judge arcface"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors_end_with_2_and_say_what_is_valid(manifest: Path, tmp_path: Path, case: str) -> None:
    arguments, told = USAGE[case]
    result = models("train", "--manifest", manifest, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2 and told in result.output


def test_a_gpu_that_is_not_there_is_told(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = models("train", "--experiment", "sf2f-64", "--manifest", manifest, "--out", tmp_path, "--device", "cuda")
    assert result.exit_code == 2 and "no GPU here" in result.output


def test_data_errors_end_with_3_and_missing_things_with_4(
    manifest: Path, run: Path, judge: Path, tmp_path: Path
) -> None:
    def train(*arguments: object) -> Result:
        return models("train", "--experiment", "sf2f-small", "--out", tmp_path / "run", *tiny(judge), *arguments)

    assert train("--manifest", tmp_path / "none.parquet").exit_code == 4
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert train("--manifest", tmp_path / "broken.parquet").exit_code == 3
    (tmp_path / "half.safetensors").write_bytes((run / "last.safetensors").read_bytes()[:99])
    result = train("--manifest", manifest, "--start", tmp_path / "half.safetensors")
    assert result.exit_code == 3 and "not a checkpoint" in result.output
    result = train("--manifest", manifest, "--set", f"judge={tmp_path / 'own.safetensors'}")
    assert result.exit_code == 4 and "models pretrain-face" in result.output


@pytest.mark.parametrize("verb", ["evaluate", "generate", "export"])
def test_a_checkpoint_that_is_none_ends_with_3_or_4(verb: str, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    rest = {
        "evaluate": ["--manifest", manifest], "generate": [tmp_path / "voice.wav", "--out", tmp_path],
        "export": ["--onnx", tmp_path / "x.onnx"],
    }[verb]  # fmt: skip
    assert models(verb, "--checkpoint", tmp_path / "run", *rest).exit_code == 4
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    result = models(verb, "--checkpoint", tmp_path / "other.safetensors", *rest)
    assert result.exit_code == 3 and "not a checkpoint" in result.output


def test_another_run_in_the_folder_ends_with_2(manifest: Path, run: Path) -> None:
    result = models("train", "--experiment", "sf2f-small", "--manifest", manifest, "--out", run, *tiny(None))
    assert result.exit_code == 2 and "holds another run" in result.output


def test_every_option_of_a_run_can_be_given_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def spy(*given: Any) -> Path:
        seen.append(given)
        return tmp_path

    monkeypatch.setattr(training, "train", spy)
    result = models(
        "train", "--experiment", "sf2f-64", "--manifest", "m", "--out", tmp_path, "--device", "cpu", "--seed", 5,
        "--until", "settling", "--start", tmp_path, "--report-every", 6, "--save-every", 7, "--validate-every", 8,
        "--validation-judge", "dlib", "--average", 0.5, "--max-skipped", 9, "--no-autocast", "--no-compile",
        "--kept-gb", 0.5, "--track", "dvclive", "--track", "tensorboard", "--set", "batch=8",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    out, manifest, experiment, settings, options = seen[0]
    assert (out, manifest, experiment.name) == (tmp_path, Path("m"), "sf2f-64")
    assert settings == replace(experiment.settings, batch=8)
    expected = Options(
        torch.device("cpu"), 5, "settling", tmp_path, 6, 7, 8, "dlib", 0.5, 9, False, False, 1 << 29,
        ("dvclive", "tensorboard"),
    )  # fmt: skip
    assert options == expected
    default = Options(torch.device("cpu"))
    assert all(getattr(options, f.name) != getattr(default, f.name) for f in fields(options) if f.name != "device")
    models("train", "--experiment", "sf2f-64", "--manifest", "m", "--out", tmp_path, "--device", "cpu")
    assert seen[1][4] == default  # and what is not given is what `Options` says


def test_every_verb_has_help() -> None:
    for verb, command in main.commands.items():
        result = models(verb, "--help")
        assert result.exit_code == 0 and command.callback is not None
        assert (inspect.getdoc(command.callback) or "?").split()[0] in result.output, verb


def test_drawn_settings_are_those_of_their_system() -> None:
    assert [drawn.experiment(s).system for s in (drawn.SF2F, drawn.VOICE2FACE, drawn.SPEAKER)] == [
        "sf2f", "voice2face", "speaker"
    ]  # fmt: skip
