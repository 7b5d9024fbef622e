"""A toy data set and two toy stages, to test the runner without networks."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests import table
from manifests.schema import Column, Table
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Context, Drop, Paths, Row, RowStage, ShardStage

NUMBERS = Table(
    "numbers",
    (
        Column("identity_id", pa.string(), "person"),
        Column("row_id", pa.string(), "key"),
        Column("sample_id", pa.string(), "key", nullable=True),
        Column("source", pa.string(), "where from"),
        Column("value", pa.int64(), "a number"),
        Column("image", pa.binary(), "payload"),
    ),
)
SQUARE_SCORES = Table(
    "scores/squares",
    (Column("row_id", pa.string(), "key"), Column("square", pa.int64(), "value squared", nullable=True)),
)
SQUARES = Table(
    "squares",
    (
        *NUMBERS.columns[:5],
        Column("square", pa.int64(), "value squared"),
        Column("image", pa.binary(), "payload, doubled"),
    ),
)


@dataclass(frozen=True, slots=True)
class Listing:
    """Settings of `numbers`."""

    people: int = 5
    each: int = 4


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scoring settings of `squares`."""

    offset: int = 0
    log: str = ""  # a file that gets a line per scored row: the tests' proof of what was scored


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of `squares`."""

    max_square: int = 10_000
    fail_at: int = -1  # a value that `decide` raises on


def list_numbers(settings: Listing, _context: Context) -> list[Row]:
    return [
        {
            "identity_id": f"p{p}",
            "row_id": f"p{p}-{k}",
            "sample_id": None,
            "source": f"http://x/{p}/{k}",
            "value": 10 * p + k,
        }
        for p in range(settings.people)
        for k in range(settings.each)
    ]


def make_numbers(rows: list[Row], _settings: Listing, _context: Context) -> list[Row | Drop]:
    return [
        Drop("thirteen", float(row["value"]), 13.0) if row["value"] == 13 else {**row, "image": b"%d" % row["value"]}
        for row in rows
    ]


def score(row: Row, scoring: Scoring) -> Row:
    if scoring.log:
        with Path(scoring.log).open("a") as log:
            log.write(f"{row['row_id']}\n")
    assert row["image"] == b"%d" % row["value"], "the payload belongs to the row"
    return {"square": (row["value"] + scoring.offset) ** 2}


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    if row["value"] == limits.fail_at:
        raise RuntimeError("a defect")
    if scores["square"] > limits.max_square:
        return Drop("too_large", float(scores["square"]), float(limits.max_square))
    return {**row, **scores}


def render(row: Row, _scores: Row, _limits: Limits) -> Row:
    return {"image": row["image"] * 2}


def number_table(_settings: Listing) -> Table:
    return NUMBERS


NUMBER_STAGE = ShardStage("numbers", number_table, Listing, make_numbers, list_rows=list_numbers)
SQUARE_STAGE = RowStage(
    "squares",
    reads=NUMBERS,
    writes=SQUARES,
    scores=SQUARE_SCORES,
    scoring=Scoring,
    limits=Limits,
    score=score,
    decide=decide,
    render=render,
    depends=("value",),
    payload=(("numbers", "image"),),
)


def params(folder: Path, buckets: int = 3, max_failed: float = 0.0, **squares: Any) -> Params:
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    return Params(paths, Run(buckets=buckets, max_failed=max_failed), {"squares": squares})


def run_both(chosen: Params, workers: int = 1) -> None:
    run_stage(NUMBER_STAGE, chosen, workers)
    run_stage(SQUARE_STAGE, chosen, workers)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def values(folder: Path) -> list[int]:
    return sorted(row["value"] for path in table.shards(folder) for row in table.read_rows(path))
