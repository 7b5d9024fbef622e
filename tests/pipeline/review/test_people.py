"""Who is asked about what: nothing that is settled, nothing that could not be kept any more, urgent people first."""

from pathlib import Path
from typing import Any

import pytest

import pipeline.review.people as module
from manifests.errors import Missing
from manifests.schema import WHITEN
from pipeline.review.decisions import Decision, Verdict
from pipeline.review.gold import Gold
from pipeline.review.people import Person, Wanted, person, read
from pipeline.review.tasks import task_id
from tests.factories import make_rows, write_stage

Rows = list[dict[str, Any]]
WANTED = Wanted(2, 3)


@pytest.fixture(autouse=True)
def _quality_is_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank by a column that a test can plant."""
    monkeypatch.setattr(module, "quality", lambda row: row["sharpness"])


def rows(count: int) -> Rows:
    """Pictures of one person, best first."""
    return make_rows(WHITEN, count, identity_id="id1", name="A B", sharpness=lambda i: 1 - i / 100)


def decide(given: Rows, *words: tuple[int, str, str, int]) -> Person:
    """The person after (picture, reviewer, decision, round) were said."""
    said: dict[str, list[Decision]] = {}
    for number, reviewer, word, round_ in words:
        row = given[number]
        one = Decision("t", row["sample_id"], row["image_sha256"], word, reviewer, round_)
        said.setdefault(row["sample_id"], []).append(one)
    return person(given, said, {}, WANTED)


def places(given: Rows, found: Person) -> list[int]:
    """The numbers of the pictures that are asked about."""
    ids = [row["sample_id"] for row in given]
    return [ids.index(task.sample_id) for task in found.tasks]


def test_all_pictures_of_somebody_new_are_asked_about_best_first() -> None:
    given = rows(5)
    found = decide(given[::-1])
    assert places(given, found) == [0, 1, 2, 3, 4]
    assert (found.identity_id, found.name, found.kept, found.round, found.urgency) == ("id1", "A B", 0, 1, 2)
    assert [task.suggested for task in found.tasks] == ["keep"] * 3 + ["reject"] * 2
    assert [task.task_id for task in found.tasks] == [
        task_id(row["sample_id"], row["image_sha256"], 1) for row in given
    ]


def test_what_is_settled_is_not_asked_again_and_takes_its_place_among_the_best() -> None:
    given = rows(5)
    found = decide(given, (1, "ann", "reject", 1), (4, "ann", "keep", 1), (4, "bob", "keep", 1))
    assert places(given, found) == [0, 2, 3]
    assert [task.suggested for task in found.tasks] == ["keep", "keep", "reject"]
    assert (found.kept, found.round, found.urgency, found.seen) == (1, 1, 1, frozenset())


@pytest.mark.parametrize(
    "words", [[(0, "ann", "keep", 1), (0, "bob", "reject", 1)], [(0, "ann", "unsure", 1)]], ids=["conflict", "unsure"]
)
def test_conflict_and_doubt_go_to_the_next_round_first(words: list[tuple[int, str, str, int]]) -> None:
    given = rows(3)
    found = decide(given, *words)
    assert places(given, found) == [0, 1, 2]
    assert (found.round, found.urgency) == (2, 0)
    assert found.seen == {name for _, name, _, _ in words}
    assert {task.round for task in found.tasks} == {2}


def test_the_next_rounds_word_settles_it() -> None:
    given = rows(3)
    found = decide(given, (0, "ann", "keep", 1), (0, "bob", "reject", 1), (0, "cy", "keep", 2))
    assert places(given, found) == [1, 2]
    assert (found.kept, found.round) == (1, 1)


def test_somebody_with_enough_comes_last_and_with_the_most_is_done() -> None:
    given = rows(6)
    enough = decide(given, (0, "ann", "keep", 1), (1, "ann", "keep", 1))
    assert (enough.urgency, places(given, enough)) == (3, [2, 3, 4, 5])
    assert [task.suggested for task in enough.tasks] == ["keep", "reject", "reject", "reject"]
    done = decide(given, *((number, "ann", "keep", 1) for number in range(3)), (4, "ann", "unsure", 1))
    assert (done.kept, done.tasks) == (3, ())


def test_a_known_answer_counts_and_is_at_hand_to_be_mixed_in() -> None:
    given = rows(3)
    answer = given[1]["sample_id"]
    found = person(given, {}, {answer: Verdict("keep", "known answer")}, WANTED)
    assert places(given, found) == [0, 2]
    assert found.kept == 1
    assert [(task.sample_id, task.gold) for task in found.golden] == [(answer, True)]
    assert not any(task.gold for task in found.tasks)


def test_decisions_and_answers_about_an_earlier_picture_do_not_count(tmp_path: Path) -> None:
    given = make_rows(WHITEN, 8)
    write_stage(tmp_path, WHITEN, given[:4], bucket=0)
    write_stage(tmp_path, WHITEN, given[4:], bucket=1)
    stale = Decision("t", given[0]["sample_id"], "c" * 64, "keep", "ann", 4)
    fresh = Decision("t", given[1]["sample_id"], given[1]["image_sha256"], "keep", "ann", 1)
    answers = [
        Gold(given[2]["sample_id"], "c" * 64, "keep"),
        Gold(given[3]["sample_id"], given[3]["image_sha256"], "keep"),
    ]
    first, second = read(tmp_path, [stale, fresh], answers, WANTED)
    assert {task.sample_id for task in first.tasks} == {given[0]["sample_id"], given[2]["sample_id"]}
    assert (first.round, first.kept) == (1, 2)
    assert [task.sample_id for task in first.golden] == [given[3]["sample_id"]]
    assert len(second.tasks) == 4


def test_without_whitened_pictures_the_error_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="pipeline run whiten"):
        list(read(tmp_path, (), (), WANTED))
