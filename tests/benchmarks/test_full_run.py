"""The simulated scheduler: exact where the answer is plain, between its bounds everywhere, the same every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.full_run import BUCKETS, PEOPLE, Shard, bounds, makespan, people_by_bucket

SHARDS = st.lists(st.builds(Shard, *[st.floats(0.0, 100.0)] * 3), min_size=1, max_size=30)


def test_one_worker_does_one_thing_after_another() -> None:
    assert makespan([Shard(10, 3, 20), Shard(0, 4, 10)], 1, 10.0) == pytest.approx(1 + 3 + 2 + 4 + 1)


def test_without_disk_the_next_shard_goes_to_who_is_free_first() -> None:
    assert makespan([Shard(0, cpu, 0) for cpu in (4, 1, 2, 2)], 2, 1.0) == pytest.approx(5)


def test_two_that_read_at_once_take_twice_as_long() -> None:
    assert makespan([Shard(10, 0, 0)] * 2, 2, 10.0) == pytest.approx(2)
    assert makespan([Shard(10, 5, 0), Shard(20, 0, 0)], 2, 10.0) == pytest.approx(2 + 5)


@given(SHARDS, st.integers(1, 8), st.floats(1.0, 50.0))
def test_no_faster_than_any_bound_and_no_slower_than_one_worker(
    shards: list[Shard], workers: int, bytes_per_s: float
) -> None:
    found = makespan(shards, workers, bytes_per_s)
    assert found >= max(bounds(shards, workers, bytes_per_s).values()) * (1 - 1e-9)
    assert found <= makespan(shards, 1, bytes_per_s) * (1 + 1e-9)
    assert found == makespan(shards, workers, bytes_per_s)


def test_everybody_is_in_a_bucket() -> None:
    assert sum(people_by_bucket()) == PEOPLE
    assert len(people_by_bucket()) == BUCKETS
