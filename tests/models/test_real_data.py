"""The whole path on real people: photographs and recordings, manifest, a few steps of training, faces for voices.

What is held is that every step runs and what it leaves; so few steps on four people make no likeness to hold.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import Result
from PIL import Image

from tests.models.test_cli import models
from tests.test_end_to_end import ROOT
from tests.test_end_to_end import run as pipeline

pytestmark = pytest.mark.slow
STEPS = ("batch=4", "iterations=8")


@pytest.fixture(scope="module")
def project(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project beside the data, its manifest made with the settings that the README names."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("real")
    (folder / "shared").symlink_to(real_data.parent)
    shutil.copytree(ROOT / "params", folder / "main/params")
    done = pipeline(folder / "main", "run", "--params", "params/real_training.yaml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    return folder / "main"


@pytest.fixture(scope="module")
def manifest(project: Path) -> Path:
    return project / "build/real_training/data/hq_voxceleb.parquet"


def train(verb: str, manifest: Path, out: Path, experiment: str, *more: object) -> Result:
    sets = [word for setting in STEPS for word in ("--set", setting)]
    result = models(
        verb, "--manifest", manifest, "--experiment", experiment, "--out", out, "--device", "cpu",
        "--report-every", 1, *sets, *more,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def sf2f(manifest: Path) -> Path:
    out = manifest.parent / "runs/sf2f"
    train("train", manifest, out, "sf2f-small", "--set", "settling=2", "--set", "fuser_iterations=2")
    return out


@pytest.fixture(scope="module")
def voice2face(manifest: Path) -> Path:
    speaker, out = manifest.parent / "runs/speaker", manifest.parent / "runs/voice2face"
    train("pretrain-voice", manifest, speaker, "speaker-small")
    train("train", manifest, out, "voice2face-small", "--start", speaker)
    return out


def test_the_manifest_pairs_real_faces_and_voices_in_every_split(project: Path, manifest: Path) -> None:
    checked = pipeline(project, "validate", str(manifest.relative_to(project)))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    rows = pd.read_parquet(manifest)
    kinds = rows.groupby("identity_id").kind.agg(set)
    assert len(kinds) >= 5 and all(found == {"face", "speech"} for found in kinds)
    assert set(rows.split) == {"train", "val", "test"}
    faces = rows[rows.kind == "face"]
    assert faces.width.min() >= 64 and (faces.width == faces.height).all()


@pytest.mark.parametrize("system", ["sf2f", "voice2face"])
def test_a_few_steps_leave_finite_losses_and_faces_to_look_at(system: str, request: pytest.FixtureRequest) -> None:
    out: Path = request.getfixturevalue(system)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    told = [line["losses"] for line in lines if "losses" in line]
    assert len(told) >= 8 and all(math.isfinite(value) for losses in told for value in losses.values())
    assert not any(line.get("not_finite") for line in lines)
    assert any("validation" in line for line in lines) and list((out / "samples").glob("*.png"))


@pytest.mark.parametrize("system", ["sf2f", "voice2face"])
def test_every_usable_recording_gets_its_face(
    system: str, request: pytest.FixtureRequest, manifest: Path, real_data: Path, tmp_path: Path
) -> None:
    """All recordings that stage `voices` found speech in: VoxCeleb, LibriSpeech, VCTK, digits at 8 kHz, MP3."""
    kept = pd.concat(pd.read_parquet(path, columns=["source"]) for path in (manifest.parent / "voices").iterdir())
    recordings = sorted(real_data / "speech" / source for source in kept.source)
    assert len(recordings) >= 100
    made = models("generate", "--checkpoint", request.getfixturevalue(system), "--out", tmp_path, *recordings)
    assert made.exit_code == 0, made.output
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == len(recordings)
    for folder, recording in zip(folders, recordings, strict=True):
        facts = json.loads((folder / "face.json").read_text())
        assert facts["recording"] == recording.name and facts["voiced_s"] >= 0.3
        face, windows = (np.asarray(Image.open(folder / name)) for name in ("face.png", "windows.png"))
        assert face.shape == (64, 64, 3) and face.std() > 0
        assert windows.shape == (64 * math.ceil(facts["windows"] / 10), 64 * min(facts["windows"], 10), 3)


def test_a_judge_scores_what_it_was_not_trained_against(voice2face: Path, manifest: Path) -> None:
    result = models("evaluate", "--checkpoint", voice2face, "--manifest", manifest, "--judge", "dlib", "--runs", 2)
    assert result.exit_code == 0, result.output
    (report,) = voice2face.glob("evaluation-*.json")
    assert json.loads(report.read_text())["judge"]["name"] == "dlib"
