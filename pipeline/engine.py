"""Map a function over shards: in this process, in worker processes, or (`pipeline.cluster`) on a Dask cluster.

The same function, tasks and results either way, so that an executor can be swapped without touching a stage. A
worker that dies costs its task, which comes back as `Died`; the caller decides what that means.
"""

import atexit
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from traceback import format_exc
from typing import Any, Generic, Protocol, TypeVar

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
_STARTS = 3  # tries to start a worker: the server that forks it may be killed meanwhile

# Workers are forked from a process that has imported the stages and nothing else: this one has threads, and a fork
# of it could inherit a lock that nobody will ever release.
_CONTEXT = get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Died(Generic[Task]):
    """A task whose worker died over it, be it by the task's fault or not."""

    task: Task
    exit_code: int | None = None  # as multiprocessing has it: -9 is signal 9; None where nobody knows


class Executor(Protocol):
    """Where tasks are done."""

    @property
    def name(self) -> str:
        """What the run log calls it."""
        ...

    @property
    def dashboard(self) -> str | None:
        """The address of a page to watch."""
        ...

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Died[Task]]:
        """Yield the results of `function` over `tasks`, about in the order they finish."""
        ...


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

    Of effect only once and before the first worker, since one fork server serves them all.
    """
    # pyarrow would load pandas in each worker, at its first shard.
    _CONTEXT.set_forkserver_preload(["pandas", "pyarrow.parquet", "pipeline.shard", *modules])
    _end_with_us()
    forkserver.ensure_running()


@cache
def _end_with_us() -> None:
    """See to it that the fork server ends with this process at the latest."""

    def stop() -> None:
        # It would go on importing, hold our terminal or pipe, and only then see that nobody needs it.
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # nothing public kills it
        if server is not None:
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)

    atexit.register(stop)


@dataclass(frozen=True, slots=True)
class Serial:
    """Everything in this process, which a task that crashes takes with it: for looking into a defect."""

    name: str = "serial"
    dashboard: str | None = None

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Died[Task]]:
        """Yield the results in order."""
        pin_threads()
        yield from map(function, tasks)


@dataclass(frozen=True, slots=True)
class Processes:
    """Worker processes of this machine, each with one task in hand."""

    workers: int
    name: str = "processes"
    dashboard: str | None = None

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Died[Task]]:
        """Yield the results as they come. What has been begun is finished before an error of a task is raised."""
        pin_threads()
        preload([])
        todo, done = deque(tasks), SimpleQueue[Callable[[], Result | Died[Task]]]()
        threads = [
            Thread(target=_employ, args=(function, todo, done), name="worker", daemon=True)
            for _ in range(min(self.workers, len(tasks)))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in tasks:
                yield done.get()()
        finally:
            todo.clear()  # nobody begins another
            for thread in threads:
                thread.join()


def executor(workers: int) -> Executor:
    """The executor of this machine for that many workers; one is this process."""
    return Serial() if workers <= 1 else Processes(workers)


def map_shards(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Yield the results of `function` over `tasks`. Raises HqvoxError when a worker dies."""
    for result in executor(workers if len(tasks) > 1 else 1).map(function, tasks):
        if isinstance(result, Died):
            raise HqvoxError("a worker process died (killed, or out of memory); run the same command again")
        yield result


class Worker:
    """A process that does one task after another."""

    def __init__(self) -> None:
        self._here, there = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(there, dict(os.environ)), name="worker", daemon=True)
        self._process.start()
        there.close()

    def call(self, function: Callable[[Task], Result], task: Task) -> Result | Died[Task]:
        """Do the task there; an error there is raised here."""
        try:
            self._here.send((function, task))
            result, error = self._here.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            return Died(task, self._process.exitcode)
        if error is not None:
            raise error
        answer: Result = result
        return answer

    def close(self) -> None:
        """End it, which must have nothing in hand."""
        self._here.close()
        self._process.join()


def started() -> Worker:
    """A new worker. Raises HqvoxError where none can be started."""
    for _ in range(_STARTS):
        with suppress(EOFError, ConnectionError):  # the fork server was killed; the next try starts another
            return Worker()
    raise HqvoxError("no worker process can be started: the server that forks them is killed again and again")


def _employ(
    function: Callable[[Task], Result],
    todo: deque[Task],
    done: SimpleQueue[Callable[[], Result | Died[Task]]],
) -> None:
    """The thread of one worker: hand it one task after another, and replace it when it dies."""
    worker: Worker | None = None
    for task in _taken(todo):
        try:
            worker = worker or started()
            result = worker.call(function, task)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised where the results are awaited
            done.put(_raiser(error))
            continue
        if isinstance(result, Died):
            worker = None
        done.put(_returner(result))
    if worker is not None:
        worker.close()


def _returner(result: Result) -> Callable[[], Result]:
    return lambda: result


def _raiser(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def _taken(todo: deque[Task]) -> Iterator[Task]:
    """Take tasks until none is left; several threads may do so at once."""
    while todo:
        try:
            yield todo.popleft()
        except IndexError:  # another thread was faster
            return


def _serve(tasks: Connection, environment: dict[str, str]) -> None:
    """The life of a worker process, in the environment of the one it works for."""
    _end_with_parent()
    # The fork server, which it was forked from, may be older than the settings of this run.
    os.environ.clear()
    os.environ.update(environment)
    pin_threads()
    with suppress(OSError):  # where memory runs out, the kernel should take the worker and not the run
        Path("/proc/self/oom_score_adj").write_text("1000")
    while True:
        try:
            function, task = tasks.recv()
        except (EOFError, ConnectionError, KeyboardInterrupt):
            return
        answer: tuple[Any, BaseException | None]
        try:
            answer = function(task), None
        except BaseException as error:  # noqa: BLE001
            error.add_note(format_exc())
            answer = None, error
        tasks.send(answer)


def _end_with_parent() -> None:
    """End this worker as soon as the process it works for is killed, so that it does not go on beside the next run."""
    parent = parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()
