"""The shared queue: nobody is with more reviewers than wanted, nobody is forgotten, and who goes home blocks nobody."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.review.queue import HELD_AT_MOST, Entry, Queue, merge


def entry(number: int, wanted: int = 1, meant: str = "anna") -> Entry:
    return Entry({"name": str(number)}, frozenset({f"{number}a", f"{number}b"}), wanted, frozenset({meant}))


def name(given: Any) -> str | None:
    return given.entry.person["name"] if given.entry else None


def test_somebody_in_two_batches_wants_two_reviewers() -> None:
    def batch(reviewer: str, *people: str) -> dict[str, Any]:
        listed = [{"identity": one, "tasks": [{"task_id": f"{one}/{n}"} for n in range(2)]} for one in people]
        return {"reviewer": reviewer, "round": 1, "people": listed}

    merged = merge([batch("anna", "p", "q"), batch("ben", "q", "r")])
    assert [(one.person["identity"], one.wanted, sorted(one.reviewers)) for one in merged] == [
        ("p", 1, ["anna"]),
        ("q", 2, ["anna", "ben"]),
        ("r", 1, ["ben"]),
    ]
    assert merged[0].person["round"] == 1


def test_known_answers_mixed_into_one_batch_only_do_not_make_two_of_somebody() -> None:
    def batch(reviewer: str, *tasks: tuple[str, float | None]) -> dict[str, Any]:
        listed = [{"task_id": name, "sample_id": name, "quality": quality} for name, quality in tasks]
        return {"reviewer": reviewer, "round": 1, "people": [{"identity": "p", "tasks": listed}]}

    anna, ben = (
        batch("anna", ("a", 0.9), ("known", 0.5), ("b", 0.1)),
        batch("ben", ("a", 0.9), ("other", 0.7), ("b", 0.1)),
    )
    (merged,) = merge([anna, ben])
    assert (merged.wanted, sorted(merged.reviewers)) == (2, ["anna", "ben"])
    assert [task["task_id"] for task in merged.person["tasks"]] == ["a", "other", "known", "b"]
    queue = Queue([merged])
    queue.decided("anna", merged.tasks)
    assert queue.take("ben", 0).entry == merged
    (blind,) = merge([batch("anna", ("z", None)), batch("ben", ("a", None), ("z", None))])
    assert [task["task_id"] for task in blind.person["tasks"]] == ["a", "z"]


def test_a_reviewer_gets_their_own_people_first_then_those_of_others() -> None:
    queue = Queue([entry(0, meant="ben"), entry(1), entry(2)])
    assert [name(queue.take("anna", 0)) for _ in range(4)] == ["1", "2", "0", None]
    assert queue.take("ben", 0).lent == 3


def test_a_lease_that_runs_out_goes_to_the_next_who_asks_and_the_first_is_told_once() -> None:
    queue = Queue([entry(0)], lease_s=10)
    assert name(queue.take("anna", 0)) == "0"
    assert name(queue.take("ben", 9)) is None
    assert queue.renew("anna", 15) == []  # late, but nobody had asked
    assert name(queue.take("ben", 24)) is None
    assert name(queue.take("ben", 25)) == "0"
    assert [one.person["name"] for one in queue.renew("anna", 26)] == ["0"]
    assert queue.renew("anna", 27) == []


def test_who_is_decided_is_not_given_out_again_and_who_is_begun_comes_first() -> None:
    queue = Queue([entry(0), entry(1), entry(2)])
    queue.decided("anna", ["0a", "0b", "2a", "gone"])
    assert [name(queue.take("anna", 0)) for _ in range(3)] == ["2", "1", None]
    assert [one.person["name"] for one in queue.of("anna")] == ["0", "1", "2"]
    assert name(queue.take("ben", 0)) is None


def test_who_pages_on_does_not_empty_the_queue() -> None:
    queue = Queue([entry(number) for number in range(2 * HELD_AT_MOST)])
    taken = [queue.take("anna", 0) for _ in range(2 * HELD_AT_MOST)]
    assert sum(one.entry is not None for one in taken) == HELD_AT_MOST
    assert taken[-1].left == HELD_AT_MOST


ACTS = st.tuples(st.sampled_from(["anna", "ben", "eve"]), st.sampled_from(["take", "decide", "renew", "wait"]))


@settings(deadline=None)  # of a busy machine
@given(st.lists(st.integers(1, 2), min_size=1, max_size=6), st.lists(ACTS, max_size=60))
def test_no_person_is_ever_with_more_reviewers_than_wanted(wanted: list[int], acts: list[tuple[str, str]]) -> None:
    """Unless somebody decides about a person whose lease had run out: that work is kept, too."""
    entries = [entry(number, count) for number, count in enumerate(wanted)]
    queue = Queue(entries, lease_s=5)
    now = 0.0
    held: dict[str, list[tuple[Entry, float]]] = {"anna": [], "ben": [], "eve": []}
    through: dict[str, set[str]] = {one.person["name"]: set() for one in entries}
    for reviewer, act in acts:
        if act == "wait":
            now += 3
        elif act == "renew":
            gone = queue.renew(reviewer, now)
            held[reviewer] = [(one, now + 5) for one, _ in held[reviewer] if one not in gone]
        elif act == "decide" and held[reviewer]:
            one, end = held[reviewer].pop(0)
            if end > now:
                queue.decided(reviewer, one.tasks)
                through[one.person["name"]].add(reviewer)
        elif act == "take":
            given_now = queue.take(reviewer, now).entry
            if given_now:
                assert reviewer not in through[given_now.person["name"]]
                held[reviewer] = [pair for pair in held[reviewer] if pair[0] != given_now] + [(given_now, now + 5)]
        for one in entries:
            holders = {who for who, pairs in held.items() for other, end in pairs if other == one and end > now}
            assert len(holders | through[one.person["name"]]) <= one.wanted


@settings(deadline=None)  # of a busy machine
@given(st.lists(st.integers(1, 2), min_size=1, max_size=8))
def test_reviewers_who_work_on_finish_the_queue(wanted: list[int]) -> None:
    entries = [entry(number, count) for number, count in enumerate(wanted)]
    queue = Queue(entries)
    done: list[tuple[str, str]] = []
    while True:
        given_now = [(who, queue.take(who, 0).entry) for who in ("anna", "ben")]
        for who, one in given_now:
            if one:
                queue.decided(who, one.tasks)
                done.append((one.person["name"], who))
        if not any(one for _, one in given_now):
            break
    assert len(done) == len(set(done)) == sum(wanted)
