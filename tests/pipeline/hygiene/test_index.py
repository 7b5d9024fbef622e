"""The index finds the very pairs that comparing all with all finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hygiene.index import MOST_BITS, Hashes, near_pairs


def all_with_all(hashes: Hashes, radius: int) -> list[list[int]]:
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= radius
    return np.argwhere(np.triu(near, 1)).tolist()


def with_neighbours(seed: int, count: int) -> Hashes:
    """Random hashes, most of which are others with a few bits changed."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for place in range(count // 3, count):
        changed = rng.choice(64, int(rng.integers(0, 2 * MOST_BITS)), replace=False)
        hashes[place] = hashes[rng.integers(place)] ^ np.uint64(sum(1 << int(bit) for bit in changed))
    return hashes


@pytest.mark.parametrize("radius", range(MOST_BITS + 1))
def test_every_radius_finds_what_comparing_all_with_all_finds(radius: int) -> None:
    hashes = with_neighbours(radius, 400)
    expected = all_with_all(hashes, radius)
    assert len(expected) > 10
    assert near_pairs(hashes, radius).tolist() == expected


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 7), max_size=30), st.integers(0, MOST_BITS))
def test_any_hashes_however_few_or_equal(numbers: list[int], radius: int) -> None:
    hashes = np.array(numbers, dtype=np.uint64)
    assert near_pairs(hashes, radius).tolist() == all_with_all(hashes, radius)


def test_many_equal_hashes_are_all_paired_across_blocks() -> None:
    count = 2500  # more pairs than are compared at once
    assert len(near_pairs(np.zeros(count, dtype=np.uint64), 0)) == count * (count - 1) // 2


@pytest.mark.parametrize("radius", [-1, MOST_BITS + 1])
def test_a_radius_that_the_index_cannot_serve_is_refused(radius: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 11"):
        near_pairs(np.zeros(2, dtype=np.uint64), radius)
