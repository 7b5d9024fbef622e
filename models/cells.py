"""Cells of the Markdown tables that reports are shown as."""

from collections.abc import Iterable
from typing import Any

Line = tuple[str, ...]
Report = dict[str, Any]


def name_of(report: Report) -> str:
    """Which checkpoint a report is of."""
    checkpoint = report["checkpoint"]
    return f"{checkpoint['experiment']}, seed {checkpoint['seed']} ({checkpoint['sha256'][:8]})"


def plain(text: str) -> str:
    """Text that can neither leave its cell nor steer a terminal: a report may come from anywhere."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("|", "\\|")


def table(head: Line, lines: Iterable[Line]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(map(plain, line)) + " |" for line in (head, ("---",) * len(head), *lines))


def number(figure: Report, digits: int) -> str:
    """A mean and its interval."""
    low, high = figure["interval"]
    return f"{figure['mean']:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def percent(figure: Report | None) -> str:
    """A share and its interval in per cent; - where there is none."""
    if figure is None or "mean" not in figure:
        return "-"
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def share(value: float | None) -> str:
    """A share in per cent; - where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def cautions(report: Report) -> list[str]:
    """What a reader must know of the people that a report is about."""
    told = []
    if report["trained_on"]["manifest"] != report["data"]["manifest"]:
        told.append("trained on another manifest: its people may be among those who were trained on")
    if left := ", ".join(f"{count} with {what}" for what, count in report["data"]["left_out"].items() if count):
        told.append(f"left out: {left}")
    return told
