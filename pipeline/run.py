"""Run one stage: shards in; scores (cached), decisions, kept rows, drops and metrics out.

A shard of a stage is finished when its file carries the key of what it was made from: the digest of the input
rows, the settings, the networks' sha256 and the code version. Finished shards are skipped, so the same command
resumes an interrupted run; what no longer belongs to the plan is pruned, so the folder equals a clean build.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from manifests import table, weights
from manifests.errors import DataError, HqvoxError, UsageError
from manifests.settings import build
from pipeline import engine, settings
from pipeline.progress import FetchProgress, StageProgress, say, watched
from pipeline.settings import Params
from pipeline.shard import Outcome, RowTask, ShardTask, run_row_shard, run_shard, score_row_shard
from pipeline.stage import FAILED, Context, RowStage, ShardStage, Stage, TableStage

_OURS = re.compile(r"part-\d{4,}\.parquet|\.part-\d{4,}\.parquet\.\d+\.tmp")  # as manifests.table names them


@dataclass(frozen=True, slots=True)
class Summary:
    """What a stage did: rows in, kept, dropped by reason."""

    stage: str
    input: int
    kept: int
    reasons: dict[str, int]
    digest: str  # of all kept rows and drops
    skipped_shards: int
    shards: int

    @property
    def failed(self) -> int:
        """Rows lost to a defect of ours."""
        return self.reasons.get(FAILED, 0)


def check_settings(stages: Sequence[Stage], params: Params) -> None:
    """Raise UsageError with what is wrong in any stage's section, before hours of work on the first."""
    faults = []
    for stage in stages:
        section = params.section(stage.name)
        try:
            if isinstance(stage, RowStage):
                settings.split(section, (stage.scoring, stage.limits), stage.name)
            else:
                build(stage.settings, section, stage.name)
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))


def run_stage(stage: Stage, params: Params, workers: int | None = None) -> Summary | None:
    """Run a stage to its end and write `metrics/<stage>.json`.

    Raises DataError when more than `run.max_failed` of the rows failed by a defect, Missing when an input or a
    weight file is absent, UsageError for wrong settings. A TableStage returns None.
    """
    context = Context(params.paths, params.run.buckets)
    processes = workers or params.run.workers or engine.cores()
    section = params.section(stage.name)
    with _alone(params.paths.data, stage.name):
        if isinstance(stage, TableStage):
            chosen = build(stage.settings, section, stage.name)
            metrics = stage.run(chosen, context)
            table.write_text(params.paths.metrics / f"{stage.name}.json", _json(metrics))
            return None
        if isinstance(stage, RowStage):
            summary = _run_rows(stage, section, context, processes)
        else:
            summary = _run_shards(stage, section, context, processes)
        metrics = {k: v for k, v in asdict(summary).items() if k in ("input", "kept", "reasons", "digest")}
        table.write_text(params.paths.metrics / f"{stage.name}.json", _json(metrics))
    _check_budget(summary, params)
    return summary


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


@contextmanager
def _alone(data: Path, stage: str) -> Iterator[None]:
    """One run of a stage at a time in a data folder: a second one says so and waits."""
    from filelock import FileLock, Timeout

    folder = data.parent / ".hqvox" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{data.name}-{stage}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{stage:<10} another run is at this stage in {data}; waiting until it has ended (Ctrl-C gives up)")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _run_rows(stage: RowStage, section: dict[str, Any], context: Context, workers: int) -> Summary:
    scoring, limits = settings.split(section, (stage.scoring, stage.limits), stage.name)
    names = stage.weights(scoring)
    weights.ensure(names, FetchProgress())
    digests = {name: weights.digest(name) for name in names}
    inputs = table.shards(context.paths.data / stage.reads.name, context.buckets)
    tasks = [RowTask(stage, scoring, limits, context, path.name, digests) for path in inputs]
    if stage.survey is not None:
        tasks = _surveyed(stage, tasks, limits, workers)
    return _map(stage, run_row_shard, tasks, context, workers)


