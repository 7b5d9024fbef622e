"""Run one shard of a stage, in whichever process: read, score what is not cached, decide, render, write."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from hashlib import sha256
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests import table
from manifests.errors import DataError, HqvoxError
from manifests.schema import Column, Table
from pipeline import deadline
from pipeline.names import clean
from pipeline.stage import FAILED, HOW, UNREADABLE_FILE, Context, Drop, Row, RowStage, ShardStage, failure

_INPUT_KEY = Column("input_key", pa.string(), "digest of the columns the scores depend on")
_MAX_DETAIL = 500  # characters of a drop's detail: the words of a decoder may quote the whole file


@dataclass(frozen=True, slots=True)
class RowTask:
    """One shard of a RowStage: everything a worker needs, small enough to send."""

    stage: RowStage
    scoring: Any
    limits: Any
    context: Context
    shard: str
    weights: dict[str, str]  # name: sha256
    quarantined: Mapping[str, Drop] = field(default_factory=dict)  # by row_id: what is not to be touched
    surveyed: Path | None = None  # JSON file of what the stage's survey says of each row
    scores_only: bool = False  # for that survey: nothing is decided


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard of a ShardStage; `listed` is the JSON file of its rows, or None to read them from a table."""

    stage: ShardStage
    settings: Any
    context: Context
    shard: str
    listed: Path | None
    quarantined: Mapping[str, Drop] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a shard's rows."""

    input: int
    kept: int
    reasons: dict[str, int]
    digest: str  # of the kept rows and the drops
    shard: str
    skipped: bool = False  # the shard was already finished


Task = RowTask | ShardTask


@dataclass(frozen=True, slots=True)
class Work:
    """What a shard is made from, and the key that stands for it."""

    record: dict[str, Any]  # goes into the footers
    key: str
    scoring_key: str = ""  # of the cached scores, for a RowStage


def run_task(task: Task) -> Outcome:
    """Do one shard, unless it is finished already."""
    return run_row_shard(task) if isinstance(task, RowTask) else run_shard(task)


def work_of(task: Task) -> Work:
    """What a shard would be made from."""
    return _row_work(task) if isinstance(task, RowTask) else _shard_work(task, _rows(task))


def _rows(task: Task) -> list[Row]:
    """The shard's input, but for pictures and sound."""
    if isinstance(task, ShardTask) and task.listed is not None:
        listed: list[Row] = json.loads(task.listed.read_text(encoding="utf-8"))
        return listed
    reads = task.stage.reads
    assert reads is not None, f"stage {task.stage.name} neither reads nor lists"
    rows = table.read_rows(task.context.paths.data / reads.name / task.shard, _plain(reads))
    if isinstance(task, RowTask):
        return rows
    return [{**row, "_shard": f"{reads.name}/{task.shard}", "_row": i} for i, row in enumerate(rows)]


def _row_work(task: RowTask) -> Work:
    stage, data = task.stage, task.context.paths.data
    source = data / stage.reads.name / task.shard
    table.expect(source, stage.reads)
    scoring_key = table.digest_of(
        {
            "stage": stage.name,
            "version": stage.version,
            "scoring": asdict(task.scoring),
            "weights": task.weights,
            "table": _shape(stage.scores),
        }
    )
    inputs = {stage.reads.name: table.rows_digest(source)}
    if stage.score_all is not None:
        everything = data / stage.score_all.name / task.shard
        table.expect(everything, stage.score_all)
        inputs[stage.score_all.name] = table.rows_digest(everything)
    if task.surveyed is not None:
        inputs["survey"] = table.digest_of(_facts(task))
    made_by = {"code": _code(stage.decide.__module__), "table": _shape(stage.writes)}
    key = table.digest_of({"scoring": scoring_key, "limits": asdict(task.limits), "inputs": inputs, "by": made_by})
    record = {
        "stage": stage.name,
        "key": key,
        "settings": asdict(task.scoring) | asdict(task.limits),
        "weights": task.weights,
        "inputs": inputs,
        "by": made_by | {"version": stage.version},
    }
    return Work(record, key, scoring_key)


