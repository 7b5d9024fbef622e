"""A batch for Label Studio: the tasks with the machine's choice as predictions, and the labelling interface.

Formats: https://labelstud.io/guide/tasks and https://labelstud.io/guide/predictions (Label Studio 1.8 and later).
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from pipeline.review.batches import Batch
from pipeline.review.decisions import DECISIONS
from pipeline.review.people import Person
from pipeline.review.pictures import original, white
from pipeline.review.tasks import REASONS, Task
from pipeline.review.view import MARK, View

PICTURES = "pictures"
TASKS, LABELS = "tasks.json", "labels.xml"
MODEL = "hq-vox-quality"  # model_version of the predictions
DECISION, REASON, COMMENT = "decision", "reasons", "comment"  # `from_name` of the three answers
TO = "white"  # `to_name`: the picture they are about
_HOTKEYS = dict(zip(DECISIONS, "krwu", strict=True))


def _data(batch: Batch, person: Person, task: Task, view: View) -> dict[str, Any]:
    place = view.files_prefix + quote(batch.name) + "/"
    return {
        "white": place + white(PICTURES, task.shown_sha256),
        "original": place + original(PICTURES, task.shown_sha256),
        "title": f"{person.name or person.identity_id}: {view.least} to {view.most} wanted, {person.kept} kept so far",
        "details": "; ".join(f"{label} {value}" for label, value in task.scores) or "no scores",
        "mark": f"{MARK}. Use until {view.last_day}." if view.expires else f"{MARK}.",
        "identity": person.identity_id,
        "source": task.source,
        "batch": batch.name,
        "dataset": view.dataset,
        "reviewer": batch.reviewer,
        "round": task.round,
        "task_id": task.task_id,
        "sample_id": task.sample_id,
        "shown_sha256": task.shown_sha256,
    }


def _predictions(task: Task) -> list[dict[str, Any]]:
    if task.suggested is None:
        return []
    choice = {
        "id": task.task_id,
        "from_name": DECISION,
        "to_name": TO,
        "type": "choices",
        "value": {"choices": [task.suggested]},
    }
    return [{"model_version": MODEL, "score": round(task.quality, 4), "result": [choice]}]


def tasks(batch: Batch, view: View) -> list[dict[str, Any]]:
    """One entry per picture, people together, in the order of the batch."""
    return [
        {"data": _data(batch, person, task, view), "predictions": _predictions(task)}
        for person in batch.people
        for task in person.tasks
    ]


def _choices(parent: ElementTree.Element, name: str, values: Mapping[str, str], attributes: dict[str, str]) -> None:
    tag = ElementTree.SubElement(parent, "Choices", {"name": name, "toName": TO, "showInline": "true"} | attributes)
    for value, hotkey in values.items():
        ElementTree.SubElement(tag, "Choice", value=value, hotkey=hotkey)


def labels() -> str:
    """The labelling interface: both pictures, one choice with a key each, reasons and a comment."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value="$title", size="4")
    pair = ElementTree.SubElement(view, "View", style="display: grid; grid-template-columns: 1fr 1fr; gap: 1em")
    for name in (TO, "original"):
        ElementTree.SubElement(pair, "Image", name=name, value=f"${name}", zoom="true")
    _choices(view, DECISION, _HOTKEYS, {"choice": "single", "required": "true"})
    reasons = {value: key for key, value, _ in REASONS}
    _choices(view, REASON, reasons, {"choice": "multiple"})
    ElementTree.SubElement(view, "TextArea", name=COMMENT, toName=TO, maxSubmissions="1", placeholder="Comment")
    ElementTree.SubElement(view, "Header", value="$details", size="6")
    ElementTree.SubElement(view, "Header", value="$mark", size="6")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def files(batch: Batch, view: View) -> Mapping[str, str]:
    """File name -> text."""
    return {TASKS: json.dumps(tasks(batch, view), ensure_ascii=False, indent=1) + "\n", LABELS: labels()}
