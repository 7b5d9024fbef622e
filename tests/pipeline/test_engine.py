"""The engine: the same results from one process and from several."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import parent_process
from pathlib import Path

import cv2
import pytest
import torch
from threadpoolctl import threadpool_info

from manifests.errors import HqvoxError
from pipeline import engine


def double(task: int) -> int:
    return 2 * task


def slow(task: int) -> tuple[int, int]:
    time.sleep(0.05)
    return task, os.getpid()


def die_over_three(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def fail_in_a_worker(task: int) -> int:
    time.sleep(0.1)
    if parent_process() is not None:
        raise ValueError("a worker's error")
    return task


def threads(task: int) -> dict[str, int]:
    """Threads of each library that has some, the most among the pools of BLAS and OpenMP."""
    time.sleep(0.05)
    pools = max(pool["num_threads"] for pool in threadpool_info())
    return {"OpenCV": cv2.getNumThreads(), "torch": torch.get_num_threads(), "pools": pools}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Workers find this module imported."""
    engine.preload(["tests.pipeline.test_engine"])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(engine.map_shards(double, range(10), workers)) == [2 * i for i in range(10)]


@pytest.mark.parametrize("workers", [2, 3])
def test_as_many_processes_as_asked_for_share_the_tasks(workers: int) -> None:
    results = list(engine.map_shards(slow, range(40), workers))
    assert sorted(task for task, _ in results) == list(range(40))
    assert len({process for _, process in results}) == workers
    assert os.getpid() not in {process for _, process in results}, "what crashes must not take the run with it"


def test_one_task_stays_in_this_process() -> None:
    assert [process for _, process in engine.map_shards(slow, range(1), 2)] == [os.getpid()]


def run_script(folder: Path, body: str) -> subprocess.Popen[str]:
    """Run Python code as a program of its own."""
    script = folder / "program.py"
    script.write_text(f"from pipeline import engine\nfrom tests.pipeline import test_engine\n{body}")
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, script], env=environment, stdout=pipe, stderr=pipe, text=True)


def test_a_program_that_ends_early_leaves_no_fork_server(tmp_path: Path) -> None:
    program = run_script(tmp_path, "if __name__ == '__main__':\n    engine.preload(['torch'])\n    print(1)\n")
    assert program.communicate(timeout=60) == ("1\n", "")  # ends only when nobody holds the pipe
    assert program.returncode == 0


@pytest.mark.slow
def test_a_fork_server_killed_while_it_starts_costs_nothing(tmp_path: Path) -> None:
    program = run_script(
        tmp_path,
        "import os, signal\n"
        "from multiprocessing.forkserver import _forkserver\n"
        "if __name__ == '__main__':\n"
        "    engine.preload(['torch'])\n"
        "    os.kill(_forkserver._forkserver_pid, signal.SIGKILL)\n"
        "    print(sum(1 for _ in engine.map_shards(test_engine.slow, range(40), 2)))\n",
    )
    assert program.communicate(timeout=60) == ("40\n", "")
    assert program.returncode == 0


@pytest.mark.slow
def test_workers_end_with_the_process_they_work_for(tmp_path: Path) -> None:
    program = run_script(
        tmp_path,
        "if __name__ == '__main__':\n"
        "    engine.preload([])\n"
        "    for _, worker in engine.map_shards(test_engine.slow, range(100_000), 2):\n"
        "        print(worker, flush=True)\n",
    )
    assert program.stdout is not None
    worker = next(int(line) for line in program.stdout if int(line) != program.pid)
    program.kill()
    program.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        for _ in range(500):
            os.kill(worker, 0)
            time.sleep(0.01)


@pytest.mark.parametrize("executor", [engine.Serial(), engine.Processes(2)])
def test_no_library_has_a_second_thread(executor: engine.Executor) -> None:
    assert list(executor.map(threads, range(4))) == [{"OpenCV": 1, "torch": 1, "pools": 1}] * 4


def test_a_killed_worker_costs_the_task_it_had() -> None:
    results = list(engine.Processes(2).map(die_over_three, range(10)))
    died = [result for result in results if isinstance(result, engine.Died)]
    assert died == [engine.Died(3, -signal.SIGKILL)]
    assert sorted(result for result in results if isinstance(result, int)) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    with pytest.raises(HqvoxError, match="run the same command again"):
        list(engine.map_shards(die_over_three, range(10), 2))


def test_an_error_in_a_worker_is_raised_here() -> None:
    with pytest.raises(ValueError, match="a worker's error"):
        list(engine.map_shards(fail_in_a_worker, range(20), 2))
