"""The accuracy table as text: for a terminal, for Markdown, and as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from rich.table import Table

from stages.accuracy.finding import Finding, Unmeasured

_HEAD = ("stage", "what", "on", "figure (95 % interval)", "aim", "")
_Line = tuple[str, str, str, str, str, str]


def line(found: Finding | Unmeasured) -> _Line:
    """The cells of one row."""
    if isinstance(found, Unmeasured):
        return found.stage, found.what, "-", "not measured", "-", found.why
    low, high = (_number(found, value) for value in (found.figure.low, found.figure.high))
    interval = "" if low == high else f" ({low}–{high})"
    aim = f"{found.aim.side} {_number(found, found.aim.value)}" if found.aim else "-"
    verdict = {True: "met", False: "MISSED", None: ""}[found.met]
    notes = "; ".join(part for part in (verdict, found.note) if part)
    return (
        found.stage,
        found.what,
        f"{found.count:,} {found.on}",
        _number(found, found.figure.value) + interval,
        aim,
        notes,
    )


def _number(found: Finding, value: float) -> str:
    if found.unit == "%":
        return f"{value:.1%}".replace("%", " %")
    if found.unit == "IoU":
        return f"{value:.3f}"
    return f"{value:.2g}" if abs(value) < 0.01 else f"{value:.2f}" + (f" {found.unit}" if found.unit else "")


def terminal(lines: Iterable[_Line]) -> Table:
    """A table for rich, which wraps the notes."""
    table = Table(*_HEAD)
    for cells in lines:
        table.add_row(*cells)
    return table


def markdown(lines: Iterable[_Line]) -> str:
    """The same table for a README."""
    rows = (_HEAD, ("---",) * len(_HEAD), *lines)
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def as_json(found: Sequence[Finding | Unmeasured]) -> str:
    """Every finding with its numbers unrounded."""
    return json.dumps(
        [asdict(one) | ({"met": one.met} if isinstance(one, Finding) else {}) for one in found], ensure_ascii=False
    )
