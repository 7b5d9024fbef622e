"""From a params file to a valid manifest: the whole chain, its accounts, and what survives a kill."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from manifests import table
from stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = [sys.executable, "-m", "stages.cli"]
ON_PICTURES = ("landmarks", "identity", "emotion", "align", "whiten", "review")


def settle(folder: Path, people: int, **changes: dict[str, object]) -> None:
    """A project folder of its own: the repository's settings with fewer people."""
    folder.mkdir(parents=True, exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["crawl"]["demo_people"] = people
    params["run"]["buckets"] = 3
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "removals", folder / "removals")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*PIPELINE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def start_like(finished: Path, folder: Path) -> None:
    """The same project before its first run, the drawn world apart."""
    for name in ("demo", "removals"):
        shutil.copytree(finished / name, folder / name, dirs_exist_ok=True)
    shutil.copy(finished / "params.yaml", folder)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("data", "metrics", "reports")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run over three people with two workers."""
    folder = tmp_path_factory.mktemp("world")
    settle(folder, people=3, review={"min_per_person": 1}, manifest={"require_both": False})
    done = run(folder, "run", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "speech clips" in done.stdout
    return folder


def test_the_manifest_is_valid_and_so_is_every_shard(finished: Path) -> None:
    shards = [str(path.relative_to(finished)) for path in sorted((finished / "data").rglob("*.parquet"))]
    assert len(shards) > 30
    checked = run(finished, "validate", *shards)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_row_is_kept_or_dropped_at_every_stage(finished: Path) -> None:
    metrics = {name: json.loads((finished / f"metrics/{name}.json").read_text()) for name in STAGES[:-1]}
    for name in STAGES[:-1]:
        assert metrics[name]["kept"] + sum(metrics[name]["reasons"].values()) == metrics[name]["input"], name
    for before, after in zip(("crawl", *ON_PICTURES), ON_PICTURES, strict=False):
        assert metrics[after]["input"] == metrics[before]["kept"]
    assert metrics["manifest"]["input"] == metrics["review"]["kept"] + metrics["voices"]["kept"]


def test_planted_defects_are_dropped_for_what_they_are(finished: Path) -> None:
    truth = pd.read_parquet(finished / "demo/truth/photos.parquet").set_index("url")
    manifest = pd.read_parquet(finished / "data/hq_voxceleb.parquet")
    survived = set(truth.loc[manifest[manifest.kind == "face"].source].defect.dropna())
    never = {"turned", "nodded", "tiny", "two_people", "nobody", "exact_duplicate", "grey", "side_light", "smile"}
    never |= {"surprise", "truncated", "html_as_jpg", "zero_bytes"}
    assert never <= set(truth.defect)
    assert not survived & never
    assert (manifest.kind == "face").sum() >= 3


def test_the_same_command_does_nothing_twice(finished: Path) -> None:
    before = digests(finished)
    again = run(finished, "run", "--workers", "2")
    assert again.returncode == 0
    assert again.stderr.count("shards were up to date") == len(STAGES) - 2
    assert digests(finished) == before


@pytest.mark.slow
def test_one_worker_gives_the_same_bytes_as_two(finished: Path, tmp_path: Path) -> None:
    start_like(finished, tmp_path)
    assert run(tmp_path, "run", "--workers", "1").returncode == 0
    assert digests(tmp_path) == digests(finished)


def test_another_limit_runs_no_network_on_pictures_seen_before(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["landmarks"]["max_yaw_deg"] = 3.0
    params["emotion"]["min_neutrality"] = 0.8
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    scored = {
        p: p.stat().st_mtime_ns
        for name in ("landmarks", "emotion")
        for p in (tmp_path / "data/scores" / name).iterdir()
    }
    assert run(tmp_path, "run", *ON_PICTURES).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in scored} == scored


def test_a_removed_person_never_comes_back(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    gone = pd.read_parquet(tmp_path / "data/hq_voxceleb.parquet").identity_id.iloc[0]
    assert run(tmp_path, "review-export", "--batch-size", "10").returncode == 0
    given = len(list((tmp_path / "data/review_batches").glob("*/index.html")))
    removed = run(tmp_path, "remove", "--person", gone)
    assert removed.returncode == 0
    assert "concern 0 rows" not in removed.stdout
    assert run(tmp_path, "run").returncode == 0
    for name in ("crawl", *ON_PICTURES, "voices"):
        assert not any(
            gone == row["identity_id"]
            for p in table.shards(tmp_path / "data" / name)
            for row in table.read_rows(p, ["identity_id"])
        )
    assert gone not in set(pd.read_parquet(tmp_path / "data/hq_voxceleb.parquet").identity_id)
    for page in ("removals/list.jsonl", "reports/index.html", "reports/stats.json"):
        assert gone not in (tmp_path / page).read_text(), page
    batches = tmp_path / "data/review_batches"
    left = {page.parent.name: page.read_text() for page in batches.glob("*/index.html")}
    assert 0 < len(left) < given, "the person's batch is withdrawn, the others are not"
    assert not [name for name, text in left.items() if gone in text]
    assert gone not in {row["identity_id"] for row in table.read_rows(batches / "review_tasks.parquet")}


@pytest.mark.slow
def test_killed_anywhere_the_same_command_ends_with_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """SIGKILL of the whole process group in the middle of several stages."""
    start_like(finished, tmp_path)
    for shards in (1, 9, 20, 31, 42, 55):
        kill_after(shards, tmp_path, [*PIPELINE, "run", "--workers", "2"])
    assert run(tmp_path, "run", "--workers", "2").returncode == 0
    assert digests(tmp_path) == digests(finished)


def start(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """A command as the head of its own process group."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=nowhere, stderr=nowhere, start_new_session=True
    )


