"""Several processes under torchrun, on the CPU by gloo: one run, equal weights, the gradient of the whole batch."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import state, train
from tests.models import drawn, two_ranks

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[2]


def together(folder: Path, manifest: Path, judge: Path, system: str, start: str = "-") -> list[dict[str, Any]]:
    """Two processes; what each of them says in the end."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.models.two_ranks"]
    done = subprocess.run(
        [sys.executable, *command, str(folder / "run"), str(manifest), str(judge), system, start],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_two_processes_train_sf2f_as_one(manifest: Path, judge: Path, tmp_path: Path) -> None:
    first, second = together(tmp_path, manifest, judge, "sf2f")
    assert first["weights"] == second["weights"]
    assert len(first["losses"]) == len(second["losses"]) == 8
    assert all(math.isfinite(value) for told in first["losses"] + second["losses"] for value in told.values())
    assert first["losses"][0]["l1"] != second["losses"][0]["l1"]  # each has its own half of the batch
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "losses" in line] == [1, 2, 3, 4, 1, 2, 1, 2]  # written once
    assert state.load_model(tmp_path / "run", torch.device("cpu")).fusing is not None


@pytest.mark.slow  # half a minute
def test_without_batch_norm_two_processes_equal_one(manifest: Path, judge: Path, tmp_path: Path) -> None:
    """voice2face has none but in its frozen encoder; noise and flips are left out, as each process draws its own."""
    speaker = drawn.SPEAKER
    options = replace(drawn.CPU, validate_every=0)
    start = train.train(tmp_path / "speaker", manifest, drawn.experiment(speaker), speaker, options)
    first, second = together(tmp_path, manifest, judge, "voice2face", str(start))
    assert first["weights"] == second["weights"]
    (tmp_path / "alone").mkdir()
    two_ranks.main(tmp_path / "alone/run", manifest, str(judge), "voice2face", str(start))
    alone = json.loads((tmp_path / "alone/rank0.json").read_text())
    for iteration, told in enumerate(alone["losses"]):
        for name, value in told.items():
            mean = (first["losses"][iteration][name] + second["losses"][iteration][name]) / 2
            assert mean == pytest.approx(value, rel=1e-4), (iteration, name)
    one, two = (state.read(out / "run/last.safetensors")[0] for out in (tmp_path, tmp_path / "alone"))
    moved = [name for name in one if name.startswith(("network/generator", "network/discriminator"))]
    for name in moved:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=5e-5)  # a quarter of one step of Adam
