"""A Dask cluster gives the bytes that one process gives, with poison rows and with a worker killed half way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from manifests.errors import Missing
from pipeline.cluster import connected
from pipeline.engine import Processes, preload
from pipeline.run import run_stage
from tests.pipeline.poison import SCORE_DEADLY
from tests.pipeline.test_rescue import settings
from tests.pipeline.toy import NUMBER_STAGE, digests

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("crawl", "landmarks", "emotion", "voices")
PARAMS = "run: {buckets: 4}\ncrawl: {demo_people: 4}\nvoices: {roots: [demo/voices], metadata: [demo/meta.csv]}\n"


def start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    silent = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment, stdout=silent, stderr=silent)


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers as people start them: its address, and the workers."""
    file = tmp_path / "scheduler.json"
    nowhere = (
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--dashboard-address",
        "127.0.0.1:0",
        "--scheduler-file",
        str(file),
    )
    scheduler = start(tmp_path, "distributed.cli.dask_scheduler", *nowhere)
    one = ("--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard")
    workers = []
    try:
        wait_for(file.exists)
        workers = [start(tmp_path, "distributed.cli.dask_worker", *one) for _ in range(2)]
        yield json.loads(file.read_text())["address"], workers
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait(timeout=60)


@pytest.mark.slow
def test_poison_rows_cost_the_same_on_a_cluster(
    tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    preload(["pipeline.rescue", "tests.pipeline.poison", "tests.pipeline.test_rescue"])
    folders = {name: tmp_path / name for name in ("here", "there")}
    for folder in folders.values():
        folder.mkdir()
    run_stage(NUMBER_STAGE, settings(folders["here"]), 1)
    run_stage(SCORE_DEADLY, settings(folders["here"]), Processes(2))
    with connected(cluster[0], workers=0) as dask, chdir(folders["there"]):
        run_stage(NUMBER_STAGE, settings(folders["there"]), dask)
        summary = run_stage(SCORE_DEADLY, settings(folders["there"]), dask)
    assert summary is not None and summary.failed == 4
    assert digests(folders["here"] / "data") == digests(folders["there"] / "data")


@pytest.mark.slow
def test_a_worker_killed_half_way_changes_no_byte(
    tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    """The stages over a small synthetic world, as `dvc repro` calls them: only the environment names the cluster."""
    address, workers = cluster
    found = {}
    for name, environment in (("serial", {}), ("dask", {"DASK_SCHEDULER_ADDRESS": address})):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "params.yaml").write_text(PARAMS)
        call = [
            sys.executable,
            "-m",
            "stages.cli",
            "run",
            *STAGES,
            *(["--executor", "serial"] if not environment else []),
        ]
        run = subprocess.Popen(
            call, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, stderr=subprocess.PIPE
        )
        if environment:
            wait_for(lambda: run.poll() is not None or list((folder / "data/scores/landmarks").glob("*.parquet")))  # noqa: B023
            assert run.poll() is None, "killed too late"
            kill_with_children(workers[0].pid)
        said = run.communicate(timeout=600)[1].decode()
        assert run.returncode == 0, said
        found[name] = digests(folder / "data")
        assert len(found[name]) == 4 * (len(STAGES) * 2 + 2), "kept and drops of each stage, and the scores of two"
    assert found["dask"] == found["serial"]


def kill_with_children(pid: int) -> None:
    """Kill a worker with its nanny, so that nobody starts it again."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)


def test_no_scheduler_is_told_at_once() -> None:
    with (
        pytest.raises(Missing, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        connected("tcp://127.0.0.1:9", workers=0),
    ):
        pass
