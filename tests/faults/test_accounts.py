"""Whatever a stage does with its rows, the runner's accounts add up: nothing lost, doubled or exchanged unseen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from manifests import table
from manifests.errors import HqvoxError
from manifests.schema import Column
from pipeline.run import run_stage
from pipeline.stage import Context, Drop, Row
from tests.pipeline.toy import (
    NUMBER_STAGE,
    NUMBERS,
    SQUARE_SCORES,
    SQUARE_STAGE,
    SQUARES,
    Listing,
    Scoring,
    make_numbers,
    params,
    run_both,
    score,
    values,
)

Results = list[Row | Drop]


def doubled(results: Results) -> Results:
    return [results[0], *results[:-1]]


@pytest.mark.parametrize(
    "mistake",
    [lambda results: results[1:], lambda results: [*results, results[-1]], lambda results: results[::-1], doubled],
    ids=["a row lost", "a row too many", "another order", "one doubled, one lost"],
)
def test_a_stage_that_loses_a_row_stops_with_a_clear_message(
    tmp_path: Path, mistake: Callable[[Results], Results]
) -> None:
    def careless(rows: Sequence[Row], settings: Listing, context: Context) -> Results:
        return mistake(make_numbers(list(rows), settings, context)) if rows else []

    stage = replace(NUMBER_STAGE, process=careless)
    with pytest.raises(HqvoxError, match=r"stage numbers: .*(rows in|came back as)") as caught:
        run_stage(stage, params(tmp_path, buckets=1), 1)
    assert caught.value.exit_code == 1
    assert not list((tmp_path / "data").rglob("*.parquet")), "no shard with wrong accounts is written"


def test_a_decision_about_another_row_is_noticed(tmp_path: Path) -> None:
    def wrong(row: Row, scores: Row, _limits: Any) -> Row:
        return row | scores | {"row_id": "p0-0"}

    run_stage(NUMBER_STAGE, params(tmp_path), 1)
    with pytest.raises(HqvoxError, match="came back as p0-0"):
        run_stage(replace(SQUARE_STAGE, decide=wrong), params(tmp_path), 1)


@pytest.mark.parametrize("worst", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_costs_its_row_only(tmp_path: Path, worst: float) -> None:
    """Every comparison with a NaN is false, so that each limit would let it pass."""

    def unsure(row: Row, scoring: Scoring) -> Row:
        return score(row, scoring) | {"sharpness": worst if row["value"] == 12 else 0.5}

    sharp = Column("sharpness", pa.float64(), "0..1")
    stage = replace(
        SQUARE_STAGE,
        score=unsure,
        scores=replace(SQUARE_SCORES, columns=(*SQUARE_SCORES.columns, sharp)),
        writes=replace(SQUARES, columns=(*SQUARES.columns, sharp)),
    )
    run_stage(NUMBER_STAGE, params(tmp_path), 1)
    summary = run_stage(stage, params(tmp_path, max_failed=1.0), 1)
    assert summary is not None and (summary.kept, summary.reasons) == (18, {"error": 1})
    drops = [row for path in table.shards(tmp_path / "data/drops/squares") for row in table.read_rows(path)]
    assert [drop["detail"] for drop in drops] == ["scores that are no finite numbers: sharpness"]


def test_any_words_of_a_decoder_fit_into_a_drop(tmp_path: Path) -> None:
    def talkative(rows: Sequence[Row], _settings: Listing, _context: Context) -> Results:
        return [Drop("odd", detail="\ud800 \x1b[2J \0 <b>\n\u202e" + "x" * 10_000) for _ in rows]

    run_stage(replace(NUMBER_STAGE, process=talkative), params(tmp_path), 1)
    details = {row["detail"] for path in table.shards(tmp_path / "data/drops/numbers") for row in table.read_rows(path)}
    (detail,) = details
    assert detail.startswith("\ufffd [2J <b> xxx") and len(detail) == 500


def test_a_column_more_in_a_table_makes_its_shards_again(tmp_path: Path) -> None:
    """Else the next stage would refuse them, and the same command would skip them, for ever."""
    chosen = params(tmp_path)
    run_both(chosen)
    more = Column("licence", pa.string(), "as the source states it", nullable=True)
    grown = replace(NUMBERS, columns=(*NUMBERS.columns, more))
    summary = run_stage(replace(NUMBER_STAGE, writes=lambda _: grown), chosen, 1)
    assert summary is not None and summary.skipped_shards == 0
    after = run_stage(replace(SQUARE_STAGE, reads=grown), chosen, 1)
    assert after is not None and after.kept == len(values(tmp_path / "data/squares")) == 19