def _shard_work(task: ShardTask, rows: list[Row]) -> Work:
    stage, context = task.stage, task.context
    if task.listed is not None:
        inputs = {"listed": table.digest_of(rows)}
    else:
        assert stage.reads is not None
        source = context.paths.data / stage.reads.name / task.shard
        table.expect(source, stage.reads)
        inputs = {stage.reads.name: table.rows_digest(source)}
    if stage.fingerprint is not None:
        inputs["files"] = stage.fingerprint(rows, task.settings, context)
    chosen = {f.name: getattr(task.settings, f.name) for f in fields(task.settings) if not f.metadata.get(HOW)}
    if stage.instant:
        inputs["code"] = _code(stage.process.__module__)
    made_by = {"stage": stage.name, "version": stage.version, "table": _shape(stage.writes(task.settings))}
    key = table.digest_of({"settings": chosen, "inputs": inputs, "by": made_by})
    record = {"stage": stage.name, "key": key, "settings": chosen, "inputs": inputs, "by": made_by}
    return Work(record, key)


def run_row_shard(task: RowTask) -> Outcome:
    """Score, decide and render one shard of a RowStage, unless it is finished already."""
    stage, work = task.stage, _row_work(task)
    if task.scores_only:
        rows = _rows(task)
        _scores(task, rows, work.scoring_key)
        return Outcome(len(rows), 0, {}, "", task.shard)
    done = finished(task, work)
    if done is not None:
        return done
    rows = _rows(task)
    scores, failures = _scores(task, rows, work.scoring_key)
    results = _decide(task, rows, scores, failures)
    return _write(task, stage.writes, rows, results, work.record)


def run_shard(task: ShardTask) -> Outcome:
    """Process one shard of a ShardStage, unless it is finished already."""
    stage, rows = task.stage, _rows(task)
    work = _shard_work(task, rows)
    done = finished(task, work)
    if done is not None:
        return done
    todo = [row for row in rows if row["row_id"] not in task.quarantined]
    results = _process(task, todo)
    if task.quarantined:
        _account(stage.name, todo, results)
        made = iter(results)
        results = [task.quarantined.get(row["row_id"]) or next(made) for row in rows]
    return _write(task, stage.writes(task.settings), rows, results, work.record)


def _process(task: ShardTask, rows: list[Row]) -> list[Row | Drop]:
    return task.stage.process(deadline.Timed(rows, task.context.max_row_s), task.settings, task.context)


def row_ids(task: Task) -> list[str]:
    """The rows whose turn comes in this shard, in order."""
    return [row["row_id"] for row in (_scored(task) if isinstance(task, RowTask) else _rows(task))]


def rehearse(task: Task, only: frozenset[str]) -> None:
    """Do the work of some rows and write nothing, to see whether this process survives them."""
    rows = [row for row in _rows(task) if row["row_id"] in only]
    if isinstance(task, ShardTask):
        _process(task, rows)
        return
    scores, failures = _score(task, [row for row in _scored(task) if row["row_id"] in only])
    if not task.scores_only:
        _decide(task, rows, scores, failures)


def scored_columns(task: RowTask) -> pa.Table:
    """The columns that the stage surveys, of the rows of a shard that have scores."""
    stage, names = task.stage, task.stage.surveys
    source = task.context.paths.data / stage.reads.name / task.shard
    rows = table.read_table(source, [name for name in names if name in stage.reads.names])
    scores = table.read_table(scores_path(task), ["row_id", *(n for n in names if n not in stage.reads.names)])
    places = pc.index_in(rows["row_id"], scores["row_id"].combine_chunks())
    scores = scores.take(places.drop_null())
    rows = rows.filter(places.is_valid())
    for name in scores.column_names[1:]:
        rows = rows.append_column(name, scores[name])
    return rows


def _facts(task: RowTask) -> dict[str, Row]:
    """By row_id: what the survey says of the rows; empty where it was not held yet."""
    if task.surveyed is None or not task.surveyed.exists():
        return {}
    facts: dict[str, Row] = json.loads(task.surveyed.read_text(encoding="utf-8"))
    return facts


def _shape(of: Table) -> list[Any]:
    """What a file of the table looks like: one of another shape is made again."""
    return [of.name, of.version, [[column.name, str(column.type), column.nullable] for column in of.columns]]


def _plain(of: Table) -> list[str]:
    """The columns that are not payload: pictures and sound are read only for the rows that need them."""
    return [column.name for column in of.columns if not pa.types.is_binary(column.type)]


@cache
def _code(stage_module: str) -> str:
    """Digest of a stage's file and of the machinery: decisions and pictures are made again when our code changes.

    Scores are not: networks run again only when the stage's `version` says so.
    """
    stage_file = import_module(stage_module).__file__
    assert stage_file is not None, f"module {stage_module} has no file"
    total = sha256()
    for path in (Path(stage_file), *sorted(Path(__file__).parent.rglob("*.py"))):
        total.update(path.read_bytes())
    return total.hexdigest()


