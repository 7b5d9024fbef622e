"""Which pictures are the same photograph, and which of a person's copies repeats which."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.hygiene.index import Hashes, near_pairs
from pipeline.hygiene.people import Embeddings, Numbers, spans

Pair = tuple[int, int]

_AT_ONCE: Final = 256  # pictures compared with a person's others in one go


@dataclass(frozen=True, slots=True)
class Alike:
    """How alike two pictures of one photograph are."""

    phash_bits: int  # of 64
    dhash_bits: int  # of 64
    face_bits: int | None  # of 256; None: cropped copies are not looked for
    distance: float  # of the faces' embeddings


@dataclass(frozen=True, slots=True)
class Prints:
    """The fingerprints of all pictures."""

    phash: Hashes
    dhash: Hashes
    face: NDArray[np.uint64]  # pictures x 4
    embedding: Embeddings


def same_photograph(of: Prints, alike: Alike) -> set[Pair]:
    """The pairs (i < j) of pictures, whosever they are, whose whole hashes agree, both of them, and whose faces do."""
    pairs = near_pairs(of.phash, alike.phash_bits)
    left, right = pairs[:, 0], pairs[:, 1]
    near = np.bitwise_count(of.dhash[left] ^ of.dhash[right]) <= alike.dhash_bits
    return _confirmed(left[near], right[near], of, alike)


def same_crop(people: Numbers, of: Prints, alike: Alike) -> set[Pair]:
    """The pairs (i < j) of one person's pictures whose faces are the same to the pixel, whatever surrounds them."""
    found: set[Pair] = set()
    if alike.face_bits is None:
        return found
    for span in spans(people):
        own = of.face[span]
        for low in range(0, len(own), _AT_ONCE):
            apart = np.bitwise_count(own[low : low + _AT_ONCE, None] ^ own).sum(axis=2)
            left, right = np.nonzero(np.triu(apart <= alike.face_bits, low + 1))
            found |= _confirmed(left + low + span.start, right + span.start, of, alike)
    return found


def _confirmed(left: Numbers, right: Numbers, of: Prints, alike: Alike) -> set[Pair]:
    same = np.linalg.norm(of.embedding[left] - of.embedding[right], axis=1) <= alike.distance
    return set(zip(left[same].tolist(), right[same].tolist(), strict=True))


def repeated(pairs: Iterable[Pair], rank: Numbers) -> dict[int, int]:
    """Picture -> the better one that it repeats; `rank` is each picture's place, 0 the best.

    A picture is repeated by those like itself, never by a chain of ever less alike ones: what is not kept repeats
    nothing.
    """
    alike: dict[int, set[int]] = defaultdict(set)
    for left, right in pairs:
        alike[left].add(right)
        alike[right].add(left)
    repeats: dict[int, int] = {}
    for better in sorted(alike, key=lambda picture: int(rank[picture])):
        if better not in repeats:
            for other in alike[better]:
                repeats.setdefault(other, better)
    return repeats