def _surveyed(stage: RowStage, tasks: Sequence[RowTask], limits: Any, workers: int) -> list[RowTask]:
    """Score every shard, then give each task what the survey of all of them says of its rows."""
    assert stage.survey is not None
    scored = watched(f"{stage.name}: scores", engine.map_shards(score_row_shard, tasks, workers), len(tasks))
    found = [(row, shard) for shard, rows in scored for row in rows]
    # In an order that neither workers nor buckets change: sums depend on it in their last bits.
    found.sort(key=lambda one: (one[0]["identity_id"], one[0]["row_id"]))
    said: dict[str, dict[str, Any]] = {task.shard: {} for task in tasks}
    facts = stage.survey([row for row, _ in found], limits)
    for (row, shard), fact in zip(found, facts, strict=True):
        said[shard][row["row_id"]] = fact
    return [replace(task, surveyed=said[task.shard]) for task in tasks]


def _run_shards(stage: ShardStage, section: dict[str, Any], context: Context, workers: int) -> Summary:
    chosen = build(stage.settings, section, stage.name)
    with stage.around(chosen, context) if stage.around else nullcontext() as extra:
        context = Context(context.paths, context.buckets, extra)
        if stage.list_rows is not None:
            listed = _by_bucket(stage.list_rows(chosen, context), context.buckets)
            tasks = [ShardTask(stage, chosen, context, table.shard_name(b), listed[b]) for b in sorted(listed)]
        else:
            assert stage.reads is not None, f"stage {stage.name} neither reads nor lists"
            inputs = table.shards(context.paths.data / stage.reads.name, context.buckets)
            tasks = [ShardTask(stage, chosen, context, path.name, None) for path in inputs]
        return _map(stage, run_shard, tasks, context, 1 if stage.serial else workers)


def _by_bucket(rows: Sequence[dict[str, Any]], buckets: int) -> dict[int, list[dict[str, Any]]]:
    """Rows by bucket; every bucket is there, so that an empty one is an empty shard downstream."""
    listed: dict[int, list[dict[str, Any]]] = {bucket: [] for bucket in range(buckets)}
    for row in rows:
        listed[table.bucket_of(row["identity_id"], buckets)].append(row)
    return listed


def _map(
    stage: RowStage | ShardStage,
    function: Callable[[Any], Outcome],
    tasks: Sequence[Any],
    context: Context,
    workers: int,
) -> Summary:
    reasons: Counter[str] = Counter()
    given = kept = skipped = 0
    digests = []
    with StageProgress(stage.name, len(tasks)) as progress:
        for outcome in engine.map_shards(function, tasks, workers):
            given += outcome.input
            kept += outcome.kept
            skipped += outcome.skipped
            reasons.update(outcome.reasons)
            digests.append(outcome.digest)
            progress.advance(given, kept, reasons)
        progress.finish(given, kept, reasons, skipped)
    _prune(stage, context, {task.shard for task in tasks})
    lost = given - kept - sum(reasons.values())
    if lost:
        raise HqvoxError(f"stage {stage.name}: {given} rows in, {lost} neither kept nor dropped; please report this")
    digest = table.digest_of(sorted(digests))
    return Summary(stage.name, given, kept, dict(sorted(reasons.items())), digest, skipped, len(tasks))


def _prune(stage: RowStage | ShardStage, context: Context, planned: set[str]) -> None:
    """Delete files of ours that no run of this plan would write: shards of other bucket counts, temporary files."""
    folders = [context.paths.data / stage.name, context.paths.data / "drops" / stage.name]
    if isinstance(stage, RowStage):
        folders.append(context.paths.data / stage.scores.name)
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            ours = _OURS.fullmatch(path.name) is not None and path.is_file()
            if ours and path.name not in planned:
                path.unlink()


def _check_budget(summary: Summary, params: Params) -> None:
    if summary.failed > params.run.max_failed * summary.input:
        drops = params.paths.data / "drops" / summary.stage
        raise DataError(
            f"stage {summary.stage}: {summary.failed} of {summary.input} rows failed, more than run.max_failed = "
            f"{params.run.max_failed:g} allows. They are listed with reason `{FAILED}` in {drops}; raise the budget "
            "to go on without them, or report the defect"
        )
