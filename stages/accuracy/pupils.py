"""Where the annotated eyes of real faces come to lie in aligned pictures."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import geometry, images, pose
from pipeline.geometry import Points
from pipeline.images import Pixels
from stages import align, landmarks
from stages.accuracy.finding import Aim, Finding, Unmeasured, bootstrap
from stages.accuracy.labelled import files
from stages.accuracy.scored import lossless, score_bytes

_MAX_YAW_DEG = 30.0
_MIN_PUPIL_PX = 30.0
_AROUND = 3.0  # side of the part cut out around one face of several, in bounding boxes of its landmarks
_SAME_FACE = 0.5  # pupil distances: an eye centre found farther off belongs to somebody else


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Distance of the annotated eye centres from where the align stage means to put the pupils."""
    annotated = [file.path for file in files(data, "landmarks") if file.path.suffix == ".pts"]
    pictures = {path: _picture(path) for path in annotated}
    faces_in = Counter(pictures.values())
    errors: list[float] = []
    asked = 0
    for path in annotated:
        truth, picture = read_points(path.read_text(encoding="utf-8")), pictures[path]
        if not _counts(truth):
            continue
        asked += 1
        pixels = images.decode(picture.read_bytes(), landmarks.Scoring().max_pixels)
        if faces_in[picture] > 1:
            pixels, truth = _part(pixels, truth)
        errors.extend(pupil_errors(pixels, truth))
    if not errors:
        yield Unmeasured("pupils", "position after alignment", "no annotated face of this size and pose")
        return
    found = len(errors) // 2
    on = f"annotated eyes, yaw within {_MAX_YAW_DEG:.0f}°, pupils ≥ {_MIN_PUPIL_PX:.0f} px apart"
    note = f"two eyes of each of {found} faces; {asked - found} more not found"
    of_distance = "share of the pupil distance"
    yield Finding(
        "pupils", f"position after alignment, median, {of_distance}", on, len(errors), bootstrap(errors, np.median),
        aim=Aim("<=", 0.02), note=note,
    )  # fmt: skip
    yield Finding(
        "pupils", f"position after alignment, 95th percentile, {of_distance}", on, len(errors),
        bootstrap(errors, _p95), aim=Aim("<=", 0.06), note=note,
    )  # fmt: skip


def read_points(text: str) -> Points:
    """The points of a .pts file in pixels from 0 (iBUG counts from 1). Raises ValueError where a number is damaged."""
    numbers = text[text.index("{") + 1 : text.index("}")].split()
    return geometry.points([float(number) for number in numbers]) - 1.0


def pupil_errors(pixels: Pixels, truth: Points) -> list[float]:
    """How far both eye centres of 68 true landmarks lie from the aligned pupils, as shares of their distance.

    Empty where no face is found, or another one.
    """
    data = lossless(pixels)
    scores = score_bytes(data)
    eyes = geometry.eye_centres(truth)
    if scores["fault"] is not None or _another(geometry.points(scores["pupils"]), eyes):
        return []
    height, width = pixels.shape[:2]
    row = scores | {"image": data, "source_width": width, "source_height": height}
    aligned = align.score(row, align.Scoring())
    placed = geometry.apply(geometry.points(aligned["transform"]).reshape(2, 3), eyes)
    target = geometry.pupil_targets(aligned["side"])
    return [float(gap) for gap in np.linalg.norm(placed - target, axis=1) / geometry.distance(*target)]


def _picture(path: Path) -> Path:
    """The picture of a .pts file; one of several faces in it has `_face<number>` appended to its name."""
    stem = path.stem.partition("_face")[0]
    return next(path.with_name(stem + suffix) for suffix in (".jpg", ".png") if path.with_name(stem + suffix).is_file())


def _counts(truth: Points) -> bool:
    left, right = geometry.eye_centres(truth)
    return geometry.distance(left, right) >= _MIN_PUPIL_PX and abs(pose.head_pose(truth).yaw_deg) <= _MAX_YAW_DEG


def _part(pixels: Pixels, truth: Points) -> tuple[Pixels, Points]:
    """The part of the picture around one face, so that it is the main one, and its landmarks there."""
    box = geometry.square(geometry.bounds(truth), _AROUND)
    height, width = pixels.shape[:2]
    left, right = (int(x) for x in np.clip([box[0], box[2]], 0, width))
    top, bottom = (int(y) for y in np.clip([box[1], box[3]], 0, height))
    return np.ascontiguousarray(pixels[top:bottom, left:right]), truth - (left, top)


def _another(found: Points, eyes: Points) -> bool:
    apart = np.linalg.norm(found - eyes, axis=1).max()
    return bool(apart > _SAME_FACE * geometry.distance(eyes[0], eyes[1]))


def _p95(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.percentile(values, 95, axis=axis))
