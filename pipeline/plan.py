"""What a run would do and why, shard by shard, without doing it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import table
from manifests.errors import DataError, Missing
from pipeline.run import planned
from pipeline.settings import Params
from pipeline.shard import Task, Work, finished, has_key, kept_and_drops, scores_path, work_of
from pipeline.stage import RowStage, ShardStage, Stage, TableStage

_PARTS = {"settings": "settings", "weights": "weights", "inputs": "input", "by": "our"}  # of a footer; how to say it


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a run of a stage would do."""

    stage: str
    shards: int
    to_do: int
    why: dict[str, int]  # shards by reason; one may have several
    after: tuple[str, ...] = ()  # stages with work of their own, whose results this one reads


def plan(stages: Sequence[Stage], params: Params) -> list[StagePlan]:
    """The plan of each stage, in order, from what is on disk now."""
    plans: list[StagePlan] = []
    for stage in stages:
        busy = {before.stage for before in plans if before.to_do or before.after}
        plans.append(_plan(stage, params, busy))
    return plans


def _plan(stage: Stage, params: Params, busy: set[str]) -> StagePlan:
    if isinstance(stage, TableStage):
        return StagePlan(stage.name, 1, 1, {"over whole tables: always run": 1})
    after = tuple(sorted(_reads(stage) & busy))
    buckets = params.run.buckets
    if isinstance(stage, ShardStage) and stage.planning is not None:
        stage = stage.planning()
    try:
        with planned(stage, params) as tasks:
            found = [reasons(task) for task in tasks]
    except (Missing, DataError) as error:
        return StagePlan(stage.name, buckets, buckets, {str(error): buckets}, after)
    why = Counter(reason for one in found for reason in one)
    return StagePlan(stage.name, len(found), sum(map(bool, found)), dict(why.most_common()), after)


def _reads(stage: RowStage | ShardStage) -> set[str]:
    """The stages whose shards this one reads."""
    tables = [stage.reads, stage.score_all] if isinstance(stage, RowStage) else [stage.reads]
    names = {of.name.removeprefix("scores/") for of in tables if of is not None}
    return names | {name for name, _ in stage.payload} if isinstance(stage, RowStage) else names


def reasons(task: Task) -> tuple[str, ...]:
    """Why a shard is to be made; none where it is up to date."""
    work = work_of(task)
    if finished(task, work) is not None:
        return ()
    path, drops = kept_and_drops(task)
    if not path.exists():
        return ("not there yet",)
    try:
        before = table.provenance(path)
    except DataError:
        return ("damaged",)
    if before.get("key") != work.key:
        return _changes(before, json.loads(json.dumps(work.record, default=str)))
    return (_gone(task, work, drops),)


def _gone(task: Task, work: Work, drops: Path) -> str:
    """What a shard lacks whose kept rows are as they should be."""
    if not has_key(drops, work.key):
        return "its drops are gone or damaged"
    if work.scoring_key and not has_key(scores_path(task), work.scoring_key):
        return "its scores are gone or damaged"
    return "rows that failed are tried again"


def _changes(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    """Where two footers differ in what a shard is made from."""
    found = []
    for part, said in _PARTS.items():
        old, new = before.get(part, {}), now.get(part, {})
        differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        found += [f"changed: {said} {name}" for name in differing]
    return tuple(found) or ("made by another version",)


def line(of: StagePlan) -> str:
    """A plan for people."""
    why = "; ".join(f"{reason} ({count})" if count != of.to_do else reason for reason, count in of.why.items())
    after = f"; then what {', '.join(of.after)} changes" if of.after else ""
    what = f"{of.to_do} of {of.shards} shards: {why}" if of.to_do else f"{of.shards} shards up to date"
    return f"{of.stage:<10} {what}{after}"