def kept_and_drops(task: Task) -> tuple[Path, Path]:
    """The two files that a shard is written to."""
    data, stage = task.context.paths.data, task.stage.name
    return data / stage / task.shard, data / "drops" / stage / task.shard


def scores_path(task: Task) -> Path:
    """The file of a RowStage's cached scores."""
    assert isinstance(task, RowTask), f"stage {task.stage.name} has no scores"
    return task.context.paths.data / task.stage.scores.name / task.shard


def finished(task: Task, work: Work) -> Outcome | None:
    """The outcome of a shard whose files all carry the key; None where it must be (re)made.

    Rows that our code failed on, and files that could not be read, are tried again: it may have been of the moment
    (memory, a full disk, a folder that was not mounted). Rows that ended their process are not.
    """
    paths = kept_and_drops(task)
    if not all(has_key(path, work.key) for path in paths):
        return None
    if work.scoring_key and not has_key(scores_path(task), work.scoring_key):
        return None
    counts = table.provenance(paths[0])["counts"]
    if not counts["reasons"].keys().isdisjoint((FAILED, UNREADABLE_FILE)):
        return None
    return Outcome(counts["input"], counts["kept"], counts["reasons"], _digest(paths), task.shard, skipped=True)


def _digest(paths: tuple[Path, Path]) -> str:
    return table.digest_of([table.rows_digest(path) for path in paths])


def has_key(path: Path, key: str) -> bool:
    """Whether a file is whole and was made from what `key` says; a damaged one is simply made again."""
    try:
        return path.exists() and table.provenance(path).get("key") == key
    except DataError:
        return False


def _input_key(row: Row, depends: Sequence[str]) -> str:
    total = sha256()
    for name in depends:
        value = row[name]
        total.update(value if isinstance(value, bytes) else repr(value).encode())
        total.update(b"\0")
    return total.hexdigest()


def _scored(task: RowTask) -> list[Row]:
    """The rows that are scored, which may be more than those decided on."""
    everything = task.stage.score_all
    return (
        _rows(task) if everything is None else table.read_rows(task.context.paths.data / everything.name / task.shard)
    )


def _scores(task: RowTask, rows: list[Row], scoring_key: str) -> tuple[dict[str, Row], dict[str, Drop]]:
    """Scores by row_id, and the rows that scoring failed on; networks run only for rows not in the cache."""
    stage = task.stage
    scored = rows if stage.score_all is None else _scored(task)
    keys = {row["row_id"]: _input_key(row, stage.depends) for row in scored}
    path = scores_path(task)
    found = _cached(path, scoring_key)
    cached = found or {}
    scores = {i: cached[i] for i, key in keys.items() if i in cached and cached[i][_INPUT_KEY.name] == key}
    todo = [row for row in scored if row["row_id"] not in scores and row["row_id"] not in task.quarantined]
    made, failures = _score(task, todo)
    scores |= {i: {**values, "row_id": i, _INPUT_KEY.name: keys[i]} for i, values in made.items()}
    if found is None or todo or len(scores) != len(cached):
        ordered = [scores[i] for i in keys if i in scores]
        record = {"stage": stage.name, "key": scoring_key, "settings": asdict(task.scoring), "weights": task.weights}
        writes = replace(stage.scores, columns=(*stage.scores.columns, _INPUT_KEY))
        table.write_table(path, writes, ordered, record)
    return scores, failures | dict(task.quarantined)


def _score(task: RowTask, rows: Sequence[Row]) -> tuple[dict[str, Row], dict[str, Drop]]:
    """Run the networks: scores by row_id, and the rows that this failed on."""
    scores: dict[str, Row] = {}
    failures: dict[str, Drop] = {}
    for row in _timed(task, _with_payload(task, rows)):
        row_id = row["row_id"]
        try:
            values = task.stage.score(row, task.scoring)
        except HqvoxError:
            raise
        except Exception as error:  # noqa: BLE001  # one bad row must not cost its neighbours
            failures[row_id] = failure(error)
            continue
        wrong = [name for name, value in values.items() if not _is_finite(value)]
        if wrong:  # every limit would let a NaN pass
            failures[row_id] = Drop(FAILED, detail=f"scores that are no finite numbers: {', '.join(wrong)}")
            continue
        scores[row_id] = values
    return scores, failures


