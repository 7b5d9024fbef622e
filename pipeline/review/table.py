"""A batch as a CSV file for spreadsheets and scripts: one row per picture, with an empty `decision` to fill in."""

import csv
import io
import re
from collections.abc import Mapping

from pipeline.review.batches import Batch
from pipeline.review.people import Person
from pipeline.review.pictures import original, white
from pipeline.review.tasks import Task
from pipeline.review.view import View

PICTURES = "pictures"
FILE = "tasks.csv"
ANSWERS = ("decision", "reasons", "comment")  # what a reviewer fills in; several reasons are separated by spaces
KEYS = ("task_id", "sample_id", "shown_sha256", "round", "reviewer")  # what an import needs beside the answers
FACTS = ("identity", "name", "kept", "white", "original", "suggested", "quality", "scores", "source")
COLUMNS = (*ANSWERS, *FACTS, *KEYS)

# What a spreadsheet would run as a formula, or read as a number: an id such as 12345678901e2345 would lose its digits.
_ACTIVE = re.compile(r"\s*[=+\-@＝＋－＠']|[\t\r\n]|[\d.]+([eE][+-]?\d+)?\Z")


def guarded(text: str) -> str:
    """Text that a spreadsheet leaves alone: an apostrophe goes before what it would run or change."""
    return f"'{text}" if _ACTIVE.match(text) else text


def unguarded(text: str) -> str:
    """What was given to `guarded`."""
    return text.removeprefix("'")


def _row(batch: Batch, person: Person, task: Task) -> dict[str, str | int | float]:
    texts = {
        "identity": person.identity_id,
        "name": person.name or "",
        "white": white(PICTURES, task.shown_sha256),
        "original": original(PICTURES, task.shown_sha256),
        "suggested": task.suggested or "",
        "scores": "; ".join(f"{label} {value}" for label, value in task.scores),
        "source": task.source,
        "task_id": task.task_id,
        "sample_id": task.sample_id,
        "shown_sha256": task.shown_sha256,
        "reviewer": batch.reviewer,
    }
    numbers = {"kept": person.kept, "round": task.round}
    known = {"quality": round(task.quality, 4)} if task.suggested else {}
    return {name: guarded(text) for name, text in texts.items()} | numbers | known


def files(batch: Batch, _view: View) -> Mapping[str, str]:
    """File name -> text, led by the mark by which spreadsheets know UTF-8."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(_row(batch, person, task) for person in batch.people for task in person.tasks)
    return {FILE: "\ufeff" + out.getvalue()}
