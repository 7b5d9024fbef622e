"""Run one stage: shards in; scores (cached), decisions, kept rows, drops and metrics out.

A shard of a stage is finished when its file carries the key of what it was made from: the digest of the input
rows, the settings, the networks' sha256 and the code version. Finished shards are skipped, so the same command
resumes an interrupted run; what no longer belongs to the plan is pruned, so the folder equals a clean build.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from manifests import table, weights
from manifests.errors import DataError, HqvoxError, UsageError
from manifests.settings import build
from pipeline import engine, events, settings, survey
from pipeline.engine import Died, Executor
from pipeline.events import Events
from pipeline.progress import FetchProgress, StageProgress, say
from pipeline.rescue import rescue
from pipeline.settings import Params
from pipeline.shard import Outcome, RowTask, ShardTask, Task, run_task
from pipeline.stage import DEFECTS, Context, RowStage, ShardStage, Stage, TableStage

_OURS = re.compile(r"part-\d{4,}\.parquet|\.part-\d{4,}\.parquet\.\d+\.tmp")  # as manifests.table names them
_NAMED = 20  # failed rows that the end of a run lists


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
        """Rows lost to a defect of ours, those that ended their process among them."""
        return sum(self.reasons.get(reason, 0) for reason in DEFECTS)


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


def run_stage(stage: Stage, params: Params, workers: int | Executor | None = None) -> Summary | None:
    """Run a stage to its end and write `metrics/<stage>.json`; a number of workers means those of this machine.

    Raises DataError when more than `run.max_failed` of the rows failed by a defect, Missing when an input or a
    weight file is absent, UsageError for wrong settings. A TableStage returns None.
    """
    executor = workers or params.run.workers or engine.cores()
    if isinstance(executor, int):
        executor = engine.executor(executor)
    with _alone(params.paths.data, stage.name):
        log = Events(events.folder_of(params.paths.data) / events.FILE, stage.name)
        log.add("stage_started", executor=executor.name, dashboard=executor.dashboard)
        if isinstance(stage, TableStage):
            metrics = stage.run(build(stage.settings, params.section(stage.name), stage.name), context_of(params))
            table.write_text(params.paths.metrics / f"{stage.name}.json", _json(metrics))
            log.add("stage_ended")
            return None
        if isinstance(stage, RowStage):
            weights.ensure(stage.weights(_settings(stage, params)[0]), FetchProgress())
        with planned(stage, params) as tasks:
            survey.hold(stage, tasks, partial(_outcomes, executor=executor, log=log, done="shard_scored"))
            summary = _map(stage, tasks, params, engine.Serial() if _is_serial(stage) else executor, log)
        failed = _failed_rows(params, summary)
        metrics = {k: v for k, v in asdict(summary).items() if k in ("input", "kept", "reasons", "digest")}
        if failed:
            metrics["warning"] = f"{summary.failed} of {summary.input} rows failed by a defect"
            metrics["failed_rows"] = failed
        table.write_text(params.paths.metrics / f"{stage.name}.json", _json(metrics))
        log.add("stage_ended", **metrics)
    _check_budget(summary, params, failed)
    return summary


def context_of(params: Params) -> Context:
    """What the stages of a run may know of it."""
    return Context(params.paths, params.run.buckets, max_row_s=params.run.max_row_s)


def _is_serial(stage: Stage) -> bool:
    return isinstance(stage, ShardStage) and stage.serial


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


@contextmanager
def _alone(data: Path, stage: str) -> Iterator[None]:
    """One run of a stage at a time in a data folder: a second one says so and waits."""
    from filelock import FileLock, Timeout

    folder = events.folder_of(data) / "locks"
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


def _settings(stage: RowStage, params: Params) -> tuple[Any, ...]:
    return settings.split(params.section(stage.name), (stage.scoring, stage.limits), stage.name)


@contextmanager
def planned(stage: RowStage | ShardStage, params: Params) -> Iterator[list[Task]]:
    """The shards of a stage as tasks, which may be done as long as the context is open.

    Raises Missing where an upstream table is absent, UsageError for wrong settings.
    """
    context = context_of(params)
    if isinstance(stage, RowStage):
        scoring, limits = _settings(stage, params)
        digests = {name: weights.digest(name) for name in stage.weights(scoring)}
        inputs = table.shards(context.paths.data / stage.reads.name, context.buckets)
        rows = [RowTask(stage, scoring, limits, context, path.name, digests) for path in inputs]
        yield [replace(task, surveyed=survey.facts_of(task)) for task in rows]
        return
    chosen = build(stage.settings, params.section(stage.name), stage.name)
    with stage.around(chosen, context) if stage.around else nullcontext() as extra:
        context = replace(context, extra=extra)
        if stage.list_rows is not None:
            listed = _write_list(stage.name, stage.list_rows(chosen, context), context)
            yield [ShardTask(stage, chosen, context, table.shard_name(b), path) for b, path in listed.items()]
        else:
            assert stage.reads is not None, f"stage {stage.name} neither reads nor lists"
            inputs = table.shards(context.paths.data / stage.reads.name, context.buckets)
            yield [ShardTask(stage, chosen, context, path.name, None) for path in inputs]


def _write_list(stage: str, rows: Sequence[dict[str, Any]], context: Context) -> dict[int, Path]:
    """Write what each bucket's shard is to be made from, so that only its name travels to a worker."""
    data = context.paths.data
    folder = events.folder_of(data) / "listed" / f"{data.name}-{stage}"
    paths = {bucket: folder / f"{table.shard_name(bucket)}.json" for bucket in range(context.buckets)}
    for bucket, listed in _by_bucket(rows, context.buckets).items():
        table.write_text(paths[bucket], json.dumps(listed))
    return paths


