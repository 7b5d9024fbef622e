"""A Dask cluster gives the bytes that one process gives, with poison rows and with a worker killed half way."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from benchmarks import killed_worker
from manifests.errors import Missing, UsageError
from pipeline import source_code
from pipeline.cluster import connected
from pipeline.engine import Processes, preload
from pipeline.run import run_stage
from tests.pipeline.poison import SCORE_DEADLY
from tests.pipeline.test_engine import slow, threads
from tests.pipeline.test_rescue import settings
from tests.pipeline.toy import NUMBER_STAGE, digests


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, as people start them."""
    with killed_worker.cluster(tmp_path) as (address, *_):
        yield address


@pytest.mark.slow
def test_poison_rows_cost_the_same_on_a_cluster(tmp_path: Path, cluster: str) -> None:
    preload(["pipeline.rescue", "tests.pipeline.poison", "tests.pipeline.test_rescue"])
    folders = {name: tmp_path / name for name in ("here", "there")}
    for folder in folders.values():
        folder.mkdir()
    run_stage(NUMBER_STAGE, settings(folders["here"]), 1)
    run_stage(SCORE_DEADLY, settings(folders["here"]), Processes(2))
    with connected(cluster, workers=0) as dask, chdir(folders["there"]):
        run_stage(NUMBER_STAGE, settings(folders["there"]), dask)
        summary = run_stage(SCORE_DEADLY, settings(folders["there"]), dask)
    assert summary is not None and summary.failed == 4
    assert digests(folders["here"] / "data") == digests(folders["there"] / "data")
    started, *_ = (folders["there"] / ".hqvox/events.jsonl").read_text().splitlines()
    assert json.loads(started)["executor"] == "dask"
    assert json.loads(started)["dashboard"].startswith("http://127.0.0.1:")


@pytest.mark.slow
def test_no_library_of_a_worker_has_a_second_thread(cluster: str) -> None:
    with connected(cluster, workers=0) as dask:
        assert list(dask.map(threads, range(4))) == [{"OpenCV": 1, "torch": 1, "pools": 1}] * 4


@pytest.mark.slow
def test_workers_with_other_code_are_refused(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were started before the code was changed would write what nobody expects."""
    monkeypatch.setattr(source_code, "digest", lambda: "changed since")
    with connected(cluster, workers=0) as dask, pytest.raises(UsageError, match="start them again"):
        list(dask.map(abs, [1]))


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster._CONNECT_S", 3.0)
    with killed_worker.cluster(tmp_path) as (address, scheduler, _), connected(address, workers=0) as dask:
        results = dask.map(slow, range(400))
        next(results)
        scheduler.kill()
        with pytest.raises(Missing, match="went away"):
            list(results)


@pytest.mark.slow
def test_dvc_repro_with_a_worker_killed_half_way_changes_no_byte(tmp_path: Path) -> None:
    """A world of 20 people, a scheduler and two workers started by hand."""
    command = [sys.executable, killed_worker.__file__, "--people", "20", "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["equal"] and found["files"] > 100


def test_no_scheduler_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster._CONNECT_S", 0.5)
    with (
        pytest.raises(Missing, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        connected("tcp://127.0.0.1:9", workers=0),
    ):
        pass
