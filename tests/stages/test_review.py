"""The best pictures of each person are kept; a person's word outweighs the machine's, and so does a doubt."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages.review as stage
from manifests.errors import DataError, UsageError
from manifests.schema import ALIGN, REVIEW, WHITEN
from manifests.table import read_rows, write_table
from manifests.validate import validate_file
from pipeline.review import page, people
from pipeline.review.batches import Options
from pipeline.review.decisions import DECISIONS, Verdict
from pipeline.review.export import Look, export
from pipeline.review.people import Wanted
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Context, Drop, Paths
from stages.review import Settings, next_step, process, review
from tests.factories import make_rows, write_stage

Rows = list[dict[str, Any]]
DEFAULT = Settings()


@pytest.fixture(autouse=True)
def _quality_is_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank by a column that a test can plant."""
    for module in (stage, people):
        monkeypatch.setattr(module, "quality", lambda row: row["sharpness"])


def whitened(n: int, **overrides: Any) -> Rows:
    """Rows as the runner gives them: without pictures, with the place they lie at."""
    rows = make_rows(WHITEN, n, **{"identity_id": "id10001", "sharpness": lambda i: 1 - i / 100} | overrides)
    plain = [{k: v for k, v in row.items() if k not in ("image", "mask")} for row in rows]
    return [row | {"_shard": "whiten/part-0003.parquet", "_row": i} for i, row in enumerate(plain)]


def decide(rows: Rows, settings: Settings = DEFAULT, **words: str) -> list[Any]:
    """Run the rule, the decisions given as s0="keep" for the first row."""
    located = [row | {"shard": row["_shard"], "row": row["_row"]} for row in rows]
    said = {rows[int(key[1:])]["sample_id"]: Verdict(word, "ann") for key, word in words.items()}
    return review(located, said, frozenset(), settings)


def reasons(results: list[Any]) -> list[str]:
    return [r.reason if isinstance(r, Drop) else "kept" for r in results]


