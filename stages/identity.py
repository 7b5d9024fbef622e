"""Keep pictures that show their person, once: faces against the person's others and everybody else's, copies found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval

from manifests.schema import CRAWL, IDENTITY, IDENTITY_SCORES, LANDMARKS
from manifests.settings import NotNegative, Positive
from pipeline.faces import embed
from pipeline.hygiene import hashes
from pipeline.hygiene.copies import Alike, repeated, same_photograph
from pipeline.hygiene.index import MOST_BITS
from pipeline.hygiene.people import Agreement, Fit, fits
from pipeline.images import decode
from pipeline.stage import Drop, Row, RowStage

FACTS = tuple(name for name in IDENTITY.names if name not in LANDMARKS.names)

_MAX_PIXELS = 2**40  # the landmarks stage has applied its own limit to these very bytes
_HASHED = tuple(name for name in IDENTITY_SCORES.names if name != "row_id")


@dataclass(frozen=True, slots=True)
class Scoring:
    """Whether people and copies are told apart at all."""

    enabled: bool = True  # false: every picture passes, unjudged


@dataclass(frozen=True, slots=True)
class Limits:
    """When a picture is of its person, and when it is a copy. Distances are those of dlib's face embeddings."""

    agree_distance: NotNegative = 0.55  # two pictures nearer than this show one person
    min_agreeing: Positive = 3  # pictures that agree, and more than half, before a person's others are judged
    max_own_distance: NotNegative | None = 0.6  # from the person's centre; null: outliers stay
    max_own_ratio: NotNegative | None = 2.0  # the same, by the median of the person's; null: outliers stay
    min_other_margin: NotNegative | None = 0.15  # nearer to another person by this: theirs; null: it stays
    copy_phash_bits: Annotated[int, Interval(ge=0, le=MOST_BITS)] = 7  # of 64, between two copies
    copy_dhash_bits: Annotated[int, Interval(ge=0, le=hashes.BITS)] = 12  # of 64
    copy_distance: NotNegative = 0.3  # and between their faces
    drop_copies: bool = True  # of a person's own pictures, all but the best copy
    drop_shared: bool = True  # of a photograph under several names, all but where it fits best by `min_other_margin`


def score(row: Row, scoring: Scoring) -> Row:
    """Both hashes of the picture and the embedding of its face."""
    if not scoring.enabled:
        return dict.fromkeys(_HASHED)
    pixels = decode(row["image"], _MAX_PIXELS)
    return {
        "phash": hashes.perceptual(pixels).to_bytes(8, "big"),
        "dhash": hashes.differences(pixels).to_bytes(8, "big"),
        "embedding": embed.descriptor(pixels, row["landmarks"]).astype("<f4").tobytes(),
    }


def survey(rows: list[Row], limits: Limits) -> list[Row]:
    """What all pictures together say of each: whom it fits, and which photograph it repeats; null where disabled."""
    if not rows or rows[0]["embedding"] is None:
        return [dict.fromkeys(FACTS) for _ in rows]
    embeddings = np.stack([np.frombuffer(row["embedding"], "<f4") for row in rows]).astype(np.float64)
    people = [row["identity_id"] for row in rows]
    phashes, dhashes = (np.array([int.from_bytes(r[n], "big") for r in rows], np.uint64) for n in ("phash", "dhash"))
    alike = Alike(limits.copy_phash_bits, limits.copy_dhash_bits, limits.copy_distance)
    pairs = same_photograph(phashes, dhashes, embeddings, alike)
    own = [(i, j) for i, j in pairs if people[i] == people[j]]
    copies = repeated(own, sorted(range(len(rows)), key=lambda i: _rank(rows[i])))
    counted = np.array([i not in copies for i in range(len(rows))])
    found = fits(people, embeddings, counted, Agreement(limits.agree_distance, limits.min_agreeing))
    shared = _shared([(i, j) for i, j in pairs if people[i] != people[j]], found)
    return [
        {
            "agreeing": fit.agreeing,
            "own_distance": fit.own_distance,
            "own_ratio": fit.own_ratio,
            "other_identity": fit.other,
            "other_distance": fit.other_distance,
            "repeats": rows[copies[i]]["row_id"] if i in copies else None,
            "shared_with": people[shared[i]] if i in shared else None,
            "shared_distance": found[shared[i]].own_distance if i in shared else None,
        }
        for i, fit in enumerate(found)
    ]


def _rank(row: Row) -> tuple[float, float, str]:
    """Of several copies the first is kept: the largest, then the sharpest."""
    return -row["pupil_px"], -row["sharpness"], row["row_id"]


def _shared(pairs: Sequence[tuple[int, int]], found: Sequence[Fit]) -> dict[int, int]:
    """Picture -> the same photograph under another name; of several, where it fits its person best."""
    best: dict[int, int] = {}
    for pair in pairs:
        for mine, theirs in (pair, pair[::-1]):
            if mine not in best or _known(found[theirs].own_distance) < _known(found[best[mine]].own_distance):
                best[mine] = theirs
    return best


def _known(distance: float | None) -> float:
    return np.inf if distance is None else distance


def _wrong_person(facts: Row, limits: Limits) -> Drop | None:
    """Why the face is not the person's, if it is not; a person whose pictures do not agree is not judged."""
    own, other, margin = facts["own_distance"], facts["other_distance"], limits.min_other_margin
    if own is None:
        return None
    nearer = -np.inf if other is None or other > limits.agree_distance else own - other
    if margin is not None and nearer > margin:
        return Drop("another_person", nearer, margin, f"fits {facts['other_identity']}")
    if limits.max_own_distance is not None and own > limits.max_own_distance:
        return Drop("not_the_person", own, limits.max_own_distance)
    if limits.max_own_ratio is not None and facts["own_ratio"] > limits.max_own_ratio:
        return Drop("unlike_the_others", facts["own_ratio"], limits.max_own_ratio)
    return None


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    """Drop faces of somebody else, then photographs that stand under a better fitting name, then copies."""
    facts = {name: scores[name] for name in FACTS}
    wrong = _wrong_person(facts, limits)
    if wrong is not None:
        return wrong
    if limits.drop_shared and facts["shared_distance"] is not None and limits.min_other_margin is not None:
        better = _known(facts["own_distance"]) - facts["shared_distance"]
        if better > limits.min_other_margin:
            value = better if np.isfinite(better) else None
            return Drop("shared_picture", value, limits.min_other_margin, f"fits {facts['shared_with']}")
    if limits.drop_copies and facts["repeats"] is not None:
        return Drop("near_duplicate", detail=f"repeats {facts['repeats']}")
    return row | facts


def weights(scoring: Scoring) -> tuple[str, ...]:
    """The face network, where it is used."""
    return (embed.WEIGHTS,) if scoring.enabled else ()


STAGE = RowStage(
    name="identity",
    reads=LANDMARKS,
    writes=IDENTITY,
    scores=IDENTITY_SCORES,
    scoring=Scoring,
    limits=Limits,
    score=score,
    survey=survey,
    decide=decide,
    depends=("sha256", "landmarks"),
    payload=((CRAWL.name, "image"),),
    weights=weights,
)
