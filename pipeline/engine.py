"""Map a function over shards: one after another, or in a pool of processes with one thread each.

The same function, tasks and results either way, so that an executor can be swapped without touching a stage.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from manifests.errors import HqvoxError

Task = TypeVar("Task")
Result = TypeVar("Result")

# Every library that starts threads of its own: two workers with two threads each are slower than one.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin_threads() -> None:
    """One thread for the numeric libraries of this process and of the workers it starts.

    The number of threads changes the order of sums, and so the last bits of a score: one everywhere is what makes
    the same bytes at any worker count.
    """
    for name in _THREADS:
        os.environ[name] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def preload(modules: Sequence[str]) -> None:
    """Have the fork server import these once, so that every worker starts with them in memory.

    Of effect only before the first pool of this process, since one fork server serves them all.
    """
    # pyarrow would load pandas in each worker, at its first shard.
    get_context("forkserver").set_forkserver_preload(["pandas", "pyarrow.parquet", "pipeline.shard", *modules])


def map_shards(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Yield the results of `function` over `tasks`, in the order they finish."""
    pin_threads()
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield function(task)
        return
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("forkserver"))
    try:
        for future in as_completed([pool.submit(function, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise HqvoxError(
            "a worker process died (killed, or out of memory); finished shards are kept: run the same command again, "
            "with fewer --workers if memory is short"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
