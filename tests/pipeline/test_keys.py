"""Resume keys: a shard is made again if and only if something that it was made from has changed."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import table
from manifests.schema import Column
from pipeline.run import Summary, run_stage
from pipeline.settings import Params, Run
from pipeline.stage import HOW, Context, Row, RowStage, ShardStage
from tests.pipeline.toy import (
    NUMBER_STAGE,
    SQUARE_SCORES,
    SQUARE_STAGE,
    SQUARES,
    Listing,
    list_numbers,
    params,
    run_both,
    values,
)

MORE = Column("licence", pa.string(), "as the source states it", nullable=True)


def with_more(stage: RowStage) -> RowStage:
    return replace(stage, writes=replace(SQUARES, columns=(*SQUARES.columns, MORE)))


def with_more_scores(stage: RowStage) -> RowStage:
    return replace(stage, scores=replace(SQUARE_SCORES, columns=(*SQUARE_SCORES.columns, MORE)))


def done_again(folder: Path, stage: RowStage | ShardStage, chosen: Params) -> int:
    """Shards that a further run makes again."""
    summary = run_stage(stage, chosen, 1)
    assert isinstance(summary, Summary) and summary.shards == 3
    return summary.shards - summary.skipped_shards


@pytest.mark.parametrize(
    ("change", "scored_again"),
    [
        (lambda stage: replace(stage, version="2"), True),
        (with_more, False),
        (with_more_scores, True),
        (lambda stage: replace(stage, writes=replace(SQUARES, version="9.0.0")), False),
    ],
    ids=["stage version", "a column more", "a score more", "schema version"],
)
def test_another_stage_makes_its_shards_again(
    tmp_path: Path, change: Callable[[RowStage], RowStage], scored_again: bool
) -> None:
    chosen = params(tmp_path, log=str(tmp_path / "log"))
    run_both(chosen)
    stage = change(SQUARE_STAGE)
    assert done_again(tmp_path, stage, chosen) == 3
    assert done_again(tmp_path, stage, chosen) == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 19 * (1 + scored_again)


def test_other_weights_are_other_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = {"net": "a" * 64}
    monkeypatch.setattr("manifests.weights.ensure", lambda names, progress: None)
    monkeypatch.setattr("manifests.weights.digest", digest.__getitem__)
    chosen = params(tmp_path, log=str(tmp_path / "log"))
    stage = replace(SQUARE_STAGE, weights=lambda _: ("net",))
    run_stage(NUMBER_STAGE, chosen, 1)
    assert [done_again(tmp_path, stage, chosen) for _ in range(2)] == [3, 0]
    digest["net"] = "b" * 64
    assert done_again(tmp_path, stage, chosen) == 3
    assert len((tmp_path / "log").read_text().splitlines()) == 2 * 19


def test_one_changed_row_makes_its_shard_again_and_is_scored_alone(tmp_path: Path) -> None:
    chosen = params(tmp_path, log=str(tmp_path / "log"))
    run_both(chosen)

    def another(of: Listing, context: Context) -> list[Row]:
        rows = list_numbers(of, context)
        return [row | {"value": 7} if row["row_id"] == "p2-1" else row for row in rows]

    assert done_again(tmp_path, replace(NUMBER_STAGE, list_rows=another), chosen) == 1
    assert done_again(tmp_path, SQUARE_STAGE, chosen) == 1
    assert (tmp_path / "log").read_text().splitlines()[19:] == ["p2-1"]
    assert 7 in values(tmp_path / "data/squares")


@dataclass(frozen=True, slots=True)
class Hurried(Listing):
    """The settings of `numbers`, with one that says how fast."""

    threads: int = field(default=1, metadata={HOW: True})


def test_a_setting_of_how_fast_makes_nothing_again(tmp_path: Path) -> None:
    stage = replace(NUMBER_STAGE, settings=Hurried)

    def again(**section: Any) -> int:
        chosen = replace(params(tmp_path), stages={"numbers": section})
        return done_again(tmp_path, stage, chosen)

    assert [again(threads=1), again(threads=8), again(threads=8, each=3), again(threads=1, each=3)] == [3, 0, 3, 0]


def test_a_file_that_is_read_beside_the_rows_counts(tmp_path: Path) -> None:
    prints = {"now": "a"}
    stage = replace(NUMBER_STAGE, fingerprint=lambda _rows, _settings, _context: prints["now"])
    chosen = params(tmp_path)
    assert [done_again(tmp_path, stage, chosen) for _ in range(2)] == [3, 0]
    prints["now"] = "b"
    assert [done_again(tmp_path, stage, chosen) for _ in range(2)] == [3, 0]


SQUARE_SETTINGS = st.fixed_dictionaries(
    {}, optional={"offset": st.integers(0, 2), "max_square": st.sampled_from([100, 10_000])}
)


@settings(max_examples=8, deadline=None)
@given(st.lists(SQUARE_SETTINGS, min_size=2, max_size=3))
def test_a_key_changes_if_and_only_if_a_setting_does(
    tmp_path_factory: pytest.TempPathFactory, sections: list[dict[str, int]]
) -> None:
    """Spelling a default out is no change; every other value is."""
    folder = tmp_path_factory.mktemp("keys")
    run_stage(NUMBER_STAGE, params(folder), 1)
    before = None
    for section in sections:
        now = {"offset": 0, "max_square": 10_000} | section
        again = done_again(folder, SQUARE_STAGE, replace(params(folder), stages={"squares": section}))
        assert again == (0 if now == before else 3)
        before = now


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 4))
def test_the_same_rows_at_any_bucket_count(
    tmp_path_factory: pytest.TempPathFactory, buckets: int, people: int, each: int
) -> None:
    folder = tmp_path_factory.mktemp("buckets")
    section: dict[str, Any] = {"people": people, "each": each}
    chosen = replace(params(folder, max_square=400), run=Run(buckets=buckets, max_failed=0.0))
    chosen.stages["numbers"] = section
    run_both(chosen)
    expected = [v for p in range(people) for k in range(each) if (v := 10 * p + k) != 13 and v <= 20]
    assert values(folder / "data/squares") == sorted(expected)
    for path in table.shards(folder / "data/squares", buckets):
        ids = table.read_rows(path, ["identity_id"])
        assert all(table.shard_name(table.bucket_of(row["identity_id"], buckets)) == path.name for row in ids)


def test_the_order_of_the_list_is_the_order_of_the_rows_and_of_nothing_else(tmp_path: Path) -> None:
    def backwards(of: Listing, context: Context) -> list[Row]:
        return list_numbers(of, context)[::-1]

    run_stage(NUMBER_STAGE, params(tmp_path), 1)
    found = values(tmp_path / "data/numbers")
    assert done_again(tmp_path, replace(NUMBER_STAGE, list_rows=backwards), params(tmp_path)) == 3
    assert values(tmp_path / "data/numbers") == found
