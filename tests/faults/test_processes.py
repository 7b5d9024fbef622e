"""Killed workers, killed runs, and two runs at once: a clear message, no process left, no row lost or done again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from manifests import table
from manifests.table import bucket_of
from tests.faults.toy_command import PEOPLE, SHARDS
from tests.pipeline.toy import digests, values

ROOT = Path(__file__).resolve().parents[2]
ROWS = 47  # 12 people with 4 numbers each, but for thirteen
LARGEST = 4 * max(
    sum(bucket_of(f"p{person}", SHARDS) == bucket for person in range(PEOPLE)) for bucket in range(SHARDS)
)  # rows of a shard


def start(folder: Path, seconds: float, workers: int = 2) -> subprocess.Popen[str]:
    """The toy command as the head of its own process group."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.faults.toy_command", str(workers), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stderr=subprocess.PIPE, start_new_session=True
    )


def end(process: subprocess.Popen[str], code: int = 0) -> str:
    """What it said; it must have ended with this exit code."""
    said = process.communicate(timeout=120)[1]
    assert process.returncode == code, said
    return said


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_whole(folder: Path) -> bool:
    """Every row and every shard is there, and nothing temporary is left."""
    shards = table.shards(folder / "data/squares", SHARDS)
    return len(shards) == SHARDS and len(values(folder / "data/squares")) == ROWS and not list(folder.rglob("*.tmp"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run with one worker leaves."""
    folder = tmp_path_factory.mktemp("clean")
    end(start(folder, 0, workers=1))
    assert is_whole(folder)
    assert sorted(lines(folder / "log")) == sorted(set(lines(folder / "log")))
    return digests(folder / "data")


def test_a_killed_worker_costs_nothing_but_its_shard_in_hand(tmp_path: Path, clean: dict[str, str]) -> None:
    run = start(tmp_path, 0.15)
    wait_for(lambda: lines(tmp_path / "pids"))
    os.kill(int(lines(tmp_path / "pids")[0]), signal.SIGKILL)
    said = end(run)
    assert "a worker died over part-" in said
    assert is_whole(tmp_path)
    assert digests(tmp_path / "data") == clean
    assert len(lines(tmp_path / "log")) <= ROWS + LARGEST, "at most the shard of the dead worker is done again"


def test_the_workers_of_a_killed_run_do_not_outlive_it(tmp_path: Path, clean: dict[str, str]) -> None:
    """Not even for the shard in hand: the next run would compete with them."""
    run = start(tmp_path, 0.15)
    wait_for(lambda: len(set(lines(tmp_path / "pids"))) == 2)
    workers = {int(pid) for pid in lines(tmp_path / "pids")}
    run.kill()
    run.communicate()
    wait_for(lambda: not any(map(alive, workers)), seconds=5)
    end(start(tmp_path, 0))
    assert is_whole(tmp_path)
    assert digests(tmp_path / "data") == clean


def test_a_second_run_says_that_it_waits_and_does_nothing_twice(tmp_path: Path, clean: dict[str, str]) -> None:
    first = start(tmp_path, 0.05)
    wait_for(lambda: lines(tmp_path / "log"))
    second = start(tmp_path, 0.05)
    end(first)
    said = end(second)
    assert "squares    another run is at this stage in data; waiting until it has ended" in said
    assert said.count(f"{SHARDS} shards were up to date") == 2
    assert len(lines(tmp_path / "log")) == ROWS, "no row is scored by both"
    assert digests(tmp_path / "data") == clean


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_killed_at_random_moments_the_same_command_gets_there_with_the_same_bytes(
    tmp_path: Path, clean: dict[str, str], workers: int
) -> None:
    rng = random.Random(workers)
    kills = 6
    for kill in range(kills):
        run = start(tmp_path, 0.05, workers)
        enough = len(lines(tmp_path / "log")) + rng.randrange(ROWS // kills)
        wait_for(lambda: run.poll() is not None or len(lines(tmp_path / "log")) >= enough)  # noqa: B023
        time.sleep(rng.uniform(0, 0.2))
        if kill % 2:
            os.killpg(run.pid, signal.SIGKILL)
        run.kill()
        run.communicate()
    end(start(tmp_path, 0, workers))
    assert is_whole(tmp_path)
    assert digests(tmp_path / "data") == clean
    assert len(lines(tmp_path / "log")) <= ROWS + kills * workers * LARGEST
