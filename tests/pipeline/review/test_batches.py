"""Everybody is asked about whole, by the right number of reviewers, in the same batches whenever it is asked again."""

import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UsageError
from pipeline.review.batches import MAX_PEOPLE, Batch, Options, anonymous, blind, plan, read_twice, reviewers_of
from pipeline.review.people import Person
from pipeline.review.tasks import Task, task_id


def task(person: str, number: int, round_: int = 1, gold: bool = False) -> Task:
    sample = f"{person}/{number}"
    return Task(
        task_id(sample, "ab" * 32, round_), sample, "ab" * 32, person, f"row {sample}", round_, "keep",
        1 - number / 100, (("quality", "0.90"),), f"https://example.org/{sample}.jpg", gold,
    )  # fmt: skip


def person(name: str, pictures: int, round_: int = 1, golden: int = 0, urgency: int = 2, seen: str = "") -> Person:
    tasks = tuple(task(name, number, round_) for number in range(pictures))
    known = tuple(task(name, 50 + number, round_, gold=True) for number in range(golden))
    return Person(name, f"Name of {name}", "f", "Peru", 0, round_, frozenset(seen.split()), urgency, tasks, known)


PEOPLE = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 3), st.integers(0, 2), st.integers(0, 3)), max_size=25
).map(lambda drawn: [person(f"id{i}", n, r, g, u) for i, (n, r, g, u) in enumerate(drawn)])
OPTIONS = st.builds(
    Options,
    reviewers=st.sampled_from([("anna",), ("anna", "bob"), ("anna", "bob", "Zoë K.")]),
    batch_size=st.integers(1, 30),
    overlap=st.floats(0, 1),
    gold=st.integers(0, 3),
    seed=st.integers(0, 5),
)


def asked(batches: list[Batch]) -> Counter[tuple[str, str]]:
    """(reviewer, sample_id) -> how often."""
    return Counter((batch.reviewer, one.sample_id) for batch in batches for one in batch.tasks)


@settings(deadline=None)
@given(PEOPLE, OPTIONS)
def test_every_open_picture_is_asked_once_of_each_reviewer_its_person_is_given_to(
    people: list[Person], options: Options
) -> None:
    batches = plan(people, options)
    counts = asked(batches)
    assert set(counts.values()) <= {1}
    share = options.overlap if len(options.reviewers) > 1 else 0.0
    twice = read_twice((one.identity_id for one in people), share, options.seed)
    assert len(twice) == math.ceil(round(share * len(people), 6))
    for one in people:
        of_picture = [{who for who, sample in counts if sample == each.sample_id} for each in one.tasks]
        expected = set(reviewers_of(one, one.identity_id in twice, options)) if one.tasks else set()
        assert all(who == expected for who in of_picture)
        assert len(expected) == (1 + (one.identity_id in twice and one.round == 1) if one.tasks else 0)


@settings(deadline=None)
@given(PEOPLE, OPTIONS)
def test_nobody_is_split_and_no_batch_is_larger_than_it_must_be(people: list[Person], options: Options) -> None:
    batches = plan(people, options)
    where = Counter((batch.reviewer, one.identity_id) for batch in batches for one in batch.people)
    assert set(where.values()) <= {1}
    for batch in batches:
        ours = [sum(not each.gold for each in one.tasks) for one in batch.people]
        assert sum(ours) <= options.batch_size or sum(count > 0 for count in ours) == 1
        assert len(batch.people) <= MAX_PEOPLE + options.gold
        assert {each.round for each in batch.tasks} == {batch.round}
        assert all(each.task_id == task_id(each.sample_id, each.shown_sha256, each.round) for each in batch.tasks)
    assert len({batch.name for batch in batches}) == len(batches)


@settings(deadline=None)
@given(PEOPLE, OPTIONS)
def test_known_answers_are_mixed_in_up_to_the_number_wanted(people: list[Person], options: Options) -> None:
    pool = sum(len(one.golden) for one in people)
    for batch in plan(people, options):
        assert sum(each.gold for each in batch.tasks) <= options.gold
    if options.gold and pool:
        by_reviewer: dict[str, int] = defaultdict(int)
        for batch in plan(people, options):
            by_reviewer[batch.reviewer] += sum(each.gold for each in batch.tasks)
        assert all(count <= pool for count in by_reviewer.values())


def test_a_batch_gets_as_many_known_answers_as_are_wanted_and_not_at_its_end() -> None:
    people = [person(f"id{i}", 5) for i in range(20)] + [person(f"gold{i}", 0, golden=2) for i in range(8)]
    batches = plan(people, Options(batch_size=25, gold=3))
    assert [sum(each.gold for each in batch.tasks) for batch in batches] == [3, 3, 3, 3]
    names = [[one.identity_id for one in batch.people] for batch in batches]
    places = {place for each in names for place, name in enumerate(each) if name.startswith("gold")}
    assert len(places) > 2
    assert max(len(one.tasks) for batch in batches for one in batch.people if one.identity_id.startswith("gold")) == 2