def context(folder: Path) -> Context:
    return Context(Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review"), 4)


def write_decisions(folder: Path, rows: Rows, word: str, **changes: Any) -> None:
    lines = [
        {"task_id": "t", "sample_id": row["sample_id"], "shown_sha256": row["image_sha256"], "decision": word,
         "reviewer": "ann", "round": 1} | changes
        for row in rows
    ]  # fmt: skip
    (folder / "review").mkdir(exist_ok=True)
    (folder / "review" / "decisions.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))


def test_auto_keeps_the_best_seven_and_says_so() -> None:
    results = decide(whitened(10))
    assert reasons(results) == ["kept"] * 7 + ["not_among_best"] * 3
    assert [(r["rank"], r["decided_by"], r["quality"]) for r in results[:2]] == [(1, "auto", 1.0), (2, "auto", 0.99)]
    assert results[9] == Drop("not_among_best", 10, 7)


def test_a_person_with_too_few_pictures_is_left_out_with_the_count() -> None:
    assert decide(whitened(2)) == [Drop("too_few_kept", 2, 3)] * 2


def test_people_do_not_share_their_counts() -> None:
    rows = whitened(5, identity_id=lambda i: "id10001" if i < 3 else "id10002")
    assert reasons(decide(rows)) == ["kept"] * 3 + ["too_few_kept"] * 2


def test_kept_rows_point_into_the_whitened_shard_and_fit_the_table(tmp_path: Path) -> None:
    results = process(whitened(4), Settings(), context(tmp_path))
    assert [(r["shard"], r["row"]) for r in results] == [("whiten/part-0003.parquet", i) for i in range(4)]
    write_table(tmp_path / "t.parquet", REVIEW, results, {})


def test_a_persons_word_holds_in_auto_mode() -> None:
    results = decide(whitened(9), s0="reject", s1="wrong_person", s2="unsure", s8="keep")
    assert reasons(results) == [
        "rejected_by_reviewer", "wrong_person", "awaiting_review", "kept", "kept", "kept", "kept", "kept", "kept",
    ]  # fmt: skip
    assert results[8]["decided_by"] == "ann"


def test_a_persons_choice_comes_before_the_machines_and_rank_is_by_quality() -> None:
    results = decide(whitened(9), s8="keep")
    assert results[6] == Drop("not_among_best", 8, 7)
    assert (results[8]["rank"], results[0]["rank"]) == (7, 1)


def test_human_mode_keeps_only_what_a_person_kept() -> None:
    results = decide(whitened(5), Settings(mode="human"), s0="keep", s1="keep", s2="keep", s3="reject")
    assert reasons(results) == ["kept", "kept", "kept", "rejected_by_reviewer", "awaiting_review"]


def test_where_people_kept_enough_nothing_waits_for_them_any_more() -> None:
    kept = {f"s{i}": "keep" for i in range(8)}
    results = decide(whitened(11), Settings(mode="human"), **kept, s8="unsure", s9="reject")
    assert reasons(results) == ["kept"] * 7 + ["not_among_best"] * 2 + ["rejected_by_reviewer", "not_among_best"]
    six = {name: word for name, word in kept.items() if name < "s6"}
    assert reasons(decide(whitened(8), Settings(mode="human"), **six))[6:] == ["awaiting_review"] * 2


def test_a_known_answer_holds_whatever_was_said_of_it(tmp_path: Path) -> None:
    rows = whitened(5)
    write_decisions(tmp_path, rows, "keep")
    human = Settings(mode="human")
    before = stage.fingerprint(rows, human, context(tmp_path))
    known = {"sample_id": rows[0]["sample_id"], "shown_sha256": rows[0]["image_sha256"], "decision": "wrong_person"}
    (tmp_path / "review/gold.jsonl").write_text(json.dumps(known) + "\n")
    assert reasons(process(rows, human, context(tmp_path))) == ["wrong_person"] + ["kept"] * 4
    assert stage.fingerprint(rows, human, context(tmp_path)) != before


def test_human_mode_without_decisions_waits_and_names_the_next_command(tmp_path: Path) -> None:
    results = process(whitened(5), Settings(mode="human"), context(tmp_path))
    counts = Counter(reasons(results))
    assert counts == {"awaiting_review": 5}
    assert "`pipeline review-export`" in (next_step(counts) or "")
    assert next_step({"too_few_kept": 5}) is None


def test_decisions_are_read_from_the_review_folder_and_stale_ones_do_not_count(tmp_path: Path) -> None:
    rows = whitened(4)
    write_decisions(tmp_path, rows, "keep")
    human = Settings(mode="human")
    assert reasons(process(rows, human, context(tmp_path))) == ["kept"] * 4
    changed = [rows[0] | {"image_sha256": "c" * 64}, *rows[1:]]
    results = process(changed, human, context(tmp_path))
    assert results[0] == Drop("awaiting_review", detail="its decisions are about an earlier picture")
    assert reasons(results[1:]) == ["kept"] * 3


def test_new_decisions_change_the_fingerprint_of_their_people_only(tmp_path: Path) -> None:
    rows = whitened(8)
    here, elsewhere = rows[:4], rows[4:]
    before = [stage.fingerprint(part, Settings(), context(tmp_path)) for part in (here, elsewhere)]
    write_decisions(tmp_path, here, "reject")
    after = [stage.fingerprint(part, Settings(), context(tmp_path)) for part in (here, elsewhere)]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_the_decisions_file_is_never_touched(tmp_path: Path) -> None:
    rows = whitened(4)
    write_decisions(tmp_path, rows, "keep")
    path = tmp_path / "review" / "decisions.jsonl"
    before = path.read_bytes(), path.stat().st_mtime_ns
    process(rows, Settings(), context(tmp_path))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_broken_decisions_file_stops_the_stage(tmp_path: Path) -> None:
    rows = whitened(4)
    write_decisions(tmp_path, rows, "perhaps")
    with pytest.raises(DataError, match="line 4"):
        process(rows, Settings(), context(tmp_path))


def test_limits_that_contradict_are_refused() -> None:
    with pytest.raises(UsageError, match="min_per_person is 5"):
        Settings(min_per_person=5, max_per_person=3)


@given(
    qualities=st.lists(st.floats(0, 1), min_size=1, max_size=25),
    words=st.dictionaries(st.integers(0, 24), st.sampled_from(DECISIONS)),
    least=st.integers(1, 4),
    more=st.integers(0, 4),
    mode=st.sampled_from(["auto", "human"]),
)
def test_what_is_kept_keeps_the_promises(
    qualities: list[float], words: dict[int, str], least: int, more: int, mode: Any
) -> None:
    """Whoever decides: nobody has too few or too many, nothing rejected is kept, and input order does not matter."""
    rows = whitened(len(qualities), sharpness=lambda i: qualities[i])
    settings = Settings(mode, least, least + more)
    said = {f"s{i}": word for i, word in words.items() if i < len(rows)}
    results = decide(rows, settings, **said)
    assert len(results) == len(rows)
    kept = [i for i, result in enumerate(results) if not isinstance(result, Drop)]
    assert len(kept) == 0 or least <= len(kept) <= least + more
    assert all(said.get(f"s{i}", "keep") == "keep" for i in kept)
    if mode == "human":
        assert all(f"s{i}" in said for i in kept)
    ranked = sorted(kept, key=lambda i: results[i]["rank"])
    assert [results[i]["rank"] for i in ranked] == list(range(1, len(kept) + 1))
    assert [qualities[i] for i in ranked] == sorted((qualities[i] for i in kept), reverse=True)
    turned = decide(rows[::-1], settings, **{f"s{len(rows) - 1 - int(key[1:])}": word for key, word in said.items()})
    assert turned[::-1] == results


def test_through_the_runner_a_new_decision_reruns_only_its_own_shard(tmp_path: Path) -> None:
    """The stage as `dvc repro` runs it: drops recorded, pictures pointed to, unchanged shards skipped."""
    paths = Paths(tmp_path / "data", tmp_path / "reports", tmp_path / "metrics", tmp_path / "review")
    params = Params(paths, Run(buckets=2), {"review": {"min_per_person": 2}})
    rows = make_rows(WHITEN, 8, sharpness=0.5)
    for bucket in range(2):
        write_stage(paths.data, WHITEN, rows[4 * bucket : 4 * bucket + 4], bucket=bucket)
    first = run_stage(stage.STAGE, params, workers=1)
    assert first is not None
    assert (first.input, first.kept, first.reasons) == (8, 8, {})
    write_decisions(tmp_path, rows[:3], "reject")
    second = run_stage(stage.STAGE, params, workers=1)
    assert second is not None
    assert (second.kept, second.skipped_shards) == (4, 1)
    assert second.reasons == {"rejected_by_reviewer": 3, "too_few_kept": 1}
    assert validate_file(paths.data / "review" / "part-0001.parquet") == []
    kept = read_rows(paths.data / "review" / "part-0001.parquet", ["row_id", "shard", "row"])
    there = read_rows(paths.data / "whiten" / "part-0001.parquet", ["row_id"])
    assert all(there[row["row"]]["row_id"] == row["row_id"] for row in kept)
    assert {row["shard"] for row in kept} == {"whiten/part-0001.parquet"}


def test_what_a_batch_suggests_decided_as_it_is_gives_the_automatic_choice(tmp_path: Path) -> None:
    """Export, decide, apply: what a person is offered is what the machine would do."""
    paths = Paths(tmp_path / "data", tmp_path / "reports", tmp_path / "metrics", tmp_path / "review")
    for table in (ALIGN, WHITEN):
        write_stage(paths.data, table, make_rows(table, 12, sharpness=lambda i: i / 12, row_id=lambda i: f"{i:032x}"))

    def kept(mode: str) -> set[str]:
        limits = {"mode": mode, "min_per_person": 2, "max_per_person": 3}
        run_stage(stage.STAGE, Params(paths, Run(buckets=1), {"review": limits}), workers=1)
        return {row["row_id"] for row in read_rows(paths.data / "review" / "part-0000.parquet", ["row_id"])}

    by_machine = kept("auto")
    export(paths.data, tmp_path / "out", (), (), Options(), Wanted(2, 3), Look())
    batch = page.read(tmp_path / "out" / "round1-batch001-reviewer" / "index.html")
    asked = ("task_id", "sample_id", "shown_sha256")
    lines = [
        {name: task[name] for name in asked} | {"decision": task["suggested"], "reviewer": "ann", "round": 1}
        for person in batch["people"]
        for task in person["tasks"]
    ]
    paths.review.mkdir()
    (paths.review / "decisions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert kept("human") == by_machine
    assert len(by_machine) == 9
