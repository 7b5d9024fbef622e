"""The plan says what a run would do and why, and the run then does that."""

from pathlib import Path

from pipeline.plan import StagePlan, line, plan
from pipeline.run import run_stage
from pipeline.settings import Params
from tests.pipeline.toy import NUMBER_STAGE, SQUARE_STAGE, params, run_both


def squares(chosen: Params) -> StagePlan:
    return plan([NUMBER_STAGE, SQUARE_STAGE], chosen)[1]


def test_the_plan_says_why_each_shard_is_made(tmp_path: Path) -> None:
    chosen = params(tmp_path)
    assert plan([NUMBER_STAGE], chosen) == [StagePlan("numbers", 3, 3, {"not there yet": 3})]
    run_both(chosen)
    assert squares(chosen) == StagePlan("squares", 3, 0, {})
    assert squares(params(tmp_path, max_square=4)).why == {"changed: settings max_square": 3}
    (tmp_path / "data/squares/part-0001.parquet").unlink()
    (tmp_path / "data/drops/squares/part-0002.parquet").unlink()
    found = squares(chosen)
    assert found == StagePlan("squares", 3, 2, {"not there yet": 1, "its drops are gone or damaged": 1})
    assert line(found) == "squares    2 of 3 shards: not there yet (1); its drops are gone or damaged (1)"
    summary = run_stage(SQUARE_STAGE, chosen, 1)
    assert summary is not None and summary.shards - summary.skipped_shards == found.to_do


def test_a_stage_whose_input_is_to_change_says_so(tmp_path: Path) -> None:
    chosen = params(tmp_path)
    run_both(chosen)
    chosen.stages["numbers"] = {"each": 5}
    first, second = plan([NUMBER_STAGE, SQUARE_STAGE], chosen)
    assert first.to_do and second.to_do == 0 and second.after == ("numbers",)
