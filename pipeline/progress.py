"""The status line of a running stage, and the one line that stays when it ends."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track

Item = TypeVar("Item")

_TOP = 3  # reasons named in the line


class StageProgress:
    """A bar over shards or rows with rows per second, the commonest drop reasons and the address of a page to watch."""

    def __init__(self, stage: str, total: int, dashboard: str | None = None, unit: str = "shards") -> None:
        self._stage = stage
        self._console = Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit} {{task.fields[note]}}"),
            TimeRemainingColumn(),
            TextColumn(dashboard or ""),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(stage, total=total, note="")
        self._start = time.monotonic()

    def __enter__(self) -> "StageProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, given: int, kept: int, reasons: Counter[str]) -> None:
        """One more shard is finished; totals so far."""
        self._bar.update(self._task, advance=1, note=self._note(given, kept, reasons))

    def show(self, given: int, kept: int, reasons: Counter[str]) -> None:
        """So many rows are done, where rows are the unit."""
        self._bar.update(self._task, completed=given, note=self._note(given, kept, reasons))

    def finish(self, given: int, kept: int, reasons: Counter[str], skipped: int) -> None:
        """Print the line that stays."""
        self._bar.stop()
        seconds = time.monotonic() - self._start
        again = f", {skipped} shard{'s were' if skipped > 1 else ' was'} up to date" if skipped else ""
        self._console.print(
            f"{self._stage:<10} {self._note(given, kept, reasons)} in {seconds:.1f} s{again}",
            highlight=False,
            soft_wrap=True,
        )

    def _note(self, given: int, kept: int, reasons: Counter[str]) -> str:
        rate = given / max(time.monotonic() - self._start, 1e-3)
        top = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(_TOP))
        return f"{kept} of {given} kept, {rate:.0f} rows/s" + (f" ({top})" if top else "")


def watched(what: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """The items as they come, with a bar that goes away when all have come; none where nobody watches."""
    console = Console(file=sys.stderr)
    yield from track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def say(text: str) -> None:
    """Print one line for people, whatever characters it holds."""
    Console(file=sys.stderr).print(text, highlight=False, markup=False, soft_wrap=True)


class FetchProgress:
    """Says licences and shows the bytes of weight files as they arrive."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._shown = -1

    def say(self, text: str) -> None:
        """Print one line."""
        say(text)

    def advance(self, name: str, done: int, total: int | None) -> None:
        """Rewrite the line of a download, once per megabyte; silent where nobody watches."""
        if self._console.is_terminal and done >> 20 != self._shown:
            self._shown = done >> 20
            of = f" of {total >> 20}" if total else ""
            self._console.print(f"{name}: {done >> 20}{of} MiB", end="\r", highlight=False, markup=False)