def _timed(task: RowTask, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, each with its own deadline."""
    try:
        for row in rows:
            deadline.start(task.context.max_row_s)
            yield row
    finally:
        deadline.stop()


def _is_finite(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(isfinite(number) for number in numbers if isinstance(number, float))


def _cached(path: Path, scoring_key: str) -> dict[str, Row] | None:
    """Cached scores by row_id; None where the file is absent, damaged, or made by other networks or settings."""
    if not has_key(path, scoring_key):
        return None
    try:
        return {row["row_id"]: row for row in table.read_rows(path)}
    except DataError:
        return None


def _with_payload(task: RowTask, rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with their payload columns, streamed in shard order; without payload, the rows themselves."""
    stage = task.stage
    if not stage.payload or not rows:
        yield from rows
        return
    by_id = {row["row_id"]: row for row in rows}
    stages = {name for name, _ in stage.payload}
    assert len(stages) == 1, f"stage {stage.name}: payload from one stage only"
    path = task.context.paths.data / stages.pop() / task.shard
    found = 0
    for row_id, values in table.read_payload(path, [column for _, column in stage.payload], by_id):
        found += 1
        yield {**by_id[row_id], **values}
    if found != len(by_id):
        raise DataError(
            f"{path} holds {found} of the {len(by_id)} rows that stage {stage.name} needs: run the stages before it "
            "again (`pipeline run`)"
        )


def _decide(task: RowTask, rows: Sequence[Row], scores: dict[str, Row], failures: dict[str, Drop]) -> list[Row | Drop]:
    """One result per row: the decision, then the pictures of the rows that are kept."""
    stage, facts = task.stage, _facts(task)
    results: dict[str, Row | Drop] = {}
    for row in rows:
        row_id = row["row_id"]
        if row_id in failures:
            results[row_id] = failures[row_id]
            continue
        try:
            results[row_id] = stage.decide(row, scores[row_id] | facts.get(row_id, {}), task.limits)
        except HqvoxError:
            raise
        except Exception as error:  # noqa: BLE001
            results[row_id] = failure(error)
    if stage.render is not None:
        kept = [row for row in rows if not isinstance(results[row["row_id"]], Drop)]
        for row in _timed(task, _with_payload(task, kept)):
            row_id = row["row_id"]
            try:
                made = stage.render(row, scores[row_id], task.limits)
            except HqvoxError:
                raise
            except Exception as error:  # noqa: BLE001
                results[row_id] = failure(error)
                continue
            results[row_id] = {**results[row_id], **made}  # type: ignore[dict-item]  # a kept row is no Drop
    return [results[row["row_id"]] for row in rows]


def _write(
    task: Task,
    writes: Table,
    rows: Sequence[Row],
    results: Sequence[Row | Drop],
    record: dict[str, Any],
) -> Outcome:
    """Write kept rows and drops; kept + dropped = input row by row, or nothing is written."""
    stage = task.stage.name
    _account(stage, rows, results)
    kept = [result for result in results if not isinstance(result, Drop)]
    drops = [
        {
            **{name: row.get(name) for name in ("identity_id", "row_id", "sample_id", "source")},
            "stage": stage,
            **asdict(result),
            "detail": result.detail and clean(result.detail)[:_MAX_DETAIL],
        }
        for row, result in zip(rows, results, strict=True)
        if isinstance(result, Drop)
    ]
    reasons = dict(sorted(Counter(drop["reason"] for drop in drops).items()))
    record = record | {"counts": {"input": len(rows), "kept": len(kept), "reasons": reasons}}
    kept_path, drops_path = kept_and_drops(task)
    # The kept rows go last: a shard is finished only when both files carry the same key.
    table.write_drops(drops_path, drops, record)
    table.write_table(kept_path, writes, kept, record)
    return Outcome(len(rows), len(kept), reasons, _digest((kept_path, drops_path)), task.shard)


def _account(stage: str, rows: Sequence[Row], results: Sequence[Row | Drop]) -> None:
    """Raise HqvoxError unless there is one result for each row, in order: nothing lost, doubled or exchanged."""
    if len(results) != len(rows):
        raise HqvoxError(f"stage {stage}: {len(rows)} rows in, {len(results)} results; please report this defect")
    for row, result in zip(rows, results, strict=True):
        if not isinstance(result, Drop) and result["row_id"] != row["row_id"]:
            raise HqvoxError(
                f"stage {stage}: row {row['row_id']} came back as {result['row_id']}; please report this defect"
            )
