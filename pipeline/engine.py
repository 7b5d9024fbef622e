"""Map a function over shards: in this process, which other processes join as soon as they have started.

The same function, tasks and results either way, so that an executor can be swapped without touching a stage.
"""

import atexit
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import forkserver, get_context, parent_process
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

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
_ALONE_S = 0.1  # what takes less is done before another process could help
_POLL_S = 0.01

# Workers are forked from a process that has imported the stages and nothing else: this one has threads, and a fork
# of it could inherit a lock that nobody will ever release.
_CONTEXT = get_context("forkserver")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin_threads() -> None:
    """One thread for the numeric libraries of this process and of the workers it starts.

    The number of threads changes the order of sums, and so the last bits of a score: one everywhere is what makes
    the same bytes at any worker count.
    """
    for name in _THREADS:
        os.environ[name] = "1"  # read by what is loaded from now on; the rest is for what is loaded already
    if "numpy" in sys.modules:
        threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def preload(modules: Sequence[str]) -> None:
    """Start the fork server, so that it imports these while this process does, and every worker has them in memory.

    Of effect only once and before the first `map_shards`, since one fork server serves them all.
    """
    # pyarrow would load pandas in each worker, at its first shard.
    _CONTEXT.set_forkserver_preload(["pandas", "pyarrow.parquet", "pipeline.shard", *modules])
    _fork_server()


@cache
def _fork_server() -> Event:
    """Start the fork server, in the background; the event is set when it has imported all it should."""
    ready = Event()

    def probe() -> None:
        first = _CONTEXT.Process(target=_nothing)
        try:
            first.start()  # returns when the server has forked it
            first.join()
        except (OSError, EOFError):  # the server was killed, by `stop` or from outside: this process works on alone
            return
        ready.set()

    def stop() -> None:
        # It would go on importing, hold our terminal or pipe, and only then see that nobody needs it.
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # nothing public kills it
        if server is not None and not ready.is_set():
            os.kill(server, signal.SIGKILL)

    atexit.register(stop)
    Thread(target=probe, name="fork server", daemon=True).start()
    return ready


def _nothing() -> None:
    """What a process is asked to do first, to see that it has started."""


def map_shards(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Yield the results of `function` over `tasks`, about in the order they finish.

    This process is the first worker and begins at once, so that several workers are never slower than one, however
    small the input. Raises HqvoxError when another worker dies.
    """
    pin_threads()
    if workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    ready = _fork_server()
    todo, done = deque(tasks), SimpleQueue[Future[Result]]()
    others = min(workers, len(tasks)) - 1
    pool = ProcessPoolExecutor(others, mp_context=_CONTEXT, initializer=_end_with_parent)
    for _ in range(others):
        Thread(target=_help, args=(pool, ready, function, todo, done), name="worker", daemon=True).start()
    left = len(tasks)  # results to come
    try:
        for task in _taken(todo):
            left -= 1
            yield function(task)
            while not done.empty():
                left -= 1
                yield done.get().result()
        while left:
            left -= 1
            yield done.get().result()
    except BrokenProcessPool as error:
        raise HqvoxError(
            "a worker process died (killed, or out of memory); finished shards are kept: run the same command again, "
            "with fewer --workers if memory is short"
        ) from error
    finally:
        left -= sum(1 for _ in _taken(todo))  # nobody begins another
        for _ in range(left):
            done.get()  # what has been begun is finished before this process goes on
        pool.shutdown(wait=False)


def _end_with_parent() -> None:
    """End this worker as soon as the process it works for is killed, so that it does not go on beside the next run."""
    parent = parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()


def _taken(todo: deque[Task]) -> Iterator[Task]:
    """Take tasks until none is left; several threads may do so at once."""
    while todo:
        try:
            yield todo.popleft()
        except IndexError:  # another thread was faster
            return


def _help(
    pool: ProcessPoolExecutor,
    ready: Event,
    function: Callable[[Task], Result],
    todo: deque[Task],
    done: SimpleQueue[Future[Result]],
) -> None:
    """The thread of one other process: start it where that pays, then hand it one task after another."""
    alone_until = time.monotonic() + _ALONE_S
    while time.monotonic() < alone_until or not ready.is_set():
        if not todo:
            return
        time.sleep(_POLL_S)
    try:
        pool.submit(_nothing).result()  # no task waits for a process that starts
        for task in _taken(todo):
            future = pool.submit(function, task)
            wait([future])
            done.put(future)
    except RuntimeError as error:  # the pool is broken, or shut down since all is done
        failed = Future[Result]()
        failed.set_exception(error)
        done.put(failed)
