"""The time that one row may take: a worker that hangs over it is ended by the kernel, whatever code it hangs in."""

import signal
from collections.abc import Iterator
from multiprocessing import parent_process

from pipeline.stage import Row

# Its default is to end the process. A handler in Python would wait for the C code that hangs.
SIGNAL = signal.SIGALRM


def start(seconds: float) -> None:
    """Count from now. Of no effect in a process that nobody waits for, and for 0 seconds."""
    if seconds and parent_process() is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def stop() -> None:
    """Stop counting."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)


class Timed(list[Row]):
    """Rows that start the count one after another where they are gone through."""

    def __init__(self, rows: list[Row], seconds: float) -> None:
        super().__init__(rows)
        self._seconds = seconds

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows; what comes after the last is not timed."""
        try:
            for row in super().__iter__():
                start(self._seconds)
                yield row
        finally:
            stop()
