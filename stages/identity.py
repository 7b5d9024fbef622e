"""Keep pictures that show their person, once: faces against the person's others and everybody else's, copies found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from annotated_types import Interval
from numpy.typing import NDArray

from manifests.schema import CRAWL, IDENTITY, IDENTITY_SCORES, LANDMARKS
from manifests.settings import NotNegative, Positive
from pipeline.faces import embed
from pipeline.hygiene import hashes
from pipeline.hygiene.copies import Alike, Pair, Prints, repeated, same_crop, same_photograph
from pipeline.hygiene.index import MOST_BITS
from pipeline.hygiene.people import NOBODY, Agreement, Floats, Numbers, fits
from pipeline.images import decode
from pipeline.stage import Drop, Row, RowStage

FACTS = tuple(name for name in IDENTITY.names if name not in LANDMARKS.names)

_MAX_PIXELS = 2**40  # the landmarks stage has applied its own limit to these very bytes
_PRINTS = tuple(name for name in IDENTITY_SCORES.names if name != "row_id")
_TYPES = pa.schema([IDENTITY.arrow().field(name) for name in FACTS])


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
    max_own_norm: float | None = -1.0  # the same among the distances from everybody else's; null: outliers stay
    min_other_margin: NotNegative | None = 0.15  # nearer to another person by this: theirs; null: it stays
    copy_phash_bits: Annotated[int, Interval(ge=0, le=MOST_BITS)] = 7  # of 64, between two copies
    copy_dhash_bits: Annotated[int, Interval(ge=0, le=hashes.BITS)] = 12  # of 64, as well
    copy_face_bits: Annotated[int, Interval(ge=0, le=hashes.FACE_BITS)] | None = 18  # of 256; null: crops stay
    copy_distance: NotNegative = 0.4  # and between their faces' embeddings
    drop_copies: bool = True  # of a person's own pictures, all but the best copy
    drop_shared: bool = True  # of a photograph under several names, all but where it fits best by `min_other_margin`


def score(row: Row, scoring: Scoring) -> Row:
    """Fingerprints of the picture and of its face."""
    if not scoring.enabled:
        return dict.fromkeys(_PRINTS)
    pixels = decode(row["image"], _MAX_PIXELS)
    chip = embed.chip(pixels, row["landmarks"])
    return {
        "phash": hashes.perceptual(pixels),
        "dhash": hashes.differences(pixels),
        "face_hash": hashes.face(chip),
        "embedding": embed.descriptor(chip).astype("<f4").tobytes(),
    }


def survey(scored: pa.Table, limits: Limits) -> pa.Table:
    """What all pictures together say of each: whom it fits, and which photograph it repeats; null where disabled."""
    if scored["embedding"].null_count == len(scored):
        return pa.table([pa.nulls(len(scored), field.type) for field in _TYPES], schema=_TYPES)
    names, row_ids = (scored[name].combine_chunks() for name in ("identity_id", "row_id"))
    persons = names.dictionary_encode()
    people = np.asarray(persons.indices, dtype=np.int64)
    of, alike = _prints(scored), _alike(limits)
    pairs = same_photograph(of, alike)
    own = {(i, j) for i, j in pairs if people[i] == people[j]}
    copies = repeated(own | same_crop(people, of, alike), _rank(scored))
    counted = np.ones(len(scored), dtype=bool)
    counted[list(copies)] = False
    found = fits(people, of.embedding, counted, Agreement(limits.agree_distance, limits.min_agreeing))
    shared = _places(_shared(sorted(pairs - own), found.own_distance), len(scored))
    facts = {
        "agreeing": found.agreeing,
        "own_distance": found.own_distance,
        "own_norm": found.own_norm,
        "other_identity": _taken(persons.dictionary, found.other),
        "other_distance": found.other_distance,
        "repeats": _taken(row_ids, _places(copies, len(scored))),
        "shared_with": _taken(names, shared),
        "shared_distance": np.where(shared == NOBODY, np.nan, found.own_distance[shared]),
    }
    columns = [pa.array(facts[field.name], field.type, from_pandas=True) for field in _TYPES]  # NaN: null
    return pa.table(columns, schema=_TYPES)


def _alike(limits: Limits) -> Alike:
    return Alike(limits.copy_phash_bits, limits.copy_dhash_bits, limits.copy_face_bits, limits.copy_distance)


def _prints(scored: pa.Table) -> Prints:
    phash, dhash = (_numbers(scored[name], ">u8")[:, 0].astype(np.uint64) for name in ("phash", "dhash"))
    faces = _numbers(scored["face_hash"], ">u8", hashes.FACE_BITS // hashes.BITS).astype(np.uint64)
    return Prints(phash, dhash, faces, _numbers(scored["embedding"], "<f4", embed.NUMBERS))


def _numbers(column: pa.ChunkedArray, kind: str, count: int = 1) -> NDArray[Any]:
    """A column of byte strings as so many numbers in each row. Raises ArrowInvalid where one has another length."""
    size = count * np.dtype(kind).itemsize
    cells = column.combine_chunks().cast(pa.binary(size))
    return np.frombuffer(cells.buffers()[1], kind, count * len(cells), size * cells.offset).reshape(-1, count)


def _rank(scored: pa.Table) -> Numbers:
    """Each picture's place when of several copies the first is kept: the largest, then the sharpest."""
    worst_last = np.lexsort([-scored[name].to_numpy() for name in ("sharpness", "pupil_px")])
    return np.argsort(worst_last, kind="stable")


def _shared(pairs: Sequence[Pair], own_distance: Floats) -> dict[int, int]:
    """Picture -> the same photograph under another name; of several, where it fits its person best."""
    fit = np.where(np.isnan(own_distance), np.inf, own_distance)
    best: dict[int, int] = {}
    for pair in pairs:
        for mine, theirs in (pair, pair[::-1]):
            if mine not in best or fit[theirs] < fit[best[mine]]:
                best[mine] = theirs
    return best


def _places(of: Mapping[int, int], count: int) -> Numbers:
    places = np.full(count, NOBODY)
    places[list(of)] = list(of.values())
    return places


def _taken(values: pa.Array, places: Numbers) -> pa.Array:
    """The values at those places, null for NOBODY."""
    return values.take(pa.array(places, mask=places == NOBODY))


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
    normed = facts["own_norm"]
    if limits.max_own_norm is not None and normed is not None and normed > limits.max_own_norm:
        return Drop("like_a_stranger", normed, limits.max_own_norm)
    return None


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    """Drop faces of somebody else, then photographs that stand under a better fitting name, then copies."""
    facts = {name: scores[name] for name in FACTS}
    wrong = _wrong_person(facts, limits)
    if wrong is not None:
        return wrong
    if limits.drop_shared and facts["shared_distance"] is not None and limits.min_other_margin is not None:
        own = facts["own_distance"]
        better = np.inf if own is None else own - facts["shared_distance"]
        if better > limits.min_other_margin:
            value = None if own is None else better
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
    surveys=("identity_id", "row_id", "pupil_px", "sharpness", *_PRINTS),
    decide=decide,
    depends=("sha256", "landmarks"),
    payload=((CRAWL.name, "image"),),
    weights=weights,
)
