"""Whether the identity stage finds changed copies of a photograph, and takes no other photograph for one.

`labels/copies.csv` holds the pairs that a person sees to be one photograph, of the pairs that are alike in any way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipeline.images import Pixels, decode, encode_jpeg
from pipeline.warp import resized
from stages import identity
from stages.accuracy.fates import fates, scored, surveyed
from stages.accuracy.finding import Aim, Finding, Unmeasured, share
from stages.accuracy.labelled import by_eye, files
from stages.accuracy.scored import KEPT, Photo, decision, lossless, only, photos, score_bytes
from stages.landmarks import Scoring

_STAGE = "identity"
_USABLE = replace(
    only("max_rival_area", "max_landmark_spread"), max_yaw_deg=30.0, max_pitch_deg=30.0, min_pupil_px=20.0
)
_EVERY = 2  # of so many photographs one is copied, to save time
_COPY_QUALITY = 30  # JPEG

Change = Callable[[Pixels], Pixels]


def _cut(left: float, top: float, right: float, bottom: float) -> Change:
    """Cut shares of the sides off."""

    def cut(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        rows = slice(int(top * height), height - int(bottom * height))
        return np.ascontiguousarray(pixels[rows, int(left * width) : width - int(right * width)])

    return cut


def _brighter(pixels: Pixels) -> Pixels:
    return np.asarray(np.clip(pixels * np.float32(1.1) + 8, 0, 255), dtype=np.uint8)


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.merge([cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)] * 3), dtype=np.uint8)


WHOLE: Final[Mapping[str, Change]] = {
    "half the size": lambda pixels: resized(pixels, 0.5),
    f"JPEG quality {_COPY_QUALITY}": lambda pixels: decode(encode_jpeg(pixels, _COPY_QUALITY), Scoring().max_pixels),
    "brighter": _brighter,
    "grey": _grey,
}
CROPPED: Final[Mapping[str, Change]] = {
    "3 % off every edge": _cut(0.03, 0.03, 0.03, 0.03),
    "8 % off every edge": _cut(0.08, 0.08, 0.08, 0.08),
    "a fifth off the left": _cut(0.2, 0.0, 0.0, 0.0),
    "a quarter off the bottom": _cut(0.0, 0.0, 0.0, 0.25),
}
MIRRORED: Final[Mapping[str, Change]] = {"mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1])}


def usable(data: Path) -> list[Photo]:
    """The photographs of `faces/` that the stage may come to see: one clear face within 30 degrees."""
    return [photo for photo in photos(data) if decision(photo.scores, _USABLE) == KEPT]


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """The share of copies that are found, by what was done to them; then other photographs taken for copies."""
    pictures = usable(data)
    if not pictures:
        yield Unmeasured(_STAGE, "copies of photographs", "the data has no photographs with faces in faces/")
        return
    some = pictures[::_EVERY]
    yield _found("whole copies found", some, WHOLE, Aim(">=", 0.95))
    yield _found("cropped copies found", some, CROPPED, Aim(">=", 0.7))
    yield _found("mirrored copies found", some, MIRRORED, None)
    yield _others(data, pictures)


def _found(what: str, pictures: Sequence[Photo], changes: Mapping[str, Change], aim: Aim | None) -> Finding:
    """The share of changed copies, their landmarks found anew, that repeat the photograph or are repeated by it."""
    hits = {name: [_repeats(photo, change) for photo in pictures] for name, change in changes.items()}
    told = [hit for of_change in hits.values() for hit in of_change if hit is not None]
    note = ", ".join(f"{name} {np.mean([hit for hit in of if hit is not None]):.0%}" for name, of in hits.items())
    on = "copies in which the face is found"
    return Finding(_STAGE, what, on, len(told), share(sum(told), len(told)), aim=aim, note=note)


def _repeats(photo: Photo, change: Change) -> bool | None:
    """Whether a copy is found; None where its face is not, which is another rule."""
    data = lossless(change(photo.pixels()))
    seen = score_bytes(data)
    if seen["fault"] is not None:
        return None
    rows = [scored(photo.path.read_bytes(), photo.scores, ""), scored(data, seen, "")]
    return "near_duplicate" in fates(rows, identity.Limits())


def _others(data: Path, pictures: Sequence[Photo]) -> Finding:
    """Photographs, each under its folder's name, that are said to repeat another and do not."""
    folders = {file.sha256: file.identity for file in files(data, "faces")}
    rows = [scored(photo.path.read_bytes(), photo.scores, folders[photo.sha256]) for photo in pictures]
    facts = surveyed(rows, identity.Limits())
    repeats = {i: int(one["repeats"]) for i, one in enumerate(facts) if one["repeats"] is not None}
    pairs = [{pictures[i].sha256, pictures[other].sha256} for i, other in repeats.items()]
    labelled = [{sha256, line["copy_of"]} for sha256, line in by_eye("copies").items()]
    there = [pair for pair in labelled if pair <= {photo.sha256 for photo in pictures}]
    wrong = sum(pair not in labelled for pair in pairs) + sum(one["shared_with"] is not None for one in facts)
    note = f"{sum(pair in pairs for pair in there)} of the {len(there)} copies among them found"
    what = "other photographs taken for copies"
    return Finding(_STAGE, what, "photographs", len(rows), share(wrong, len(rows)), aim=Aim("<=", 0.01), note=note)
