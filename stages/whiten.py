"""Cut the person out and put pure white behind, through a soft matte."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import cv2
import numpy as np

from manifests import weights
from manifests.schema import ALIGN, WHITEN, WHITEN_SCORES
from manifests.settings import Share
from pipeline import geometry, matte
from pipeline.faces import segmenter
from pipeline.images import decode, encode_png
from pipeline.stage import Drop, Row, RowStage
from pipeline.warp import warp

NETWORK = "pspnet-person"

_MAX_PIXELS = 4096 * 4096  # aligned pictures are far smaller


@dataclass(frozen=True, slots=True)
class Scoring:
    """Whether pictures are whitened at all."""

    enabled: bool = True  # false: pictures pass as they are, with a mask that is all person


@dataclass(frozen=True, slots=True)
class Limits:
    """Which mattes can be trusted."""

    min_coverage: Share = 0.15  # share of the picture that is person
    max_coverage: Share = 0.95  # beyond it there is no background to tell from
    min_edge_quality: Share = 0.35  # 0..1, as pipeline.matte.edge_quality
    min_face_coverage: Share = 0.9  # share of the face that is person: less, and something covers it


@cache
def _network() -> segmenter.Segmenter:
    return segmenter.load(weights.path(NETWORK))


def score(row: Row, scoring: Scoring) -> Row:
    """The network's person probability, as a small picture, and what can be read from it."""
    if not scoring.enabled:
        return {"matte": None, "coverage": None, "edge_quality": None, "face_coverage": None}
    pixels = decode(row["image"], _MAX_PIXELS)
    side = pixels.shape[0]
    inside = _inside(row, side)
    small = segmenter.small_probability(matte.extended(pixels, inside), _network())
    stored = np.rint(small * 255).astype(np.uint8)
    probability = stored.astype(np.float32) / 255  # what render will see
    small_face, small_inside = (_resized(mask, stored.shape[0]) for mask in (_face(row, side), inside))
    return {
        "matte": encode_png(stored),
        "coverage": matte.coverage(np.where(small_inside, probability, 0.0)),
        "edge_quality": matte.edge_quality(probability),
        "face_coverage": float((probability[small_face] > 0.5).mean()),
    }


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    """Keep pictures whose person is neither lost nor everything, sharply outlined, with an uncovered face."""
    if scores["matte"] is None:
        return row | scores
    checks = (
        ("person_too_small", scores["coverage"], limits.min_coverage, False),
        ("person_too_large", scores["coverage"], limits.max_coverage, True),
        ("edge_unclear", scores["edge_quality"], limits.min_edge_quality, False),
        ("face_covered", scores["face_coverage"], limits.min_face_coverage, False),
    )
    for reason, value, limit, is_upper in checks:
        if value > limit if is_upper else value < limit:
            return Drop(reason, value, limit)
    return row | scores


def render(row: Row, scores: Row, _limits: Limits) -> Row:
    """The whitened picture and its 8-bit mask, both PNG."""
    pixels = decode(row["image"], _MAX_PIXELS)
    height, width = pixels.shape[:2]
    if scores["matte"] is None:
        return {"image": row["image"], "mask": encode_png(np.full((height, width), 255, np.uint8))}
    small = decode(scores["matte"], _MAX_PIXELS)[..., 0].astype(np.float32) / 255
    probability = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    inside = _inside(row, height)
    seen = matte.extended(pixels, inside)
    fine = matte.refine(seen, probability, _face(row, height))
    mask = np.rint(fine * 255).astype(np.uint8)
    mask[~inside] = 0  # what align filled in is nobody
    image = encode_png(matte.whiten(seen, mask))
    return {"image": image, "mask": encode_png(mask), "image_sha256": sha256(image).hexdigest()}


def _transform(row: Row) -> geometry.Matrix:
    return geometry.points(row["transform"]).reshape(2, 3)


def _inside(row: Row, side: int) -> matte.Mask:
    """The pixels of the aligned square that the original picture has."""
    original = np.full((row["source_height"], row["source_width"]), 255, np.uint8)
    inside: matte.Mask = warp(original, _transform(row), side, side, fill=0) == 255
    return inside


def _face(row: Row, side: int) -> matte.Mask:
    """The pixels of the aligned square inside the outline of the 68 landmarks."""
    at = geometry.apply(_transform(row), row["landmarks"])
    outline = cv2.convexHull(np.rint(at).astype(np.int32))
    face: matte.Mask = cv2.fillConvexPoly(np.zeros((side, side), np.uint8), outline, 1) > 0
    return face


def _resized(mask: matte.Mask, side: int) -> matte.Mask:
    small: matte.Mask = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    return small


def _weights(scoring: Scoring) -> tuple[str, ...]:
    return (NETWORK,) if scoring.enabled else ()


STAGE = RowStage(
    name="whiten",
    reads=ALIGN,
    writes=WHITEN,
    scores=WHITEN_SCORES,
    scoring=Scoring,
    limits=Limits,
    score=score,
    decide=decide,
    render=render,
    depends=("image_sha256", "transform", "landmarks"),
    payload=(("align", "image"),),
    weights=_weights,
    version="2",
)
