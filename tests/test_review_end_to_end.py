"""`review.mode: human`, from export to manifest: what scripted reviewers decide is what `dvc repro` builds."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from manifests.table import read_rows, shards
from pipeline.review import page
from pipeline.review.decisions import line
from tests.pipeline.review.said import at, said

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = (sys.executable, "-m", "stages.cli")
REPRO = (sys.executable, "-m", "dvc", "repro")


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn world under DVC, built once while every picture waits for a person."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("stages", "pipeline", "manifests", "review", "removals"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.jsonl", ".*.lock"))
    shutil.copytree(ROOT / "removals", folder / "removals", dirs_exist_ok=True)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["crawl"]["demo_people"] = 4
    params["run"] |= {"buckets": 2, "workers": 1}
    params["review"] |= {"mode": "human", "min_per_person": 2, "max_per_person": 3}
    params["manifest"]["require_both"] = False
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert "wait for a person's decision" in run(folder, *REPRO)
    return folder


def decide(folder: Path, batch: str, reviewer_keeps: int, second: int) -> Path:
    """A reviewer who keeps each person's first pictures, calls the next one a wrong person and rejects the rest."""
    shown = page.read(folder / "data/review_batches" / batch / "index.html")
    words = ["keep"] * reviewer_keeps + ["wrong_person"] + ["reject"] * 100
    lines = [
        line(said(word, shown["reviewer"], task["sample_id"], shown["round"], shown=task["shown_sha256"],
                  at=at(second), seconds=1.5))
        for person in shown["people"]
        for word, task in zip(words, person["tasks"], strict=False)
    ]  # fmt: skip
    path = folder / f"{batch}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def faces(folder: Path) -> pd.DataFrame:
    manifest = pd.read_parquet(folder / "data/hq_voxceleb.parquet")
    return manifest[manifest.kind == "face"]


def verdicts(folder: Path) -> dict[str, str]:
    lines = (folder / "review/decisions.jsonl").read_text().splitlines()
    return {one["sample_id"]: one["decision"] for one in map(json.loads, lines)}


def whitened(folder: Path) -> dict[str, str]:
    """Sample to person, of all pictures that could be kept."""
    rows = [row for path in shards(folder / "data/whiten") for row in read_rows(path, ["identity_id", "sample_id"])]
    return {row["sample_id"]: row["identity_id"] for row in rows}


@pytest.mark.slow
def test_people_decide_and_the_manifest_obeys(project: Path) -> None:
    assert faces(project).empty
    run(project, *PIPELINE, "review-export", "--reviewers", "anna,ben", "--overlap", "0", "--workers", "1")
    batches = sorted(path.name for path in (project / "data/review_batches").iterdir() if path.is_dir())
    files = [str(decide(project, batch, 2, 1)) for batch in batches]
    assert "0 known already" in run(project, *PIPELINE, "review-import", *files)
    assert "Nothing is left to decide" in run(project, *PIPELINE, "review-status")
    run(project, *REPRO)
    there, said_of = whitened(project), verdicts(project)
    assert set(there) == set(said_of)
    kept = Counter(there[sample] for sample, word in said_of.items() if word == "keep")
    expected = {sample for sample, word in said_of.items() if word == "keep" and kept[there[sample]] >= 2}
    assert set(faces(project).sample_id) == expected
    assert expected
    report = json.loads((project / "reports/stats.json").read_text())["review"]
    assert {one["name"] for one in report["reviewers"]} <= {"anna", "ben"}
    assert report["settled"] == len(there)
    assert "up to date" in run(project, *REPRO)

    # They think again and keep everything: of more than the most, the best by quality are taken.
    lines = [json.loads(text) for text in (project / "review/decisions.jsonl").read_text().splitlines()]
    mild = [json.dumps(one | {"decision": "keep", "at": at(2)}) for one in lines]
    (project / "mild.jsonl").write_text("\n".join(mild) + "\n")
    assert "differ from what the same reviewer said before" in run(project, *PIPELINE, "review-import", "mild.jsonl")
    run(project, *REPRO)
    found = Counter(there.values())
    assert Counter(faces(project).identity_id) == {name: min(count, 3) for name, count in found.items() if count >= 2}
    drops = [row for path in (project / "data/drops/review").glob("*.parquet") for row in read_rows(path, ["reason"])]
    assert {row["reason"] for row in drops} <= {"not_among_best", "too_few_kept"}
