"""The runner: nothing is lost, nothing is done twice, and the bytes do not depend on how it was run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from manifests import table
from manifests.errors import DataError, Missing, UsageError
from pipeline.run import check_settings, run_stage
from tests.pipeline.toy import NUMBER_STAGE, NUMBERS, SQUARE_STAGE, digests, params, run_both, values


def test_kept_and_dropped_make_the_input(tmp_path: Path) -> None:
    run_both(params(tmp_path, max_square=400))
    metrics = json.loads((tmp_path / "metrics/squares.json").read_text())
    assert metrics["input"] == 19
    assert metrics["kept"] + sum(metrics["reasons"].values()) == 19
    assert values(tmp_path / "data/squares") == [
        v for p in range(5) for k in range(4) if (v := 10 * p + k) <= 20 and v != 13
    ]
    drops = [row for path in table.shards(tmp_path / "data/drops/squares") for row in table.read_rows(path)]
    assert all(row["stage"] == "squares" and row["value"] > row["limit"] == 400 for row in drops)


@pytest.mark.parametrize("workers", [2, 4])
def test_the_same_bytes_at_any_worker_count(tmp_path: Path, workers: int) -> None:
    run_both(params(tmp_path / "one"))
    run_both(params(tmp_path / "many"), workers)
    assert digests(tmp_path / "one/data") == digests(tmp_path / "many/data")


def test_the_same_rows_at_any_bucket_count(tmp_path: Path) -> None:
    run_both(params(tmp_path / "few", buckets=1))
    run_both(params(tmp_path / "many", buckets=16))
    assert values(tmp_path / "few/data/squares") == values(tmp_path / "many/data/squares")


def test_another_limit_scores_nothing_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run_both(params(tmp_path, log=str(log), max_square=400))
    scored = log.read_text().splitlines()
    assert len(scored) == len(set(scored)) == 19
    run_both(params(tmp_path, log=str(log), max_square=900))
    assert log.read_text().splitlines() == scored
    assert 30 in values(tmp_path / "data/squares")


def test_another_scoring_setting_scores_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run_both(params(tmp_path, log=str(log)))
    run_both(params(tmp_path, log=str(log), offset=1))
    assert len(log.read_text().splitlines()) == 2 * 19


def test_a_finished_run_is_skipped_and_unchanged(tmp_path: Path) -> None:
    chosen = params(tmp_path)
    run_both(chosen)
    before = digests(tmp_path / "data")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.parquet")}
    summary = run_stage(SQUARE_STAGE, chosen, 1)
    assert summary is not None and summary.skipped_shards == summary.shards == 3
    assert digests(tmp_path / "data") == before
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"<html>"),
    ],
    ids=["gone", "one byte short", "empty", "not Parquet"],
)
@pytest.mark.parametrize("which", ["squares", "drops/squares", "scores/squares"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, which: str, damage: Callable[[Path], None]) -> None:
    chosen = params(tmp_path)
    run_both(chosen)
    before = digests(tmp_path / "data")
    damage(tmp_path / "data" / which / "part-0001.parquet")
    run_both(chosen)
    assert digests(tmp_path / "data") == before


def test_a_damaged_input_is_an_error_that_names_it(tmp_path: Path) -> None:
    chosen = params(tmp_path)
    run_stage(NUMBER_STAGE, chosen, 1)
    (tmp_path / "data/numbers/part-0001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"numbers/part-0001\.parquet is not a whole Parquet file"):
        run_stage(SQUARE_STAGE, chosen, 1)


def test_shards_of_another_bucket_count_are_pruned(tmp_path: Path) -> None:
    run_both(params(tmp_path, buckets=8))
    (tmp_path / "data/squares/.part-0000.parquet.1.tmp").write_bytes(b"left over")
    run_both(params(tmp_path, buckets=3))
    run_both(params(tmp_path / "clean", buckets=3))
    assert digests(tmp_path / "data") == digests(tmp_path / "clean/data")
    assert not list((tmp_path / "data").rglob("*.tmp"))


def test_a_row_that_fails_costs_no_other_row_and_counts_against_the_budget(tmp_path: Path) -> None:
    run_stage(NUMBER_STAGE, params(tmp_path), 1)
    within = run_stage(SQUARE_STAGE, params(tmp_path, max_failed=0.1, fail_at=12), 1)
    assert within is not None and within.kept == 18 and within.reasons == {"error": 1}
    with pytest.raises(DataError, match=r"1 of 19 rows failed"):
        run_stage(SQUARE_STAGE, params(tmp_path, max_failed=0.01, fail_at=12), 1)
    assert len(values(tmp_path / "data/squares")) == 18


def test_an_unknown_setting_is_an_error_that_lists_the_valid_ones(tmp_path: Path) -> None:
    run_stage(NUMBER_STAGE, params(tmp_path), 1)
    with pytest.raises(UsageError, match=r"squares: unknown key max_sqare; valid: .*max_square"):
        run_stage(SQUARE_STAGE, params(tmp_path, max_sqare=3), 1)


def test_people_without_rows_make_empty_shards_all_the_same(tmp_path: Path) -> None:
    run_both(params(tmp_path, buckets=64))
    for name in ("numbers", "squares", "scores/squares", "drops/squares"):
        assert len(table.shards(tmp_path / "data" / name)) == 64, name


def test_only_our_own_files_are_pruned(tmp_path: Path) -> None:
    """Somebody keeps notes, or even recordings, in a stage's folder."""
    run_both(params(tmp_path, buckets=8))
    folder = tmp_path / "data/squares"
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    run_both(params(tmp_path, buckets=3))
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "more").is_dir()
    assert len(table.shards(folder)) == 3


def test_a_missing_shard_upstream_is_an_error_not_fewer_people(tmp_path: Path) -> None:
    chosen = params(tmp_path)
    run_both(chosen)
    (tmp_path / "data/numbers/part-0001.parquet").unlink()
    with pytest.raises(Missing, match=r"2 shards, expected 3 .*part-0001"):
        run_stage(SQUARE_STAGE, chosen, 1)
    assert len(table.shards(tmp_path / "data/squares")) == 3


def test_a_table_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    chosen = params(tmp_path)
    run_stage(NUMBER_STAGE, chosen, 1)
    path = tmp_path / "data/numbers/part-0000.parquet"
    rows = table.read_rows(path)
    table.write_table(path, replace(NUMBERS, version="9.0.0"), rows, table.provenance(path))
    with pytest.raises(DataError, match=r"schema 9\.0\.0; expected 'numbers', schema 1"):
        run_stage(SQUARE_STAGE, chosen, 1)


def test_wrong_settings_of_a_late_stage_are_found_before_the_first_runs(tmp_path: Path) -> None:
    chosen = params(tmp_path, max_square="many", ofset=1)
    with pytest.raises(UsageError, match="squares: unknown key ofset"):
        check_settings([NUMBER_STAGE, SQUARE_STAGE], chosen)


def test_a_row_that_failed_is_tried_again_by_the_same_command(tmp_path: Path) -> None:
    run_stage(NUMBER_STAGE, params(tmp_path), 1)
    chosen = params(tmp_path, max_failed=1.0, fail_at=12)
    run_stage(SQUARE_STAGE, chosen, 1)
    again = run_stage(SQUARE_STAGE, chosen, 1)
    assert again is not None and again.skipped_shards == again.shards - 1
