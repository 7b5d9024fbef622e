"""Training and evaluation as DVC stages, in a scratch checkout of a hand-made manifest."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.models import drawn, scored

ROOT = Path(__file__).resolve().parents[2]
_SMALL = (
    "--set iterations=2 --set settling=1 --set fuser_iterations=1 --set batch=2 --set windows=2 --set perceptual=0 "
    "--set encoder_channels=[8,8,8,8] --set decoder_channels=[8,8,8,8,8] --set embedding=8 --report-every 1 "
    "--validate-every 1"
)


def dvc(folder: Path, *arguments: str) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The two pipelines and a hand-made manifest in a git repository of their own."""
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", "models/dvc.yaml", "models/params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    author = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "Start"], cwd=tmp_path, check=True)
    scored.manifest(tmp_path / "data")
    for folder in ("whiten", "voices"):  # what the stages of the root would have made beside it
        (tmp_path / "data" / folder).mkdir()
        (tmp_path / "data" / folder / "part").write_text("x")
    return tmp_path


def test_the_root_pipeline_does_not_include_training() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert not {"train", "evaluate"} & set(stages)
    assert not any("models" in json.dumps(stage["cmd"]) for stage in stages.values())
    assert not any("models/" in dependency for stage in stages.values() for dependency in stage["deps"])


def test_its_parameters_are_all_used_and_its_commands_exist() -> None:
    text = (ROOT / "models/dvc.yaml").read_text()
    for name in yaml.safe_load((ROOT / "models/params.yaml").read_text()):
        assert f"${{{name}}}" in text, name


def test_the_roots_graph_has_no_stage_of_models(checkout: Path) -> None:
    listed = dvc(checkout, "stage", "list", "--name-only").split()
    assert "crawl" in listed and not {"train", "evaluate"} & set(listed)
    assert {"train", "evaluate"} == {
        name.split(":")[-1] for name in dvc(checkout, "stage", "list", "--name-only", "models/dvc.yaml").split()
    }


@pytest.mark.slow
def test_train_and_evaluate_run_once_and_their_files_are_dvcs(checkout: Path) -> None:
    (checkout / "dvc.yaml").unlink()  # the root's stages would be brought up to date first; here is their result
    judge = drawn.write_judge(checkout / "judge.safetensors")
    path = checkout / "models/params.yaml"
    params = yaml.safe_load(path.read_text())
    params |= {"train_options": _SMALL, "judge": str(judge), "evaluate_options": "--runs 1"}
    path.write_text(yaml.safe_dump(params))
    dvc(checkout, "repro", "models/dvc.yaml")
    run = checkout / "runs/sf2f-small"
    (report,) = (run / "scores").glob("*.json")
    assert json.loads(report.read_text())["checkpoint"]["experiment"] == "sf2f-small"
    assert "up to date" in dvc(checkout, "status", "models/dvc.yaml")
    shown = json.loads(dvc(checkout, "metrics", "show", "--json"))
    found = json.dumps(shown)
    assert "runs/sf2f-small/dvclive/metrics.json" in found and "generator" in found
    assert "dvclive" in dvc(checkout, "plots", "show", "--json")
    assert not (checkout / "dvc.lock").exists()  # the root's stages were not run, nor looked at
    params["evaluate_options"] = "--runs 2"
    path.write_text(yaml.safe_dump(params))
    again = dvc(checkout, "repro", "models/dvc.yaml")
    assert (
        "Stage 'models/dvc.yaml:train' didn't change" in again and "Running stage 'models/dvc.yaml:evaluate'" in again
    )
