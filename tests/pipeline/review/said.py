"""Decisions for tests: about pictures of the factories' tables, or about nothing in particular."""

from typing import Any

from pipeline.review.decisions import Decision
from pipeline.review.tasks import task_id

SHOWN = "a" * 64


def said(word: str = "keep", reviewer: str = "ann", sample: str = "s1", round_: int = 1, **more: Any) -> Decision:
    """A decision whose task is the one that an export would ask."""
    shown = more.pop("shown", SHOWN)
    return Decision(task_id(sample, shown, round_), sample, shown, word, reviewer, round_, **more)


def at(second: int) -> str:
    """A time of day, in order of `second`."""
    return f"2026-03-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}+00:00"
