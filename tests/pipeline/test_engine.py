"""The engine: the same results from one process and from several."""

import os
import signal

import pytest

from manifests.errors import HqvoxError
from pipeline import engine


def double(task: int) -> int:
    return 2 * task


def die(task: int) -> int:
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def threads(_task: int) -> tuple[str, str]:
    return os.environ["OMP_NUM_THREADS"], os.environ["OPENCV_FOR_THREADS_NUM"]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(engine.map_shards(double, range(10), workers)) == [2 * i for i in range(10)]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_have_one_thread_each(workers: int) -> None:
    assert set(engine.map_shards(threads, range(4), workers)) == {("1", "1")}


def test_a_killed_worker_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(HqvoxError, match="run the same command again"):
        list(engine.map_shards(die, range(4), 2))
