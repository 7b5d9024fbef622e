"""Monochrome pictures and uneven light: planted in photographs, and as a reader's eyes see them.

The rule for uniform light (`pipeline.quality.light`) compares the skin of one half of the face with the mirror image
of the other: neither may the medians of both halves differ by more than `max_light_imbalance` of the face's
luminance, nor may a shadow's edge change it by more than `max_light_contrast` within a quarter of the pupil distance.
So light from straight above or below passes, and so do lamps on both sides.

`labels/light.csv` holds two blind readings, each of 60 photographs in the order of their sha256. `halves`: each half
of the face was shown beside its own mirror image; uneven is a half that is clearly darker, or a hard edge across the
face. `plain`: only the face was shown; eyes make up for side light, and pass most faces lit two to one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline import geometry, images
from pipeline.images import Pixels
from pipeline.stage import Row
from pipeline.warp import shrink_to
from stages.accuracy.finding import Aim, Finding, Unmeasured, share
from stages.accuracy.labelled import by_eye
from stages.accuracy.scored import KEPT, Photo, decision, only, photos, score, score_bytes
from stages.landmarks import Limits

_STAGE = "monochrome, light"
_DEFAULT = Limits()
_ONLY_COLOUR, _ONLY_LIGHT = only("min_colourfulness"), only("max_light_imbalance", "max_light_contrast")
_JPEG_QUALITY = 80  # of the grey and toned copies: chroma is never exactly flat on the web
_COLOURED = 24  # grey levels between the channels of a pixel that is plainly coloured
_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])  # the usual matrix, RGB
_LONGEST_PX = 1000  # of those copies: larger ones only take longer
_EVEN = 0.5  # what a photograph may have of both limits of light to be relit: then the planted light is what it gets
_RELIT = 60  # photographs at most, to bound the time
_GAMMA = 2.2


@dataclass(frozen=True, slots=True)
class Lamp:
    """Light that falls on one side of a face alone."""

    ratio: float  # light of the bright side per light of the dark side
    width: float = 1.0  # pupil distances over which it fades
    aslant_deg: float = 0.0  # turns the edge, which is upright at 0


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Grey and toned copies, relit copies, and the agreement with two readings by eye."""
    pictures = photos(data)
    if not pictures:
        yield Unmeasured(_STAGE, "grey and relit copies", "the data has no photographs with faces in faces/")
        return
    coloured = [photo for photo in pictures if is_coloured(photo.pixels())]
    yield from _monochrome(coloured)
    yield from _relit([photo for photo in pictures if _is_even(photo.scores)][:_RELIT])
    for look in ("halves", "plain"):
        yield from _agreement(look, {photo.sha256: photo.scores for photo in pictures})


def is_coloured(pixels: Pixels) -> bool:
    """Whether a hundredth of the picture or more is plainly coloured."""
    spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
    return bool(np.percentile(spread, 99) >= _COLOURED)


def _monochrome(coloured: Sequence[Photo]) -> Iterator[Finding]:
    copies = {
        "grey copies called monochrome": (grey, Aim(">=", 0.98)),
        "sepia copies called monochrome": (sepia, None),
    }
    for what, (change, aim) in copies.items():
        scored = [score_bytes(images.encode_jpeg(change(_small(photo)), _JPEG_QUALITY)) for photo in coloured]
        found = [scores for scores in scored if scores["fault"] is None]
        called = sum(decision(scores, _ONLY_COLOUR) != KEPT for scores in found)
        on = f"JPEG copies of colour photographs, quality {_JPEG_QUALITY}"
        yield Finding(_STAGE, what, on, len(found), share(called, len(found)), aim=aim)
    kept = sum(decision(photo.scores, _ONLY_COLOUR) == KEPT for photo in coloured)
    figure = share(kept, len(coloured))
    yield Finding(_STAGE, "not called monochrome", "colour photographs", len(coloured), figure, aim=Aim(">=", 0.98))


def _small(photo: Photo) -> Pixels:
    return shrink_to(photo.pixels(), _LONGEST_PX)[0]