def test_a_known_answer_of_somebody_in_the_batch_joins_their_other_pictures_best_first() -> None:
    (batch,) = plan([person("id1", 2, round_=2, golden=1)], Options(gold=1))
    assert [each.sample_id for each in batch.people[0].tasks] == ["id1/0", "id1/1", "id1/50"]
    assert {each.round for each in batch.tasks} == {2}


@settings(deadline=None)
@given(PEOPLE, OPTIONS, st.randoms())
def test_the_plan_depends_on_the_people_and_not_on_their_order(people: list[Person], options: Options, rng) -> None:
    shuffled = list(people)
    rng.shuffle(shuffled)
    assert plan(people, options) == plan(shuffled, options)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(0, 5))
def test_people_who_are_finished_leave_the_others_with_their_reviewers(count: int, seed: int) -> None:
    options = Options(("anna", "bob", "cy"), overlap=0.3, seed=seed)
    people = [person(f"id{i}", 3) for i in range(count)]
    before = asked(plan(people, options))
    fewer = [replace(one, tasks=()) if i % 2 else one for i, one in enumerate(people)]
    after = asked(plan(fewer, options))
    still = {(who, sample) for who, sample in before if int(sample.split("/")[0][2:]) % 2 == 0}
    assert set(after) == still


def test_another_seed_deals_otherwise() -> None:
    people = [person(f"id{i}", 3) for i in range(30)]
    dealt = {frozenset(asked(plan(people, Options(("anna", "bob"), seed=seed)))) for seed in range(5)}
    assert len(dealt) == 5


def test_the_work_is_about_evenly_dealt() -> None:
    people = [person(f"id{i}", 1) for i in range(900)]
    load = Counter(who for who, _ in asked(plan(people, Options(("anna", "bob", "cy"), overlap=0.0))))
    assert sum(load.values()) == 900
    assert all(abs(count - 300) < 75 for count in load.values())  # five standard deviations of a fair deal


def test_later_rounds_come_first_and_then_urgent_people() -> None:
    people = [person("later", 1, round_=2, urgency=0), person("few", 1, urgency=1), person("new", 1, urgency=2)]
    people.append(person("enough", 1, urgency=3))
    batches = plan(people, Options())
    assert [batch.name for batch in batches] == ["round2-batch001-reviewer", "round1-batch001-reviewer"]
    assert [one.identity_id for one in batches[1].people] == ["few", "new", "enough"]


def test_a_conflict_goes_to_one_reviewer_who_was_no_part_of_it() -> None:
    options = Options(("anna", "bob", "cy"), overlap=1.0)
    for number in range(10):
        (batch,) = plan([person(f"id{number}", 2, round_=2, seen="anna cy")], options)
        assert batch.reviewer == "bob"


def test_a_batch_holds_at_most_five_hundred_people() -> None:
    batches = plan([person(f"id{i}", 1) for i in range(501)], Options())
    assert [len(batch.people) for batch in batches] == [500, 1]


@pytest.mark.parametrize(
    "reviewers", [("",), ("  ",), ("..",), ("a" * 41,), ("a/b",), ("a\nb",), ("anna", "Anna"), ("<b>",), ()]
)
def test_reviewers_who_cannot_be_named_or_told_apart_are_refused(reviewers: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="reviewer"):
        Options(reviewers)


@settings(deadline=None)
@given(st.text("abcXYZ09 .-_éß日", min_size=1, max_size=40).filter(lambda name: name.strip(" .-_")))
def test_any_allowed_name_makes_a_safe_folder_name(name: str) -> None:
    (batch,) = plan([person("id1", 1)], Options((name,)))
    assert set(batch.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(batch.name) < 100


def test_a_blind_batch_holds_nothing_of_what_the_machine_thinks() -> None:
    (batch,) = plan([person("id1", 30)], Options())
    shown = blind(batch, seed=0)
    assert {(each.suggested, each.scores) for each in shown.tasks} == {(None, ())}
    order = [each.sample_id for each in shown.tasks]
    assert order != [each.sample_id for each in batch.tasks]
    assert sorted(order) == sorted(each.sample_id for each in batch.tasks)


def test_an_anonymous_batch_holds_no_name_id_or_address() -> None:
    (batch,) = plan([person("id10001", 2, golden=1, seen="bob"), person("id10002", 1)], Options(gold=1))
    shown = anonymous(batch)
    assert [one.identity_id for one in shown.people] == ["person 1", "person 2"]
    text = repr(replace(shown, people=tuple(replace(one, tasks=()) for one in shown.people)))
    assert not [word for word in ("id1000", "Name of", "Peru", "bob", "example") if word in text]
    assert {(each.source, each.row_id) for each in shown.tasks} == {("", "")}
    assert {each.identity_id for each in shown.tasks} == {"person 1", "person 2"}
