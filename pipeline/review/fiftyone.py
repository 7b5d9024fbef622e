"""A batch as a FiftyOneDataset folder: `fiftyone.Dataset.from_dir(folder, fiftyone.types.FiftyOneDataset)`.

The metadata name no version of FiftyOne, so that every one reads them and takes the fields from the samples; with a
version in it, a client that is older than the file refuses it, and a newer one migrates it.
A reviewer decides by a tag: one of `keep`, `reject`, `wrong_person`, `unsure`; a reason is a tag too.
"""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.review.batches import Batch
from pipeline.review.decisions import DECISIONS
from pipeline.review.people import Person
from pipeline.review.pictures import original, white
from pipeline.review.tasks import REASONS, Task
from pipeline.review.view import MARK, View

PICTURES = "data"
SAMPLES, METADATA = "samples.json", "metadata.json"


def _suggestion(task: Task) -> dict[str, Any] | None:
    if task.suggested is None:
        return None
    return {"_cls": "Classification", "label": task.suggested, "confidence": round(task.quality, 4)}


def _sample(batch: Batch, person: Person, task: Task) -> dict[str, Any]:
    fields = {
        "filepath": white(PICTURES, task.shown_sha256),
        "original": original(PICTURES, task.shown_sha256),
        "tags": [],
        "identity": person.identity_id,
        "name": person.name,
        "kept": person.kept,
        "source": task.source,
        "scores": [f"{label} {value}" for label, value in task.scores],
        "suggested": _suggestion(task),
        "comment": "",
        "reviewer": batch.reviewer,
        "round": task.round,
        "task_id": task.task_id,
        "sample_id": task.sample_id,
        "shown_sha256": task.shown_sha256,
    }
    return {name: value for name, value in fields.items() if value is not None}


def files(batch: Batch, view: View) -> Mapping[str, str]:
    """File name -> text."""
    info = {
        "batch": batch.name,
        "dataset": view.dataset,
        "reviewer": batch.reviewer,
        "least": view.least,
        "most": view.most,
        "expires": view.last_day,
        "mark": MARK,
        "tags": {"decision": list(DECISIONS), "reasons": [value for _, value, _ in REASONS]},
    }
    samples = [_sample(batch, person, task) for person in batch.people for task in person.tasks]
    return {
        METADATA: _json({"media_type": "image", "info": info}),
        SAMPLES: _json({"samples": samples}),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
