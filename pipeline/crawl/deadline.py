"""A time limit on all that one thread asks for: no socket timeout of its own ends a slow drip."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LOOK_S = 0.05  # between two looks of the watchdog


class DeadlinePassed(Exception):
    """A response was not whole in time."""


class TooSlow(DeadlinePassed):
    """A body came, but slower than the minimum speed."""


class Deadline:
    """The end of what each thread is doing, kept by one thread that hangs up sockets whose time is over."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._watchdog = _Watchdog()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound all that this thread asks for within the block; what is still open at the end is hung up.

        Raises DeadlinePassed, and TooSlow where `hurry` had brought the end forward.
        """
        self._mine.end = time.monotonic() + seconds
        self._mine.hurried = False
        try:
            yield
        finally:
            self._watchdog.forget()
            self.remaining_s()  # what was hung up can look complete, or like a broken connection

    def hurry(self, seconds: float) -> None:
        """From now on this thread has only so long."""
        end = time.monotonic() + seconds
        if end < self._mine.end:
            self._mine.end, self._mine.hurried = end, True
            self._watchdog.hurry(end)

    def watch(self, sock: socket.socket) -> None:
        """Hang this socket up at the end of this thread's time."""
        self._watchdog.watch(sock, self._mine.end)

    def remaining_s(self) -> float:
        """Seconds left to this thread. Raises DeadlinePassed when there are none."""
        left: float = self._mine.end - time.monotonic()
        if left <= 0:
            raise TooSlow if self._mine.hurried else DeadlinePassed
        return left

    def close(self) -> None:
        """End the watching thread."""
        self._watchdog.close()


class _Watchdog:
    """One thread that hangs sockets up, each at its time."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[float, socket.socket]] = {}  # by the thread that reads
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, end: float) -> None:
        """Hang this thread's socket up at `end` (monotonic seconds)."""
        with self._lock:
            self._ends[threading.get_ident()] = end, sock
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
                self._thread.start()

    def forget(self) -> None:
        """Leave this thread's socket alone."""
        with self._lock:
            self._ends.pop(threading.get_ident(), None)

    def hurry(self, end: float) -> None:
        """Bring the end of this thread's socket forward."""
        with self._lock:
            watched = self._ends.get(threading.get_ident())
            if watched is not None:
                self._ends[threading.get_ident()] = end, watched[1]

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_S):
            now = time.monotonic()
            with self._lock:  # held while hanging up: the socket may serve another request right after
                over = [thread for thread, (end, _) in self._ends.items() if end <= now]
                for thread in over:
                    with suppress(OSError):  # closed in the meantime
                        self._ends.pop(thread)[1].shutdown(socket.SHUT_RDWR)
