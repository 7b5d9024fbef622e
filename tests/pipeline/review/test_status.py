"""The status counts what is settled and open, and names who ends with too few pictures."""

import json
from typing import Any

from pipeline.review.decisions import Decision
from pipeline.review.gold import Gold
from pipeline.review.people import Wanted
from pipeline.review.status import Question, Standing, status
from pipeline.review.status_text import next_step, text
from tests.pipeline.review.said import SHOWN, at, said

WANTED = Wanted(3, 4)


def rows(*pictures: int) -> list[dict[str, Any]]:
    """So many pictures of each person; the samples of person 0 are p0s0, p0s1 ..."""
    return [
        {"identity_id": f"id{p}", "name": f"N{p}", "sample_id": f"p{p}s{s}", "image_sha256": SHOWN}
        for p, count in enumerate(pictures)
        for s in range(count)
    ]


def decide(person: int, words: str, reviewer: str = "ann", round_: int = 1) -> list[Decision]:
    """What was said of a person's first pictures, as letters."""
    names = {"k": "keep", "r": "reject", "w": "wrong_person", "u": "unsure"}
    return [
        said(names[letter], reviewer, f"p{person}s{s}", round_, at=at(100 * round_ + s), seconds=1.5)
        for s, letter in enumerate(words)
        if letter != "."
    ]


def test_before_any_decision_everything_is_open_but_for_who_has_too_few_pictures() -> None:
    found = status(rows(5, 2), [], [], WANTED)
    assert (found.settled, found.kept, found.unseen, found.people, found.people_ready) == (0, 0, 7, 2, 0)
    assert found.too_few == (Standing("id1", "N1", 2, 0, 2),)
    assert found.reviewers == ()
    assert "review-export" in next_step(found)


def test_conflicts_and_doubts_are_the_next_round_and_who_cannot_reach_three_is_listed() -> None:
    decided = decide(0, "kkk") + decide(1, "kkrrr") + decide(2, "kkru") + decide(2, "r...", "bob")
    found = status(rows(3, 5, 4), decided, [], WANTED)
    assert (found.pictures, found.settled, found.kept, found.people_ready, found.unseen) == (12, 10, 6, 1, 0)
    assert found.conflicts == (Question("id2", "p2s0", {"ann": "keep", "bob": "reject"}),)
    assert found.unsure == (Question("id2", "p2s3", {"ann": "unsure"}),)
    assert found.too_few == (Standing("id1", "N1", 5, 2, 0),)
    shown = text(found, WANTED)
    assert "id1 N1: 2 kept, 0 open of 5" in shown
    assert "id2 p2s0  ann: keep, bob: reject" in shown
    settled = status(rows(3, 5, 4), [*decided, *decide(2, "k..k", "cy", round_=2)], [], WANTED)
    assert (settled.conflicts, settled.unsure, settled.people_ready, settled.rounds) == ((), (), 2, 2)
    assert "dvc repro" in next_step(settled)


def test_somebody_with_enough_kept_has_nothing_open() -> None:
    found = status(rows(9), decide(0, "kkkk.u"), [], WANTED)
    assert (found.unseen, found.unsure, found.people_over) == (0, (), 0)
    assert "dvc repro" in next_step(found)
    over = status(rows(9), decide(0, "kkkkk"), [], WANTED)
    assert over.people_over == 1
    assert "more than 4 kept: 1; the best 4 by quality stay" in text(over, WANTED)


def test_a_known_answer_holds_and_shows_who_is_right() -> None:
    answers = [Gold("p0s0", SHOWN, "reject"), Gold("p0s1", SHOWN, "keep"), Gold("p0s2", "b" * 64, "reject")]
    found = status(rows(3), decide(0, "kkk"), answers, WANTED)
    assert (found.kept, found.answers) == (2, 2)
    (ann,) = found.reviewers
    assert (ann.gold, ann.gold_right) == (2, 0.5)
    assert "50% of 2" in text(found, WANTED)


def test_decisions_about_other_pictures_do_not_count_but_are_counted() -> None:
    stale = [said("keep", "ann", "p0s0", shown="b" * 64), said("keep", "ann", "gone")]
    found = status(rows(3), stale, [], WANTED)
    assert (found.settled, found.audit.stale, found.audit.unknown) == (0, 1, 1)
    assert "2 about pictures that have changed or are gone do not count" in text(found, WANTED)


def test_the_figures_are_json_and_the_text_is_narrow() -> None:
    decided = [one for p in range(30) for one in decide(p, "ku") + decide(p, "rk", "A very long reviewer's name of 40")]
    found = status(rows(*[3] * 30), decided, [], WANTED)
    again = json.loads(json.dumps(found.as_json()))
    assert again["agreement"]["pairs"][0]["pictures"] == 60
    assert len(again["conflicts"]) == 60
    shown = text(found, WANTED)
    assert max(map(len, shown.splitlines())) <= 110
    assert "and 48 more (`--format json` has all)" in shown
