"""How soon commands answer: the start of each verb of `pipeline`, and `dvc status` at full size. One JSON line.

    python benchmarks/commands.py [--shards 1024]

`start_s`: from nothing to the end of commands that need no network, on the small tables of a tiny drawn data set.
`dvc_status_s`: in a copy of this repository's DVC set-up whose stages are stood in for by a program that writes as
many small shards per table as are asked for, after `dvc repro`. Seconds, medians of three.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

RUNS = 3
ROOT = Path(__file__).parents[1]
VERBS = ("run", "demo", "identities", "check-audio", "review-export", "remove", "train-segmenter", "validate", "stats")
COPIED = ("dvc.yaml", "params.yaml", ".dvcignore", "stages", "manifests", "pipeline", "removals", "review")

# Stands in for `pipeline`: writes small shards where `dvc.yaml` says that the stage's results go.
STAND_IN = """#!{python}
import sys
from pathlib import Path
import yaml

stage = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][sys.argv[2]]
for entry in [*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]:
    path = Path(next(iter(entry)))
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{{}}")
        continue
    path.mkdir(parents=True, exist_ok=True)
    for number in range({shards}):
        (path / f"part-{{number:04d}}.parquet").write_text(f"{{path}} {{number}}")
"""


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """How long a command takes, median; one more run before warms the disk. Raises where it fails."""
    taken = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken[1:]), 3)


def starts(folder: Path) -> dict[str, float]:
    """Seconds of every verb's help, and of commands that read a little."""
    pipeline = [sys.executable, "-m", "stages.cli"]
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*pipeline, "demo", "--manifest", "--people", "4", "--out", "."], cwd=folder, env=environment, check=True
    )
    metadata = folder / "people.csv"
    metadata.write_text("identity_id,name\nid1,A B\n")
    manifest = next(folder.rglob("hq_voxceleb.parquet"))
    calls: dict[str, list[str]] = {
        "--help": ["--help"],
        "--version": ["--version"],
        "weights list": ["weights", "list"],
    }
    calls |= {f"{verb} --help": [verb, "--help"] for verb in VERBS}
    calls |= {"identities": ["identities", str(metadata)], "validate": ["validate", str(manifest)]}
    return {name: seconds([*pipeline, *call], folder, environment) for name, call in calls.items()}


def dvc_status(folder: Path, shards: int) -> dict[str, float]:
    """Seconds of `dvc status` where every table has that many shards, and how many files it knows of."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    params: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    for root in params["voices"]["roots"]:
        (folder / root).mkdir(parents=True)
        (folder / root / "speech.wav").write_bytes(b"RIFF")
    stand_in = folder / "bin" / "pipeline"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN.format(python=sys.executable, shards=shards))
    stand_in.chmod(0o755)
    places = f"{stand_in.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = dict(os.environ) | {"PATH": places}
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "repro", "--quiet"]):
        subprocess.run(command, cwd=folder, env=environment, check=True)
    files = sum(len(names) for _, _, names in os.walk(folder / "data"))
    return {"dvc_status_s": seconds([sys.executable, "-m", "dvc", "status"], folder, environment), "files": files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=1024, help="per table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        started = starts(Path(small))
        status = dvc_status(Path(large), options.shards)
    slowest = max(started.values())
    print(
        json.dumps(
            {
                "benchmark": "commands",
                "slowest_start_s": slowest,
                "start_s": started,
                "shards": options.shards,
                **status,
            }
        )
    )


if __name__ == "__main__":
    main()