def _by_bucket(rows: Sequence[dict[str, Any]], buckets: int) -> dict[int, list[dict[str, Any]]]:
    """Rows by bucket; every bucket is there, so that an empty one is an empty shard downstream."""
    listed: dict[int, list[dict[str, Any]]] = {bucket: [] for bucket in range(buckets)}
    for row in rows:
        listed[table.bucket_of(row["identity_id"], buckets)].append(row)
    return listed


def _map(
    stage: RowStage | ShardStage, tasks: Sequence[Task], params: Params, executor: Executor, log: Events
) -> Summary:
    reasons: Counter[str] = Counter()
    given = kept = skipped = 0
    digests = []
    with StageProgress(stage.name, len(tasks), executor.dashboard) as progress:
        for outcome in _outcomes(tasks, executor, log):
            given += outcome.input
            kept += outcome.kept
            skipped += outcome.skipped
            reasons.update(outcome.reasons)
            digests.append(outcome.digest)
            progress.advance(given, kept, reasons)
        progress.finish(given, kept, reasons, skipped)
    _prune(stage, context_of(params), {task.shard for task in tasks})
    lost = given - kept - sum(reasons.values())
    if lost:
        raise HqvoxError(f"stage {stage.name}: {given} rows in, {lost} neither kept nor dropped; please report this")
    digest = table.digest_of(sorted(digests))
    return Summary(stage.name, given, kept, dict(sorted(reasons.items())), digest, skipped, len(tasks))


def _outcomes(tasks: Sequence[Task], executor: Executor, log: Events, done: str = "shard_done") -> Iterator[Outcome]:
    """What became of the shards, those last whose worker died; `done` is what the log calls the others."""
    died: list[Task] = []
    for result in executor.map(run_task, tasks):
        if isinstance(result, Died):
            died.append(result.task)
            log.add("worker_died", shard=result.task.shard, exit_code=result.exit_code)
        else:
            log.add(done, **asdict(result))
            yield result
    for task in died:
        say(f"{task.stage.name:<10} a worker died over {task.shard}; done again, apart from the others")
        outcome = rescue(task)
        log.add("shard_rescued", **asdict(outcome))
        yield outcome


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


def _failed_rows(params: Params, summary: Summary) -> list[dict[str, Any]]:
    """The first of the rows that failed by a defect: which, why, and where in which file."""
    if not summary.failed:
        return []
    columns = ["row_id", "identity_id", "reason", "detail"]
    folder = params.paths.data / "drops" / summary.stage
    found = [row for path in table.shards(folder) for row in table.read_rows(path, columns) if row["reason"] in DEFECTS]
    return found[:_NAMED]


def _check_budget(summary: Summary, params: Params, failed: Sequence[dict[str, Any]]) -> None:
    if not summary.failed:
        return
    folder = params.paths.data / "drops" / summary.stage
    rows = "\n".join(f"  {row['row_id']} of {row['identity_id']}: {row['reason']}, {row['detail']}" for row in failed)
    reasons = ", ".join(f"`{reason}`" for reason in DEFECTS if reason in summary.reasons)
    found = f"stage {summary.stage}: {summary.failed} of {summary.input} rows failed"
    where = f"They are listed with reason {reasons} in {folder}"
    if summary.failed > params.run.max_failed * summary.input:
        raise DataError(
            f"{found}, more than run.max_failed = {params.run.max_failed:g} allows. {where}; raise the budget "
            f"to go on without them, or report the defect. The first of them:\n{rows}"
        )
    say(f"warning: {found}, which run.max_failed = {params.run.max_failed:g} allows. {where}:\n{rows}")
