"""A batch as a folder with one page that opens from disk: the default export."""

from collections.abc import Mapping
from typing import Any

from pipeline.review.batches import Batch
from pipeline.review.page import SCHEMA, page
from pipeline.review.people import Person
from pipeline.review.pictures import original, white
from pipeline.review.tasks import REASONS, Task
from pipeline.review.view import View

PICTURES = "pictures"
FILE = "index.html"


def data(batch: Batch, view: View) -> dict[str, Any]:
    """All that the page knows of its batch."""
    return {
        "schema": SCHEMA,
        "batch": batch.name,
        "dataset": view.dataset,
        "round": batch.round,
        "reviewer": batch.reviewer,
        "made": None,
        "expires": view.last_day,
        "blind": view.blind,
        "least": view.least,
        "most": view.most,
        "reasons": [list(reason) for reason in REASONS],
        "people": [_person(person, view) for person in batch.people],
    }


def _person(person: Person, view: View) -> dict[str, Any]:
    return {
        "identity": person.identity_id,
        "name": person.name,
        "gender": person.gender,
        "nationality": person.nationality,
        "kept": person.kept,
        "tasks": [_task(task, view) for task in person.tasks],
    }


def _task(task: Task, view: View) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "sample_id": task.sample_id,
        "shown_sha256": task.shown_sha256,
        "suggested": task.suggested,
        "quality": None if view.blind else round(task.quality, 4),
        "scores": [list(score) for score in task.scores],
        "source": task.source,
        "white": white(PICTURES, task.shown_sha256),
        "original": original(PICTURES, task.shown_sha256),
    }


def files(batch: Batch, view: View) -> Mapping[str, str]:
    """File name -> text."""
    return {FILE: page(data(batch, view))}
