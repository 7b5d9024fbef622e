"""Copies of one photograph, and which of them stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hygiene.copies import Alike, repeated, same_photograph

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] < p[1]), unique=True)


def test_both_hashes_and_the_face_must_agree() -> None:
    phashes = np.array([0, 1, 1, 1, 255 << 8], dtype=np.uint64)
    dhashes = np.array([0, 1, 2**40 - 1, 0, 0], dtype=np.uint64)
    faces = np.zeros((5, 128))
    faces[3, 0] = 0.5
    assert same_photograph(phashes, dhashes, faces, Alike(7, 12, 0.3)) == [(0, 1)]


def test_a_chain_keeps_its_ends_when_only_neighbours_are_alike() -> None:
    assert repeated([(0, 1), (1, 2)], [0, 1, 2]) == {1: 0}
    assert repeated([(0, 1), (1, 2)], [1, 0, 2]) == {0: 1, 2: 1}


@given(PAIRS, st.permutations(range(10)))
def test_what_is_dropped_repeats_a_better_kept_one_and_no_two_kept_are_alike(
    pairs: list[tuple[int, int]], order: list[int]
) -> None:
    repeats = repeated(pairs, order)
    for other, better in repeats.items():
        assert (min(other, better), max(other, better)) in pairs
        assert better not in repeats
        assert order.index(better) < order.index(other)
    assert all(left in repeats or right in repeats for left, right in pairs)
