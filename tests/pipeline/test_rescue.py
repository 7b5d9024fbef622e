"""A row that ends its process costs itself and nothing else, whatever it ends it by."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL, raise_signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import table
from manifests.errors import DataError, HqvoxError
from pipeline.engine import Processes, preload
from pipeline.rescue import culprits
from pipeline.run import run_stage
from pipeline.settings import Params
from pipeline.stage import RowStage, ShardStage
from tests.pipeline.poison import CRASHES, EXITS, HANGS, IS_KILLED, MAKE_DEADLY, RENDER_DEADLY, SCORE_DEADLY
from tests.pipeline.toy import NUMBER_STAGE, SQUARE_STAGE, digests, params, values

DEADLY = {CRASHES: "crashed", IS_KILLED: "killed", HANGS: "timed_out", EXITS: "crashed"}
WORKERS = Processes(2)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Workers find everything imported: these tests start dozens."""
    preload(["pipeline.rescue", "tests.pipeline.poison", "tests.pipeline.test_rescue"])


def settings(folder: Path, max_failed: float = 1.0) -> Params:
    chosen = params(folder, max_failed=max_failed)
    return replace(chosen, run=replace(chosen.run, max_row_s=0.5))


def reasons(folder: Path, stage: str) -> dict[str, str]:
    rows = [row for path in table.shards(folder / "data/drops" / stage) for row in table.read_rows(path)]
    return {row["row_id"]: row["reason"] for row in rows}


@given(st.lists(st.booleans(), max_size=40))
def test_bisection_finds_the_deadly_rows_and_no_other(deadly: list[bool]) -> None:
    rows = [str(i) for i in range(len(deadly))]

    def death_over(some: Sequence[str]) -> int | None:
        return -11 if any(deadly[int(row)] for row in some) else None

    assert set(culprits(rows, death_over)) == {row for row, is_deadly in zip(rows, deadly, strict=True) if is_deadly}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [SCORE_DEADLY, RENDER_DEADLY], ids=["score", "render"])
def test_a_deadly_row_costs_itself_alone(tmp_path: Path, stage: RowStage) -> None:
    chosen = settings(tmp_path)
    run_stage(NUMBER_STAGE, chosen, 1)
    summary = run_stage(stage, chosen, WORKERS)
    assert summary is not None and summary.failed == 4
    assert summary.reasons == {"crashed": 2, "killed": 1, "timed_out": 1}
    assert reasons(tmp_path, "squares") == {f"p{v // 10}-{v % 10}": reason for v, reason in DEADLY.items()}
    run_stage(NUMBER_STAGE, settings(tmp_path / "plain"), 1)
    run_stage(SQUARE_STAGE, settings(tmp_path / "plain"), 1)
    assert values(tmp_path / "data/squares") == sorted(set(values(tmp_path / "plain/data/squares")) - set(DEADLY))


@pytest.mark.slow
def test_so_does_one_of_a_stage_that_sees_whole_shards(tmp_path: Path) -> None:
    summary = run_stage(MAKE_DEADLY, settings(tmp_path), WORKERS)
    assert summary is not None and summary.input == 20 and summary.kept == 15
    assert reasons(tmp_path, "numbers") == {f"p{v // 10}-{v % 10}": r for v, r in (DEADLY | {13: "thirteen"}).items()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [MAKE_DEADLY, SCORE_DEADLY], ids=["shards", "rows"])
def test_the_same_bytes_at_any_worker_count_and_nothing_done_twice(
    tmp_path: Path, stage: RowStage | ShardStage
) -> None:
    for workers in (1, 3):
        chosen = settings(tmp_path / str(workers))
        if stage is SCORE_DEADLY:
            run_stage(NUMBER_STAGE, chosen, 1)
        run_stage(stage, chosen, Processes(workers))
        again = run_stage(stage, chosen, Processes(workers))
        assert again is not None and again.skipped_shards == again.shards == 3
    assert digests(tmp_path / "1/data") == digests(tmp_path / "3/data")


@pytest.mark.slow
def test_the_run_ends_with_a_list_and_above_the_budget_with_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stage(NUMBER_STAGE, settings(tmp_path), 1)
    run_stage(SCORE_DEADLY, settings(tmp_path, max_failed=0.3), WORKERS)
    said = capsys.readouterr().err
    assert "warning: stage squares: 4 of 19 rows failed" in said
    assert "p1-2 of p1: crashed, its process ended by SIGSEGV" in said
    metrics = json.loads((tmp_path / "metrics/squares.json").read_text())
    assert metrics["warning"] == "4 of 19 rows failed by a defect"
    assert {row["row_id"] for row in metrics["failed_rows"]} == {"p1-2", "p2-1", "p3-0", "p4-2"}
    events = [json.loads(line) for line in (tmp_path / ".hqvox/events.jsonl").read_text().splitlines()]
    assert {event["shard"] for event in events if event["event"] == "worker_died"} == {
        event["shard"] for event in events if event["event"] == "shard_rescued"
    }
    with pytest.raises(DataError, match=r"4 of 19 rows failed, more than run\.max_failed = 0\.1 allows") as raised:
        run_stage(SCORE_DEADLY, settings(tmp_path, max_failed=0.1), WORKERS)
    assert raised.value.exit_code == 3


def die_over_many(row: dict[str, int], scoring: object) -> dict[str, int]:
    raise SystemExit(1)


def test_an_exit_in_a_stage_is_its_error(tmp_path: Path) -> None:
    run_stage(NUMBER_STAGE, settings(tmp_path), 1)
    with pytest.raises(SystemExit):
        run_stage(replace(SQUARE_STAGE, score=die_over_many), settings(tmp_path), WORKERS)


def test_where_no_row_is_to_blame_the_error_says_so(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    run_stage(NUMBER_STAGE, chosen, 1)
    with pytest.raises(HqvoxError, match=r"every process dies over part-\d+.parquet .*no row of it alone"):
        run_stage(replace(SQUARE_STAGE, score=die_in_company), chosen, WORKERS)


_seen: list[str] = []


def die_in_company(row: dict[str, str], _scoring: object) -> dict[str, int]:
    """Memory that is never given back ends a process over its third row, whichever that is."""
    _seen.append(row["row_id"])
    if len(_seen) > 2:
        raise_signal(SIGKILL)
    return {"square": 1}
