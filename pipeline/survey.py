"""Ask a stage what all rows of all shards together say of each: between its scores and its decisions."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manifests import table
from pipeline import events
from pipeline.progress import watched
from pipeline.shard import Outcome, RowTask, Task, scored_rows
from pipeline.stage import Row, RowStage, ShardStage


def facts_of(task: RowTask) -> Path | None:
    """Where the survey's facts of a shard are kept; None for a stage without a survey."""
    if task.stage.survey is None:
        return None
    data = task.context.paths.data
    return events.folder_of(data) / "surveyed" / f"{data.name}-{task.stage.name}" / f"{task.shard}.json"


def hold(
    stage: RowStage | ShardStage, tasks: Sequence[Task], run: Callable[[Sequence[Task]], Iterable[Outcome]]
) -> None:
    """Score every shard by `run`, then write what the survey says of the rows of each; nothing without a survey."""
    if isinstance(stage, ShardStage) or stage.survey is None:
        return
    rows_of = [task for task in tasks if isinstance(task, RowTask)]
    for _ in watched(f"{stage.name}: scores", run([replace(task, scores_only=True) for task in rows_of]), len(tasks)):
        pass
    found = [(row, task.shard) for task in rows_of for row in scored_rows(task)]
    # In an order that neither workers nor buckets change: sums depend on it in their last bits.
    found.sort(key=lambda one: (one[0]["identity_id"], one[0]["row_id"]))
    said: dict[str, dict[str, Any]] = {task.shard: {} for task in rows_of}
    facts: list[Row] = stage.survey([row for row, _ in found], rows_of[0].limits) if found else []
    for (row, shard), fact in zip(found, facts, strict=True):
        said[shard][row["row_id"]] = fact
    for task in rows_of:
        path = facts_of(task)
        assert path is not None, "a stage with a survey"
        table.write_text(path, json.dumps(said[task.shard], sort_keys=True))
