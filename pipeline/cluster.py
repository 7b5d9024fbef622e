"""The third executor: shards as tasks of a Dask cluster, local or elsewhere, over a folder that all its machines share.

Only shard names and settings travel. Every worker process has one thread and keeps its networks from task to task.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, as_completed

from manifests.errors import Missing, UsageError
from pipeline import source_code
from pipeline.engine import Died, Result, Task, pin_threads

_CONNECT_S = 10.0
_WORKERS_S = 60.0  # until the first worker has joined
_START = "start workers by `dask worker ADDRESS --nthreads 1 --nworkers N`"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers of a Dask scheduler."""

    client: Client
    dashboard: str | None
    name: str = "dask"

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Died[Task]]:
        """Yield the results as they come.

        Raises UsageError where a worker has several threads, sees other files or runs other code, Missing where the
        scheduler goes away.
        """
        folder = str(Path.cwd())
        _check(self.client, folder)
        futures = {self.client.submit(_work, folder, function, task, pure=False): task for task in tasks}
        try:
            for future in as_completed(list(futures)):
                task = futures.pop(future)
                try:
                    yield future.result()
                except KilledWorker:
                    yield Died(task)
                except CancelledError as error:  # not by us
                    raise Missing("the Dask scheduler went away: start it again, then run this again") from error
        finally:
            self.client.cancel(list(futures))


@contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Cluster]:
    """The cluster at an address, or one of this machine with so many workers, for as long as the context is open.

    Raises Missing where no scheduler answers or no worker joins.
    """
    pin_threads()  # the workers of this machine inherit it
    with _client(scheduler, workers) as client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError as error:
            raise Missing(f"no worker has joined the scheduler {scheduler}: {_START}") from error
        # A second try elsewhere, for shards of a machine that went away; Dask's own two more would each cost a worker.
        before = client.run_on_scheduler(_allow_failures, count=1)
        try:
            yield Cluster(client, client.dashboard_link or None)
        finally:
            with suppress(OSError):  # it went away
                client.run_on_scheduler(_allow_failures, count=before)


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Client]:
    if scheduler is None:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise Missing(f"no Dask scheduler answers at {scheduler} ({error}): start one by `dask scheduler`") from error
    with closing(client):
        yield client


def _allow_failures(count: int, dask_scheduler: Any) -> int:
    """Set how many workers a task may cost before Dask gives it up; the number so far."""
    before: int = dask_scheduler.allowed_failures
    dask_scheduler.allowed_failures = count
    return before


def _check(client: Client, folder: str) -> None:
    several = [
        address for address, worker in client.scheduler_info(n_workers=-1)["workers"].items() if worker["nthreads"] != 1
    ]
    if several:
        raise UsageError(f"Dask workers with more than one thread ({', '.join(several)}): {_START}")
    blind = [address for address, sees in client.run(os.path.isdir, folder).items() if not sees]
    if blind:
        raise UsageError(f"no folder {folder} for Dask workers {', '.join(blind)}: it must be on a disk that all share")
    ours = source_code.digest()
    other = [address for address, digest in client.run(source_code.first_digest).items() if digest != ours]
    if other:
        raise UsageError(
            f"Dask workers with other code than this ({', '.join(other)}): start them again, from this code"
        )


def _work(folder: str, function: Callable[[Task], Result], task: Task) -> Result:
    """What a worker does: the task, as if it were in the folder that the command was given in."""
    _settle(folder)
    return function(task)


@cache
def _pinned() -> None:
    pin_threads()


def _settle(folder: str) -> None:
    os.chdir(folder)
    _pinned()
