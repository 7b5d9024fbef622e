"""Copies of one photograph: which of a person's stays, and which stand under several names."""

import tracemalloc
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hygiene.copies import Alike, Prints, elsewhere, repeated
from pipeline.hygiene.people import NOBODY, Floats, Numbers

ALIKE = Alike(7, 12, 28, 0.3)
MANY = 2000


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
    assert elsewhere(np.arange(5), of, ALIKE, np.arange(5.0)).tolist() == [1, 0, NOBODY, NOBODY, NOBODY]
    no_crops = replace(ALIKE, face_bits=None)
    assert repeated(np.zeros(5, np.int64), of, no_crops, np.arange(5)).tolist() == [NOBODY, 0, NOBODY, NOBODY, NOBODY]


def test_faces_that_are_the_same_to_the_pixel_are_found_within_a_person_only() -> None:
    far = [0, 2**64 - 1, 2**32 - 1, 0, 2**64 - 1, 2**32 - 1]
    of = prints(6, phash=far, face=[0, 2**28 - 1, 2**29 - 1, 2**63 - 1, 0, 2**63 - 1])
    people, rank = np.array([4, 4, 4, 7, 7, 7]), np.array([1, 0, 2, 3, 4, 5])
    assert repeated(people, of, ALIKE, rank).tolist() == [1, NOBODY, 1, NOBODY, NOBODY, NOBODY]
    assert (repeated(people, of, replace(ALIKE, face_bits=None), rank) == NOBODY).all()


def test_a_chain_keeps_its_ends_when_only_neighbours_are_alike() -> None:
    of, people = prints(4, phash=[0, 127, 127 << 7 | 127, 2**64 - 1]), np.zeros(4, np.int64)
    hashes_only = replace(ALIKE, face_bits=None)
    assert repeated(people, of, hashes_only, np.array([0, 1, 2, 3])).tolist() == [NOBODY, 0, NOBODY, NOBODY]
    assert repeated(people, of, hashes_only, np.array([1, 0, 2, 3])).tolist() == [1, NOBODY, 1, NOBODY]


def test_many_pictures_of_one_person_are_compared_across_blocks() -> None:
    count = 600
    far = np.random.default_rng(0).integers(0, 2**64, (count, 6), dtype=np.uint64)
    far[590] = far[3]
    of = Prints(far[:, 0], far[:, 1], far[:, 2:], np.zeros((count, 128), dtype=np.float32))
    expected = np.full(count, NOBODY)
    expected[590] = 3
    assert repeated(np.zeros(count, np.int64), of, ALIKE, np.arange(count)).tolist() == expected.tolist()


@st.composite
def tables(draw: st.DrawFn) -> tuple[Numbers, Prints, Numbers, Floats]:
    """People with pictures, many of which are equal or nearly so: fingerprints, ranks and fits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 40))
    people = np.sort(rng.integers(0, draw(st.integers(1, 10)), count))
    changed = draw(st.sampled_from([0.0, 0.02, 0.08]))
    photograph = rng.integers(0, draw(st.integers(1, 6)), count)
    bits = rng.random((6, 384)) < 0.5
    bits[1:4] = bits[:1] ^ (rng.random((3, 384)) < 0.08)
    words = np.packbits(bits[photograph] ^ (rng.random((count, 384)) < changed), axis=1).view(np.uint64)
    embedding = rng.normal(0, draw(st.sampled_from([0.0, 0.019])), (count, 128)).astype(np.float32)
    fit = rng.choice([0.1, 0.2, 0.3, np.nan], count)
    return people, Prints(words[:, 0], words[:, 1], words[:, 2:], embedding), rng.permutation(count), fit


def plain_pairs(of: Prints, alike: Alike) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """All with all: the pairs of the same photograph, and those of the same face to the pixel."""
    photographs, crops = set(), set()
    for i, j in combinations(range(len(of.phash)), 2):
        if np.linalg.norm(of.embedding[i] - of.embedding[j]) <= alike.distance:
            phash, dhash = (int(kind[i] ^ kind[j]).bit_count() for kind in (of.phash, of.dhash))
            if phash <= alike.phash_bits and dhash <= alike.dhash_bits:
                photographs.add((i, j))
            if alike.face_bits is not None and np.bitwise_count(of.face[i] ^ of.face[j]).sum() <= alike.face_bits:
                crops.add((i, j))
    return photographs, crops


@given(tables(), st.sampled_from([ALIKE, replace(ALIKE, face_bits=None), Alike(0, 64, 0, 0.3), Alike(11, 0, 256, 9.0)]))
def test_copies_are_those_of_the_plain_definition(table: tuple[Numbers, Prints, Numbers, Floats], alike: Alike) -> None:
    """By rank, what is kept is repeated by all that is like it; elsewhere, the best fitting, of equals the first."""
    people, of, rank, fit = table
    photographs, crops = plain_pairs(of, alike)
    copies = {(i, j) for i, j in photographs | crops if people[i] == people[j]}
    repeats = [NOBODY] * len(people)
    for better in np.argsort(rank).tolist():
        if repeats[better] == NOBODY:
            for pair in copies:
                if better in pair and repeats[sum(pair) - better] == NOBODY:
                    repeats[sum(pair) - better] = better
    assert repeated(people, of, alike, rank).tolist() == repeats
    shared = {(i, j) for pair in photographs if people[pair[0]] != people[pair[1]] for i, j in (pair, pair[::-1])}
    best = [
        min((j for i, j in shared if i == mine), key=lambda j: (np.nan_to_num(fit[j], nan=np.inf), j), default=NOBODY)
        for mine in range(len(people))
    ]
    assert elsewhere(people, of, alike, fit).tolist() == best


@pytest.mark.parametrize("changed_bits", [0, 3])
def test_one_photograph_under_very_many_names_needs_little_memory(changed_bits: int) -> None:
    """All its pairs would take gigabytes."""
    rng = np.random.default_rng(0)
    changes = [rng.choice(64, changed_bits, replace=False).tolist() for _ in range(MANY)]
    of = prints(MANY, phash=[sum(1 << bit for bit in bits) for bits in changes])
    of.embedding[-1, 0] = 0.0
    fit = rng.permutation(MANY).astype(float)
    best, second = np.argsort(fit)[:2].tolist()
    expected = np.full(MANY, best)
    expected[best] = second
    tracemalloc.start()
    found = elsewhere(np.arange(MANY), of, ALIKE, fit)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == expected.tolist()
    assert peak_bytes < 300e6