def grey(pixels: Pixels) -> Pixels:
    """The picture without colour."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def sepia(pixels: Pixels) -> Pixels:
    """The picture in brown tones."""
    return np.asarray(np.clip(np.rint(pixels @ _SEPIA.T), 0, 255), dtype=np.uint8)


def _is_even(scores: Row) -> bool:
    """Whether the face is large and frontal enough for its light to be seen, and well within both limits."""
    return bool(
        scores["pupil_px"] >= 30.0
        and abs(scores["yaw_deg"]) <= 30.0
        and scores["light_imbalance"] <= _EVEN * (_DEFAULT.max_light_imbalance or 0.0)
        and scores["light_contrast"] <= _EVEN * (_DEFAULT.max_light_contrast or 0.0)
    )


def _relit(even: Sequence[Photo]) -> Iterator[Finding]:
    """How many evenly lit photographs are called uneven once a lamp stands beside them."""
    lamps = (
        (Lamp(1.1), "hardly any side light, 1.1:1: passed", False, Aim(">=", 0.98)),
        (Lamp(2.0), "side light 2:1: called uneven", True, None),
        (Lamp(4.0), "side light 4:1: called uneven", True, Aim(">=", 0.98)),
        (Lamp(4.0, 0.15), "hard upright shadow 4:1: called uneven", True, Aim(">=", 0.98)),
        (Lamp(4.0, 0.15, 45.0), "hard shadow 4:1 aslant at 45°: called uneven", True, None),
    )
    for lamp, what, is_uneven, aim in lamps:
        called = _called_uneven(even, lamp)
        if called:
            right = sum(answer == is_uneven for answer in called)
            note = f"light of one half of the face per light of the other, fading over {lamp.width:g} pupil distances"
            on = "relit copies of evenly lit photographs"
            yield Finding(_STAGE, what, on, len(called), share(right, len(called)), aim=aim, note=note)


def _called_uneven(even: Sequence[Photo], lamp: Lamp) -> list[bool]:
    """Whether each relit copy in which the same face is found is called uneven; every other lamp stands left."""
    called = []
    for number, photo in enumerate(even):
        scores = score(relit(photo.pixels(), photo.scores["pupils"], lamp, 1.0 if number % 2 else -1.0))
        if scores["fault"] is None and _same_face(scores, photo.scores):
            called.append(decision(scores, _ONLY_LIGHT) != KEPT)
    return called


def _same_face(a: Row, b: Row) -> bool:
    gaps = np.linalg.norm(geometry.points(a["pupils"]) - geometry.points(b["pupils"]), axis=1)
    return bool(gaps.max() < 0.5 * b["pupil_px"])


def relit(pixels: Pixels, pupils: Sequence[float], lamp: Lamp, side: float) -> Pixels:
    """The picture as a lamp would light it that leaves one side (+1: the right one) of the face darker."""
    left, right = geometry.points(pupils)
    apart, middle = right - left, 0.5 * (left + right)
    angle = np.arctan2(apart[1], apart[0]) + np.radians(lamp.aslant_deg)
    y, x = np.indices(pixels.shape[:2], dtype=np.float32)
    across = ((x - middle[0]) * np.cos(angle) + (y - middle[1]) * np.sin(angle)) / np.hypot(*apart)
    dark = np.clip(0.5 + side * across / lamp.width, 0.0, 1.0)
    gain = lamp.ratio ** (-dark / _GAMMA)  # of gamma-coded values
    return np.asarray(np.rint(pixels * gain[..., None]), dtype=np.uint8)


def _agreement(look: str, scores: dict[str, Row]) -> Iterator[Finding | Unmeasured]:
    """How often the rule and a reading by eye say the same."""
    labels = {digest: line["light"] for digest, line in by_eye("light").items() if line["look"] == look}
    pairs = [
        (decision(scores[digest], _ONLY_LIGHT) == KEPT, light == "uniform")
        for digest, light in labels.items()
        if digest in scores
    ]
    what = f"uniform or not, agreement with the eye ({look})"
    if not pairs:
        yield Unmeasured(_STAGE, what, "none of the labelled photographs is here")
        return
    agree = sum(rule == eye for rule, eye in pairs)
    strict, lax = sum(eye and not rule for rule, eye in pairs), sum(rule and not eye for rule, eye in pairs)
    note = f"{strict} called uneven that the eye passes, {lax} the other way round"
    yield Finding(_STAGE, what, "photographs", len(pairs), share(agree, len(pairs)), note=note)