def kill(process: subprocess.Popen[bytes], whole_group: bool) -> None:
    """SIGKILL a command, alone or with all that it started."""
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


def kill_after(shards: int, folder: Path, command: list[str], whole_group: bool = True) -> None:
    """Start a command; SIGKILL it, or its whole process group, soon after that many shards are there."""
    process = start(folder, command)
    while len(list((folder / "data").rglob("part-*.parquet"))) < shards:
        assert process.poll() is None, f"ended before {shards} shards were written"
        time.sleep(0.01)
    time.sleep(random.Random(shards).uniform(0, 0.5))
    assert process.poll() is None
    kill(process, whole_group)


def outputs(folder: Path, stage: str) -> list[Path]:
    """What a stage writes, but for the metrics."""
    parts = ["hq_voxceleb.parquet"] if stage == "manifest" else []
    data = [folder / "data" / name for name in (stage, f"scores/{stage}", f"drops/{stage}", *parts)]
    return [*data, *([folder / "reports"] if stage == "stats" else [])]


def forget(folder: Path, stage: str) -> None:
    """Delete what a stage has written."""
    for path in outputs(folder, stage):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def finished_shards(folder: Path, stage: str) -> dict[Path, int]:
    """When each finished shard of a stage was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in (folder / "data" / stage).glob("part-*.parquet")}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_any_stage_killed_at_random_moments_ends_with_the_same_bytes(
    finished: Path, tmp_path: Path, stage: str
) -> None:
    """SIGKILL during start-up, between and within shards, of the command alone or with its workers."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    forget(tmp_path, stage)
    rng = random.Random(stage)
    written: dict[Path, int] = {}
    for _ in range(4):
        process = start(tmp_path, [*PIPELINE, "run", stage, "--workers", "2"])
        more = len(finished_shards(tmp_path, stage)) + rng.randrange(3)
        while process.poll() is None and len(finished_shards(tmp_path, stage)) < more:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.3 if more else 3.0))
        if process.poll() is not None:  # it was faster: once more from the start
            forget(tmp_path, stage)
            written = {}
            continue
        kill(process, whole_group=bool(rng.randrange(2)))
        written |= finished_shards(tmp_path, stage)
    assert run(tmp_path, "run", stage, "--workers", "2").returncode == 0
    assert digests(tmp_path) == digests(finished)
    assert written.items() <= finished_shards(tmp_path, stage).items(), "a finished shard is never made again"


@pytest.mark.slow
def test_dvc_repro_killed_and_repeated_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """SIGKILL of `dvc repro`, with all it started or alone: then the next run takes over from its child.

    Always within a stage of eight shards: DVC itself does not write its lock file atomically between two.
    """
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("stages", "pipeline", "manifests", "review", "removals"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc")
    start_like(finished, tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    repro = [sys.executable, "-m", "dvc", "repro"]
    for shards, whole_group in ((1, True), (12, False), (26, True), (44, False)):
        kill_after(shards, tmp_path, repro, whole_group)
    done = subprocess.run(repro, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = subprocess.run(repro, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Data and pipelines are up to date" in again.stdout + again.stderr
    ours = {name: digest for name, digest in digests(tmp_path).items() if ".gitignore" not in name}
    assert ours == digests(finished)


@pytest.mark.slow
def test_the_real_example_ends_with_a_valid_manifest(real_data: Path, tmp_path: Path) -> None:
    """Photographs, odd files and recordings of real people through every stage."""
    project = tmp_path / "main"
    project.mkdir()
    (tmp_path / "shared").symlink_to(real_data.parent)
    shutil.copytree(ROOT / "params", project / "params")
    done = run(project, "run", "--params", "params/real_example.yaml")
    assert done.returncode == 0, done.stderr
    manifest = project / "build/real/data/hq_voxceleb.parquet"
    assert run(project, "validate", str(manifest)).returncode == 0
    rows = pd.read_parquet(manifest)
    assert (rows.kind == "face").sum() >= 15
    assert (rows.kind == "speech").sum() >= 100
    drops = [row for path in (project / "build/real/data/drops").rglob("*.parquet") for row in table.read_rows(path)]
    assert not [row for row in drops if row["reason"] == "error"]
