"""All that the author of a stage must know: three shapes of stage, and what a dropped row is.

A stage scores, then decides. `score` runs the networks and is cached row by row; `survey`, where there is one, looks
at the scores of all shards at once; `decide` is pure, instant and always rerun; `render` makes the pictures of the
rows that were kept. The runner (`pipeline.run`) does all I/O.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any

import pyarrow as pa

from manifests.schema import Table

Row = dict[str, Any]

HOW = "how"  # `field(metadata={HOW: True})`: a setting of how fast or by whom, which finished shards survive


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a row is not kept: the rule, what was measured, what was allowed."""

    reason: str
    value: float | None = None
    limit: float | None = None
    detail: str | None = None


FAILED = "error"  # the drop reason of a row that our own code failed on
CRASHED, KILLED, TIMED_OUT = "crashed", "killed", "timed_out"  # of a row that ended every worker it was given to
DEFECTS = (FAILED, CRASHED, KILLED, TIMED_OUT)  # what counts against `run.max_failed`
UNREADABLE_FILE = "unreadable_file"  # and of a local file that is gone or may not be read; both are tried again


def failure(error: Exception) -> Drop:
    """The drop of a row that raised: which error, and in which line of which of our files."""
    frame = extract_tb(error.__traceback__)[-1]
    return Drop(FAILED, detail=f"{Path(frame.filename).name}:{frame.lineno}: {type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a run reads and writes (`paths` in params.yaml)."""

    data: Path = Path("data")  # shards, scores, drops and the manifest
    reports: Path = Path("reports")  # the statistics page
    metrics: Path = Path("metrics")  # one JSON file per stage, for `dvc metrics` and `dvc plots`
    review: Path = Path("review")  # human decisions: an input, never written by a stage


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage may know of the run beside its rows."""

    paths: Paths
    buckets: int  # shards per table
    extra: Any = None  # what the stage's `around` yielded
    max_row_s: float = 0.0  # seconds after which a worker that hangs over a row is ended; 0: never


def no_weights(_scoring: Any) -> tuple[str, ...]:
    """For stages without networks."""
    return ()


@dataclass(frozen=True, slots=True)
class RowStage:
    """A stage that looks at one row at a time.

    `scoring` and `limits` are frozen dataclasses; together their fields are the stage's section of params.yaml.
    Scores are cached per row under: the row's `depends` columns, the scoring settings, the digests of `weights`
    and the code version. `payload` names columns that another stage's shard holds for the same `row_id`.
    """

    name: str
    reads: Table
    writes: Table
    scores: Table
    scoring: type[Any]
    limits: type[Any]
    score: Callable[[Row, Any], Row]
    decide: Callable[[Row, Row, Any], Row | Drop]
    depends: tuple[str, ...]
    render: Callable[[Row, Row, Any], Row] | None = None
    payload: tuple[tuple[str, str], ...] = ()  # (stage, column)
    survey: Callable[[pa.Table, Any], pa.Table] | None = None  # `surveys` of all rows in, facts of each out
    surveys: tuple[str, ...] = ()  # columns of `reads` and `scores`, identity_id and row_id among them
    score_all: Table | None = None  # score every row of this table, so that a looser limit upstream runs no network
    weights: Callable[[Any], tuple[str, ...]] = no_weights
    version: str = "1"  # raise it when `score` or `render` changes what it computes


@dataclass(frozen=True, slots=True)
class ShardStage:
    """A stage that needs all rows of some people at once, or that makes rows from outside the tables.

    `process` returns one Row or Drop per input row, in order. Where `list_rows` is set, the rows come from it
    (addresses, files); else from the shards of `reads`, and each row also says where it lies (`_shard`, `_row`).
    """

    name: str
    writes: Callable[[Any], Table]
    settings: type[Any]
    process: Callable[[Sequence[Row], Any, Context], list[Row | Drop]]
    reads: Table | None = None
    list_rows: Callable[[Any, Context], list[Row]] | None = None
    fingerprint: Callable[[Sequence[Row], Any, Context], str] | None = None  # digest of what else is read (files)
    around: Callable[[Any, Context], AbstractContextManager[Any]] | None = None  # held open for the whole stage
    planning: Callable[[], "ShardStage"] | None = None  # the stage for a plan, where listing or `around` does something
    instant: bool = False  # nothing is fetched or decoded: done again whenever our code changes, not only `version`
    serial: bool = False  # run shards one after another in this process (the stage has threads of its own)
    version: str = "1"


@dataclass(frozen=True, slots=True)
class TableStage:
    """A stage over whole tables; `run` returns its metrics."""

    name: str
    settings: type[Any]
    run: Callable[[Any, Context], dict[str, Any]]


Stage = RowStage | ShardStage | TableStage
