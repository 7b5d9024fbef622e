"""Put both pupils at the same place in every picture: one similarity transform, one warp from the original."""

from dataclasses import dataclass
from hashlib import sha256

from manifests.schema import ALIGN, ALIGN_SCORES, EMOTION
from manifests.settings import MoreThanZero, Positive, Share
from pipeline import geometry, images
from pipeline.geometry import Matrix
from pipeline.stage import Drop, Row, RowStage
from pipeline.warp import outside, warp

_MAX_PIXELS = 2**40  # the landmarks stage has applied its own limit to these very bytes


@dataclass(frozen=True, slots=True)
class Scoring:
    """Where the pupils come to lie, and how large the square may be."""

    pupils_y: Share = geometry.PUPILS_Y  # share of the side, from the top
    pupil_distance: MoreThanZero = geometry.PUPIL_DISTANCE  # share of the side; 0.20: about two face boxes
    max_side: Positive = 512  # px
    max_upscale: MoreThanZero = 1.0  # aligned pixels per original pixel: the square gets smaller rather than blurred


@dataclass(frozen=True, slots=True)
class Limits:
    """What an aligned square may be; null turns a rule off."""

    min_side: Positive | None = 128  # px
    max_outside: Share | None = 0.45  # share of the square that the original does not cover (it is filled with white)


def score(row: Row, scoring: Scoring) -> Row:
    """The transform from the original to the aligned square; pure numbers, no picture is opened."""
    pupils = geometry.points(row["pupils"])
    longest_px = geometry.distance(pupils[0], pupils[1]) / scoring.pupil_distance * scoring.max_upscale
    side = max(1, min(scoring.max_side, int(longest_px)))
    matrix = geometry.similarity(pupils, geometry.pupil_targets(side, scoring.pupils_y, scoring.pupil_distance))
    return {
        "transform": matrix.ravel().tolist(),
        "side": side,
        "scale": geometry.scale_of(matrix),
        "outside": outside(matrix, side, row["source_width"], row["source_height"]),
    }


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    """Drop squares that are too coarse or hang too far out of the picture."""
    if limits.min_side is not None and scores["side"] < limits.min_side:
        return Drop("too_coarse", scores["side"], limits.min_side)
    if limits.max_outside is not None and scores["outside"] > limits.max_outside:
        return Drop("cut_off", scores["outside"], limits.max_outside)
    return row | scores


def render(row: Row, scores: Row, limits: Limits) -> Row:
    """The aligned square as PNG; white where the original ends."""
    pixels = images.decode(row["image"], _MAX_PIXELS)
    side = scores["side"]
    aligned = images.encode_png(warp(pixels, _matrix(scores), side, side, fill=255))
    return {"width": side, "height": side, "image": aligned, "image_sha256": sha256(aligned).hexdigest()}


def _matrix(scores: Row) -> Matrix:
    return geometry.points(scores["transform"]).reshape(2, 3)


STAGE = RowStage(
    name="align",
    reads=EMOTION,
    writes=ALIGN,
    scores=ALIGN_SCORES,
    scoring=Scoring,
    limits=Limits,
    score=score,
    decide=decide,
    render=render,
    depends=("sha256", "pupils"),
    payload=(("crawl", "image"),),
    version="2",
)
