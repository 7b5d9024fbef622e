"""Which pictures repeat another of their person's, and which photographs stand under several names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.hygiene.index import Hashes, near_blocks
from pipeline.hygiene.people import NOBODY, Embeddings, Floats, Numbers, spans

Truths = NDArray[np.bool_]

_AT_ONCE: Final = 256  # pictures compared in one go: what fits the cache


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


def repeated(people: Numbers, of: Prints, alike: Alike, rank: Numbers) -> Numbers:
    """For each picture the better one of its person that it repeats, or NOBODY; `rank` is its place, 0 the best.

    Two pictures are copies where both whole hashes agree, or the faces to the pixel whatever surrounds them, and in
    either case the embeddings. `people` are the pictures' persons, those of one person next to each other. A picture is
    repeated by those like itself, never by a chain of ever less alike ones: what is not kept repeats nothing.
    """
    repeats = np.full(len(people), NOBODY)
    for span in spans(people):
        own = np.arange(span.start, span.stop)
        paired = own[_have_copies(own, of, alike)]
        for better in paired[np.argsort(rank[paired])]:
            if repeats[better] == NOBODY:
                others = own[(repeats[own] == NOBODY) & (own != better)]
                copies = others[_same_pixels(better, others, of, alike)]
                repeats[copies[_same_face(better, copies, of, alike)]] = better
    return repeats


def elsewhere(people: Numbers, of: Prints, alike: Alike, own_distance: Floats) -> Numbers:
    """For each picture another person's of the same photograph, or NOBODY; of several, the one that fits them best.

    Photographs are the same where both whole hashes and the embeddings agree. Of equal fits the first counts, NaN last.
    Thousands may be one photograph (a placeholder under every name): the best of a group answers nearly all of them,
    and what is answered is compared no more.
    """
    best = np.full(len(people), NOBODY)
    for group in _groups(of, alike):
        if (people[group] == people[group[0]]).all():
            continue
        unanswered = group
        for candidate in group[np.argsort(own_distance[group], kind="stable")]:
            others = unanswered[people[unanswered] != people[candidate]]
            same = others[_same_whole(candidate, others, of, alike)]
            best[same[_same_face(candidate, same, of, alike)]] = candidate
            unanswered = unanswered[best[unanswered] == NOBODY]
            if not len(unanswered):
                break
    return best


def _have_copies(own: Numbers, of: Prints, alike: Alike) -> Truths:
    """Which of a person's pictures have the pixels of another, whatever their embeddings."""
    found = np.zeros(len(own), dtype=bool)
    for low in range(0, len(own), _AT_ONCE):
        block = own[low : low + _AT_ONCE]
        found[low : low + _AT_ONCE] = _same_pixels(block[:, None], own, of, alike).sum(axis=1) > 1  # one is itself
    return found


def _same_pixels(left: Numbers, right: Numbers, of: Prints, alike: Alike) -> Truths:
    whole = _same_whole(left, right, of, alike)
    if alike.face_bits is None:
        return whole
    apart = np.bitwise_count(of.face[left] ^ of.face[right]).sum(axis=-1)
    same: Truths = whole | (apart <= alike.face_bits)
    return same


def _same_whole(left: Numbers, right: Numbers, of: Prints, alike: Alike) -> Truths:
    near = np.bitwise_count(of.phash[left] ^ of.phash[right]) <= alike.phash_bits
    same: Truths = near & (np.bitwise_count(of.dhash[left] ^ of.dhash[right]) <= alike.dhash_bits)
    return same


def _same_face(one: int, others: Numbers, of: Prints, alike: Alike) -> Truths:
    same = np.empty(len(others), dtype=bool)
    for low in range(0, len(others), _AT_ONCE):
        block = slice(low, low + _AT_ONCE)
        apart = np.linalg.norm(of.embedding[others[block]] - of.embedding[one], axis=1)
        same[block] = apart <= alike.distance
    return same


def _groups(of: Prints, alike: Alike) -> Iterator[Numbers]:
    """The pictures, two or more at a time, that chains of near whole hashes join; those of equal hashes are one link.

    Which pictures of a group are the same is still to be asked, but none outside it is. Only each hash's group is held,
    never the pairs: a few thousand copies, each packed differently, make millions.
    """
    distinct, link = np.unique(np.stack([of.phash, of.dhash], axis=1), axis=0, return_inverse=True)
    phash, dhash = distinct.T
    joined = np.arange(len(distinct))
    for left, right in near_blocks(phash, alike.phash_bits):
        news = joined[left] != joined[right]
        news[news] = np.bitwise_count(dhash[left[news]] ^ dhash[right[news]]) <= alike.dhash_bits
        if news.any():
            ends = joined[left[news]], joined[right[news]]
            edges = coo_array((np.ones(len(ends[0])), ends), (len(distinct), len(distinct)))
            joined = connected_components(edges, directed=False)[1][joined]
    group = joined[link]
    order = np.argsort(group, kind="stable")
    for pictures in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(pictures) > 1:
            yield pictures
