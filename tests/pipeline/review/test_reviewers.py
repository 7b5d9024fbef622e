"""Each reviewer's figures are counted right, and a planted drift is found where a steady reviewer is left alone."""

import random

import pytest

from pipeline.review.agreement import by_task
from pipeline.review.decisions import Decision
from pipeline.review.reviewers import Reviewer, measure
from tests.pipeline.review.said import SHOWN, at, said


def figures(decisions: list[Decision], gold: dict[str, str] | None = None, per_person: int = 4) -> dict[str, Reviewer]:
    """Figures by name; samples are s0, s1 ... and every `per_person` of them are one person."""
    people = {d.sample_id: f"id{int(d.sample_id[1:]) // per_person}" for d in decisions}
    known = {(name, SHOWN): word for name, word in (gold or {}).items()}
    return {one.name: one for one in measure(by_task(decisions), people, known)}


def stream(name: str, words: list[str], seconds: float | None = 2.0) -> list[Decision]:
    return [said(word, name, f"s{i}", at=at(i), seconds=seconds) for i, word in enumerate(words)]


def test_counts_times_and_pace() -> None:
    decisions = stream("ann", ["keep", "keep", "reject", "wrong_person", "unsure"], seconds=1800.0)
    decisions += [said("reject", "ann", "s0", at=at(99), seconds=0.0)]  # a changed mind replaces the first word
    found = figures(decisions)["ann"]
    assert (found.pictures, found.words) == (5, {"keep": 1, "reject": 2, "wrong_person": 1, "unsure": 1})
    assert (found.hours, found.median_s, found.first, found.last) == (2.0, 1800.0, at(1), at(99))
    assert (found.shared, found.agreed, found.gold_right, found.repeats_same) == (0, None, None, None)


def test_agreement_with_others_and_known_answers() -> None:
    decisions = stream("ann", ["keep", "keep", "reject", "reject"]) + stream("bob", ["keep", "reject"])
    found = figures(decisions, gold={"s0": "keep", "s1": "reject", "s9": "keep"})
    assert (found["ann"].shared, found["ann"].agreed) == (2, 0.5)
    assert (found["ann"].gold, found["ann"].gold_right) == (2, 0.5)
    assert (found["bob"].gold, found["bob"].gold_right) == (2, 1.0)


def test_pictures_asked_again_in_a_later_round_show_who_is_steady() -> None:
    first = stream("ann", ["keep"] * 12)
    second = [said("keep" if i < 3 else "reject", "ann", f"s{i}", 2, at=at(100 + i)) for i in range(12)]
    found = figures(second + first)["ann"]
    assert (found.repeats, found.repeats_same) == (12, 0.25)
    assert found.drifts == ("says the same on 25% of 12 repeats",)


def test_known_answers_missed_are_named() -> None:
    found = figures(stream("ann", ["keep"] * 20), gold={f"s{i}": "keep" if i % 2 else "reject" for i in range(20)})
    assert found["ann"].drifts == ("right on 50% of 20 known answers",)


def noisy(rng: random.Random, keep: float) -> str:
    return "keep" if rng.random() < keep else "reject"


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_keep_rate_is_found_and_a_steady_one_is_not(seed: int) -> None:
    rng = random.Random(seed)
    steady = stream("steady", [noisy(rng, 0.5) for _ in range(800)])
    tiring = stream("tiring", [noisy(rng, 0.7 - 0.5 * i / 800) for i in range(800)])
    found = figures(steady), figures(tiring)
    assert found[0]["steady"].drifts == ()
    (sentence,) = found[1]["tiring"].drifts
    assert sentence.startswith("keeps fewer as time goes on: ")


def test_time_decides_what_is_early_not_the_place_in_the_file() -> None:
    words = ["keep"] * 100 + ["reject"] * 100
    shuffled = stream("ann", words)
    random.Random(0).shuffle(shuffled)
    assert figures(shuffled)["ann"].drifts == ("keeps fewer as time goes on: 100% at first, 0% later",)


def test_the_milder_of_two_and_the_stricter_are_named() -> None:
    rng = random.Random(3)
    truth = [noisy(rng, 0.5) for _ in range(200)]
    mild = ["keep" if rng.random() < 0.4 else word for word in truth]
    found = figures(stream("mild", mild) + stream("fair", truth))
    assert found["mild"].drifts[0].startswith("milder than others: kept ")
    assert found["fair"].drifts[0].startswith("stricter than others: did not keep ")


def test_who_agrees_less_as_time_goes_on_is_named() -> None:
    rng = random.Random(4)
    truth = [noisy(rng, 0.5) for _ in range(400)]
    tired = [word if i < 200 or rng.random() < 0.4 else noisy(rng, 0.5) for i, word in enumerate(truth)]
    found = figures(stream("tired", tired) + stream("fair", truth))
    assert any(line.startswith("agrees less as time goes on: 100% at first") for line in found["tired"].drifts)


def test_a_handful_of_decisions_says_nothing_about_anybody() -> None:
    decisions = stream("ann", ["keep"] * 5 + ["reject"] * 4) + stream("bob", ["reject"] * 5 + ["keep"] * 4)
    assert all(one.drifts == () for one in figures(decisions, per_person=1).values())
