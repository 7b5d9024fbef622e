"""Find all pairs of 64-bit hashes that differ in few bits, without comparing all with all.

Multi-index hashing (Norouzi, Punjani and Fleet 2012): cut into four parts of 16 bits, two hashes at most r bits apart
agree in some part but for r // 4 bits, so each part's table of 65,536 buckets proposes the pairs to compare.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

MOST_BITS: Final = 11  # beyond it every part would have to be looked up with three bits changed

_PARTS: Final = 4
_PART_BITS: Final = 16
_BUCKETS: Final = 1 << _PART_BITS
_AT_ONCE: Final = 1 << 21  # pairs compared in one go: what fits the cache and memory


def near_pairs(hashes: Hashes, radius: int) -> NDArray[np.int64]:
    """All pairs (i < j) of hashes at most `radius` bits apart, n x 2, sorted.

    Raises ValueError where the radius is below 0 or above MOST_BITS.
    """
    found = [np.empty(0, np.int64)]
    for left, right in near_blocks(hashes, radius):
        found.append(np.minimum(left, right) * len(hashes) + np.maximum(left, right))
    codes = np.unique(np.concatenate(found))
    return np.stack([codes // max(1, len(hashes)), codes % max(1, len(hashes))], axis=1)


def near_blocks(hashes: Hashes, radius: int) -> Iterator[tuple[Places, Places]]:
    """The same pairs some millions at a time, in any order, some up to four times: for when all are too many to hold.

    Raises ValueError as `near_pairs` does.
    """
    if not 0 <= radius <= MOST_BITS:
        raise ValueError(f"radius {radius}: expected 0 to {MOST_BITS}")
    for part in range(_PARTS):
        keys = ((hashes >> np.uint64(part * _PART_BITS)) & np.uint64(_BUCKETS - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        ordered = hashes[order]
        for left, right in _proposed(keys[order], radius // _PARTS):
            near = np.bitwise_count(ordered[left] ^ ordered[right]) <= radius
            yield order[left[near]], order[right[near]]


def _proposed(keys: Places, changed: int) -> Iterator[tuple[Places, Places]]:
    """Pairs of places in the sorted keys whose keys differ in at most `changed` bits; each pair once."""
    starts = np.searchsorted(keys, np.arange(_BUCKETS + 1))
    places = np.arange(len(keys))
    yield from _spread(places, places + 1, starts[keys + 1])
    for bits in range(1, changed + 1):
        for flipped in combinations(range(_PART_BITS), bits):
            other = keys ^ sum(1 << bit for bit in flipped)
            asks = np.flatnonzero(keys < other)  # the other bucket would find the same pair again
            yield from _spread(asks, starts[other[asks]], starts[other[asks] + 1])


def _spread(asks: Places, first: Places, end: Places) -> Iterator[tuple[Places, Places]]:
    """Each of `asks` with every place from its `first` to before its `end`, some millions at a time."""
    lengths = end - first
    total = np.concatenate([[0], np.cumsum(lengths)])
    for low in range(0, int(total[-1]), _AT_ONCE):
        numbers = np.arange(low, min(low + _AT_ONCE, int(total[-1])))
        begin = int(np.searchsorted(total, low, side="right")) - 1
        stop = int(np.searchsorted(total, numbers[-1], side="right"))
        shares = np.diff(np.clip(total[begin : stop + 1], low, numbers[-1] + 1))
        owner = np.repeat(np.arange(begin, stop), shares)
        yield asks[owner], first[owner] + numbers - total[owner]
