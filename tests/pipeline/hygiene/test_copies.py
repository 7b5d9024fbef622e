"""Copies of one photograph, and which of them stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hygiene.copies import Alike, Prints, repeated, same_crop, same_photograph

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] < p[1]), unique=True)
ALIKE = Alike(7, 12, 28, 0.3)


def prints(
    count: int, phash: list[int] | None = None, dhash: list[int] | None = None, face: list[int] | None = None
) -> Prints:
    """Fingerprints of pictures whose faces embed alike, but for the last."""
    hashes = [np.array(of or [0] * count, dtype=np.uint64) for of in (phash, dhash)]
    faces = np.zeros((count, 4), dtype=np.uint64)
    faces[:, 3] = face or [0] * count
    embedding = np.zeros((count, 128), dtype=np.float32)
    embedding[-1, 0] = 0.5
    return Prints(*hashes, faces, embedding)


def test_both_hashes_and_the_face_must_agree() -> None:
    of = prints(5, phash=[0, 1, 1, 255 << 8, 1], dhash=[0, 1, 2**40 - 1, 0, 0])
    assert same_photograph(of, ALIKE) == {(0, 1)}


def test_faces_that_are_the_same_to_the_pixel_are_found_within_a_person_only() -> None:
    of = prints(6, phash=[0] * 6, face=[0, 2**28 - 1, 2**29 - 1, 0, 2**63 - 1, 0])
    assert same_crop(np.array([4, 4, 4, 7, 7, 7]), of, ALIKE) == {(0, 1), (1, 2)}
    assert same_crop(np.array([4, 4, 4, 7, 7, 7]), of, Alike(7, 12, None, 0.3)) == set()


def test_many_pictures_of_one_person_are_compared_across_blocks() -> None:
    count = 600
    of = prints(count, face=[2**64 - 1 if k % 2 else 0 for k in range(count)])
    found = same_crop(np.zeros(count, dtype=np.int64), of, ALIKE)
    assert found == {(i, j) for j in range(count - 1) for i in range(j) if (i - j) % 2 == 0}


def test_a_chain_keeps_its_ends_when_only_neighbours_are_alike() -> None:
    assert repeated([(0, 1), (1, 2)], np.array([0, 1, 2])) == {1: 0}
    assert repeated([(0, 1), (1, 2)], np.array([1, 0, 2])) == {0: 1, 2: 1}


@given(PAIRS, st.permutations(range(10)))
def test_what_is_dropped_repeats_a_better_kept_one_and_no_two_kept_are_alike(
    pairs: list[tuple[int, int]], rank: list[int]
) -> None:
    repeats = repeated(pairs, np.array(rank))
    for other, better in repeats.items():
        assert (min(other, better), max(other, better)) in pairs
        assert better not in repeats
        assert rank[better] < rank[other]
    assert all(left in repeats or right in repeats for left, right in pairs)
