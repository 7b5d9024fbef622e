"""People's decisions: read with every fault named, settled without guessing."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import DataError
from pipeline.review.decisions import DECISIONS, Audit, Decision, Verdict, audit, parse, read, settle, verdicts

SHOWN = "a" * 64
OTHER = "b" * 64


def said(word: str = "keep", reviewer: str = "ann", round_: int = 1, sample: str = "s1", **more: Any) -> Decision:
    return Decision("t1", sample, more.pop("shown", SHOWN), word, reviewer, round_, **more)


def line(**changes: Any) -> str:
    fields = {
        "task_id": "t1",
        "sample_id": "s1",
        "shown_sha256": SHOWN,
        "decision": "reject",
        "reasons": ["blurred", "old"],
        "comment": "soft focus",
        "reviewer": "ann",
        "seconds": 1.5,
        "round": 1,
        "at": "2026-01-02T03:04:05+00:00",
    } | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


def test_a_whole_line_is_read_with_every_field() -> None:
    assert parse(line() + "\n\n", "f") == [
        said("reject", reasons=("blurred", "old"), comment="soft focus", seconds=1.5, at="2026-01-02T03:04:05+00:00")
    ]


def test_what_a_person_need_not_say_may_be_left_out() -> None:
    short = line(reasons=..., comment=..., seconds=..., at=...)
    assert parse(short, "f") == [said("reject")]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "expected an object, found list"),
        (line(decision="maybe"), "decision is 'maybe'; expected one of keep, reject, wrong_person, unsure"),
        (line(decision=["keep"]), "decision is ['keep']"),
        (line(shown_sha256="abc"), "shown_sha256 is 'abc'; expected 64 hexadecimal digits"),
        (line(reviewer=" "), "reviewer is ' '; expected the reviewer's name"),
        (line(reviewer=...), "reviewer is missing"),
        (line(round=0), "round is 0; expected a whole number from 1"),
        (line(round=True), "round is True"),
        (line(round=2**31), "round is 2147483648; expected a whole number from 1 to 999"),
        (line(comment="\ud800"), "comment is '\\ud800'; expected a text"),
        (line(reasons=["\udfff"]), "reasons is ['\\udfff']; expected a list of texts"),
        (line(reasons="blurred"), "reasons is 'blurred'; expected a list of texts"),
        (line(seconds=-1), "seconds is -1"),
        (line(at="yesterday"), "at is 'yesterday'; expected an ISO 8601 time"),
        (line(verdict="keep"), "unknown field 'verdict'"),
    ],
    ids=lambda value: value[:30],
)
def test_a_broken_line_says_what_is_wrong(broken: str, words: str) -> None:
    with pytest.raises(DataError) as error:
        parse(line() + "\n" + broken + "\n", "decisions.jsonl")
    assert "line 2: " in str(error.value)
    assert words in str(error.value)
    assert "line 1: " not in str(error.value)


def test_all_broken_lines_are_reported_at_once() -> None:
    with pytest.raises(DataError) as error:
        parse("\n".join([line(round="2"), line(), "nonsense", line(decision="", reviewer="")]), "f")
    text = str(error.value)
    assert text.startswith("f has 4 faults")
    assert [f"line {n}:" in text for n in (1, 2, 3, 4)] == [True, False, True, True]


def test_a_truncated_file_is_an_error_and_an_absent_one_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    assert read(path) == ()
    path.write_text(line() + "\n" + line()[:40])
    with pytest.raises(DataError, match="line 2"):
        read(path)
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(DataError, match="UTF-8"):
        read(path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(line() + "\n")
    assert len(read(path)) == 1
    path.write_text(line() + "\n" + line() + "\n")
    assert len(read(path)) == 2


def test_the_last_line_of_a_reviewer_holds() -> None:
    assert settle([said("keep"), said("reject")]) == Verdict("reject", "ann")


def test_a_higher_round_settles_whatever_came_before_or_after_in_the_file() -> None:
    assert settle([said("keep", round_=2, reviewer="cy"), said("reject"), said("unsure", "bob")]).decision == "keep"


def test_reviewers_who_agree_are_all_named() -> None:
    both = [said("reject", "bob", reasons=("old",)), said("reject", "ann", reasons=("blurred",))]
    assert settle(both) == Verdict("reject", "ann, bob", ("blurred", "old"))


def test_reviewers_who_differ_leave_the_picture_unsure() -> None:
    assert settle([said("keep", "ann"), said("reject", "bob")]).decision == "unsure"


def test_a_stale_decision_is_counted_and_not_applied() -> None:
    decided = [said("keep"), said("reject", sample="s2", shown=OTHER), said("keep", sample="gone")]
    shown = {"s1": SHOWN, "s2": SHOWN}
    assert verdicts(decided, shown) == {"s1": Verdict("keep", "ann")}
    assert audit(decided, shown) == Audit(current=1, stale=1, unknown=1)


@given(
    st.lists(
        st.builds(said, st.sampled_from(DECISIONS), st.sampled_from("abc"), st.integers(1, 3)), min_size=1, max_size=12
    )
)
def test_a_settled_decision_was_said_by_everyone_it_names(decisions: list[Decision]) -> None:
    verdict = settle(decisions)
    top = max(d.round for d in decisions)
    last = {d.reviewer: d.decision for d in decisions if d.round == top}
    assert verdict.by == ", ".join(sorted(last))
    if len(set(last.values())) > 1:
        assert verdict.decision == "unsure"
    else:
        assert set(last.values()) == {verdict.decision}
