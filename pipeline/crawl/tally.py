"""How a download is doing: each process counts outcomes in a small file; one line and the run log show the sum."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.crawl.outcome import Outcome
from pipeline.events import Events
from pipeline.progress import StageProgress

_WRITTEN_S = 0.5  # between two writings of a process
_LOGGED_S = 10.0  # between two lines of the run log


def tally_folder(folder: Path) -> Path:
    """Where the processes of a crawl write their counts."""
    return folder / "tally"


class Tally:
    """The outcomes of one process so far, written down again and again while the block lasts; from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = tally_folder(folder) / f"{os.getpid()}.json"
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="tally", daemon=True)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def add(self, outcome: Outcome) -> None:
        """One more address has its end."""
        with self._lock:
            self._counts[outcome.value] += 1

    @property
    def total(self) -> int:
        """Addresses that have their end."""
        with self._lock:
            return self._counts.total()

    def _write_on(self) -> None:
        while not self._ended.wait(_WRITTEN_S):
            self._write()

    def _write(self) -> None:
        with self._lock:
            text = json.dumps(self._counts)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)


def counted(folder: Path) -> Counter[str]:
    """The outcomes of all processes so far."""
    counts: Counter[str] = Counter()
    for path in tally_folder(folder).glob("*.json"):
        counts.update(json.loads(path.read_text(encoding="utf-8")))
    return counts


@contextmanager
def shown(folder: Path, total: int, log: Events) -> Iterator[None]:
    """While the block lasts, show how many of `total` addresses have their end; the run log keeps it too."""
    for path in tally_folder(folder).glob("*.json"):  # of an earlier run
        path.unlink()
    ended, began = threading.Event(), time.monotonic()

    def log_counts(event: str) -> None:
        counts = counted(folder)
        log.add(event, seconds=round(time.monotonic() - began, 1), addresses=total, outcomes=dict(counts))

    def watch() -> None:
        logged = began
        while not ended.wait(_WRITTEN_S):
            counts = counted(folder)
            progress.show(counts.total(), counts.pop(Outcome.OK.value, 0), counts)
            if time.monotonic() - logged >= _LOGGED_S:
                logged = time.monotonic()
                log_counts("asking")

    with StageProgress("crawl", total, unit="addresses") as progress:
        thread = threading.Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
    log_counts("asked")
