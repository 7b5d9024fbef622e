"""Which pictures are the same photograph: hashes propose the pairs, a second hash and the face confirm them."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hygiene.index import Hashes, near_pairs


@dataclass(frozen=True, slots=True)
class Alike:
    """How alike two pictures of one photograph are."""

    phash_bits: int  # of 64
    dhash_bits: int  # of 64
    distance: float  # of the faces' embeddings


def same_photograph(
    phashes: Hashes, dhashes: Hashes, embeddings: NDArray[np.float64], alike: Alike
) -> list[tuple[int, int]]:
    """The pairs (i < j) of pictures that show one photograph, in order."""
    pairs = near_pairs(phashes, alike.phash_bits)
    left, right = pairs[:, 0], pairs[:, 1]
    near = np.bitwise_count(dhashes[left] ^ dhashes[right]) <= alike.dhash_bits
    left, right = left[near], right[near]
    apart = np.linalg.norm(embeddings[left] - embeddings[right], axis=1)
    same = apart <= alike.distance
    return list(zip(left[same].tolist(), right[same].tolist(), strict=True))


def repeated(pairs: list[tuple[int, int]], order: list[int]) -> dict[int, int]:
    """Picture -> the better one that it repeats; `order` is all pictures, best first.

    A picture is repeated by those like itself, never by a chain of ever less alike ones: what is not kept repeats
    nothing.
    """
    alike: dict[int, set[int]] = defaultdict(set)
    for left, right in pairs:
        alike[left].add(right)
        alike[right].add(left)
    repeats: dict[int, int] = {}
    for better in order:
        if better not in repeats:
            for other in alike.get(better, ()):
                repeats.setdefault(other, better)
    return {other: better for other, better in repeats.items() if other != better}
