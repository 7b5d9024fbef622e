"""Ask a stage what all rows of all shards together say of each: between its scores and its decisions."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests import table
from pipeline import events
from pipeline.progress import watched
from pipeline.shard import Outcome, RowTask, Task, scored_columns
from pipeline.stage import RowStage, ShardStage

_SHARD = "_shard"  # number of the task


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
    of_rows = [task for task in tasks if isinstance(task, RowTask)]
    for _ in watched(f"{stage.name}: scores", run([replace(task, scores_only=True) for task in of_rows]), len(tasks)):
        pass
    if not of_rows:
        return
    found = _together(of_rows)
    facts = stage.survey(found.drop_columns([_SHARD]), of_rows[0].limits).append_column("row_id", found["row_id"])
    for number, task in enumerate(of_rows):
        rows = facts.filter(pc.equal(found[_SHARD], number)).to_pylist()
        path = facts_of(task)
        assert path is not None, "a stage with a survey"
        table.write_text(path, json.dumps({row.pop("row_id"): row for row in rows}, sort_keys=True))


def _together(tasks: Sequence[RowTask]) -> pa.Table:
    """The surveyed columns of all shards, and the number of each row's task: columns, since rows would fill memory."""
    parts = [scored_columns(task) for task in tasks]
    numbered = [part.append_column(_SHARD, pa.repeat(number, len(part))) for number, part in enumerate(parts)]
    # In an order that neither workers nor buckets change: sums depend on it in their last bits.
    return pa.concat_tables(numbered).sort_by([("identity_id", "ascending"), ("row_id", "ascending")])
