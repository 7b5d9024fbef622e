"""dlib's HOG face detector, made quick: a picture of half the size proposes faces, dlib looks at each close up.

dlib's detector slides five filters (frontal, turned, tilted) over cells of 8 x 8 pixels. Its frontal filter over
cells of 4 x 4 pixels of a picture of half the size sees nearly the same, in a quarter of the time.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import dlib
import numpy as np
from numpy.typing import NDArray

from manifests.errors import DataError
from pipeline import geometry, warp
from pipeline.faces.dlib_file import Reader, whole
from pipeline.geometry import Box

Grey = NDArray[np.uint8]
Found = tuple[Box, float]  # and dlib's score

# How a detector's file starts: versions, side of a cell, padding, width and height of the window, most levels of the
# pyramid, width and height of its smallest level.
_WHOLE: Final = (2, 1, 0, 0, 8, 0, 80, 80, 1000, 64, 64)
_HALVED: Final = (2, 1, 0, 0, 4, 0, 40, 40, 1000, 32, 32)

_DOUBTFUL: Final = -0.9  # proposals of this score are looked at; dlib itself asks for 0
_FACE_PX: Final = 100  # side of a proposed face when dlib looks at it
_CLOSE_PX: Final = 200  # side of what dlib looks at
_SAME: Final = 0.3  # boxes that share this (intersection over union) are one face


def find(small: Grey, full: Grey, known: Sequence[Box] = ()) -> list[Found]:
    """Faces in `full` (boxes in its pixels) that span at least 36 pixels of `small`, the same picture made smaller.

    These are the faces that dlib sees in a picture of twice the size of `small`; the known ones are left out.
    """
    whole_picture = (0.0, 0.0, float(full.shape[1]), float(full.shape[0]))
    boxes = list(known)
    found: list[Found] = []
    for proposed, _ in _run(_proposer(), small, _DOUBTFUL):
        box = _placed(proposed, small, whole_picture)
        for face in _confirmed(full, box) if _is_new(box, boxes) else []:
            if _is_new(face[0], boxes):
                found.append(face)
                boxes.append(face[0])
    return found


def _is_new(box: Box, known: list[Box]) -> bool:
    return all(geometry.overlap(box, other) <= _SAME for other in known)


def _confirmed(full: Grey, proposed: Box) -> list[Found]:
    """The face that dlib's own detector sees in the proposed box, if any."""
    around = geometry.square(proposed, _CLOSE_PX / _FACE_PX)
    close = warp.crop(full, around, _CLOSE_PX)
    seen = [(_placed(box, close, around), score) for box, score in _run(_detector(), close, 0.0)]
    return [face for face in seen if geometry.overlap(face[0], proposed) > _SAME][:1]


def _placed(box: Box, seen: Grey, around: Box) -> Box:
    """A box of the picture `seen`, which shows `around`, where it lies in the full picture."""
    x, y = (around[2] - around[0]) / seen.shape[1], (around[3] - around[1]) / seen.shape[0]
    left, top = around[:2]
    return (left + x * box[0], top + y * box[1], left + x * box[2], top + y * box[3])


def _run(detector: Any, grey: Grey, least: float) -> list[Found]:
    """Boxes (pixel edges) and scores, surest first."""
    rectangles, scores, _ = detector.run(grey, 0, least)
    # dlib's right and bottom are the last pixels inside.
    boxes = [(r.left(), r.top(), r.right() + 1.0, r.bottom() + 1.0) for r in rectangles]
    return [(box, float(score)) for box, score in zip(boxes, scores, strict=True)]


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()


@cache
def _proposer() -> Any:
    """The frontal filter alone, for faces of half the size."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "detector"
        _detector().save(str(file))
        file.write_bytes(halved(file.read_bytes()))
        return dlib.fhog_object_detector(str(file))


def halved(detector: bytes) -> bytes:
    """A detector's file with cells and window of half the size and only the first of its filters.

    Raises DataError where dlib's detector is not the one that this knows.
    """
    start = b"".join(map(whole, _WHOLE))
    if not detector.startswith(start):
        raise DataError("dlib's frontal face detector is another than that of dlib 19 and 20; install one of these")
    reader = Reader(detector, len(start))
    reader.skip(3 + 2 * 2)  # sizes of the feature vector; two real numbers that say which boxes are one face
    middle = detector[len(start) : reader.at]
    reader.whole()  # filters
    first = reader.at
    rows, columns = abs(reader.whole()), abs(reader.whole())
    reader.skip(2 * rows * columns)  # real numbers
    return b"".join(map(whole, _HALVED)) + middle + whole(1) + detector[first : reader.at]
