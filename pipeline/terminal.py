"""Tables for the terminal: aligned plain text, in which no stranger's name can steer the screen."""

import io
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_WIDTH = 110  # characters


def cell(value: Any) -> Text:
    """Text that is never read as markup, without the control characters that would steer a terminal."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in str(value)))


def number(value: float | None) -> str:
    """A count with thousands separators, a measure with two decimals, a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def counted(count: int, what: str) -> str:
    """A count and its noun, in the plural but for one."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def percent(share: float | None) -> str:
    """A share in whole per cent, a dash where there is none."""
    return "-" if share is None else f"{share:.0%}"


def table(title: str, columns: Sequence[str], left: Sequence[str] = ()) -> Table:
    """An empty table; columns stand to the right but for the first and those named in `left`."""
    made = Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE)
    for column in made.columns[1:]:
        if column.header not in left:
            column.justify = "right"
    return made


def render(parts: Sequence[RenderableType]) -> str:
    """Everything as plain text, 110 characters wide."""
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, legacy_windows=False)
    for part in parts:
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
