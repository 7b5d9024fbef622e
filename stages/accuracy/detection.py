"""Whether the landmarks stage finds the face of a photograph, and marks nothing else as one.

The labels were made by eye, one look at every photograph. `count` is how many faces a person counts: of people in a
photograph (none drawn, modelled or on a toy), at least a third as high as the main one, with an eye, the nose and
the mouth to be seen. `clear` says that this is one face, upright within 45 degrees and at least 24 pixels wide, both
eyes (open or not; behind clear glasses, not dark ones), the nose and the mouth of which can be made out and lie inside
the picture; a photograph with a drawn face of the same size beside it is not clear. The box of the main face goes from
the brows to the chin, in pixels of the upright picture. `others` are further faces: the counted ones first, then those
cut off, hidden, out of focus or drawn, which a detector may mark.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manifests import weights
from manifests.errors import Missing
from pipeline import geometry, images
from pipeline.faces import detect
from pipeline.geometry import Box
from pipeline.stage import Row
from stages import landmarks
from stages.accuracy.finding import Aim, Finding, Unmeasured, share
from stages.accuracy.labelled import by_eye, files
from stages.accuracy.scored import score_bytes

_STAGE = "detection"
_CLEAR = "photographs of one clear face"
_COVERED: Final = 0.4  # intersection over union of a face with a box that marks it: dlib's boxes come in steps of 6/5
_AS_SET: Final = "as set"
_RECIPES: Final = {
    _AS_SET: landmarks.Scoring(),
    "dlib's HOG alone": landmarks.Scoring(second_look_px=None),
    "dlib's CNN alone": landmarks.Scoring(detector="dlib_cnn"),
    "S3FD of face-alignment": landmarks.Scoring(detector="fan"),
}


@dataclass(frozen=True, slots=True)
class Label:
    """What a person sees in a photograph."""

    count: int
    clear: bool
    main: Box | None
    others: tuple[Box, ...] = ()

    @property
    def several(self) -> bool:
        """Whether another counted face rivals the main one in size."""
        rivals = self.others[: max(self.count - 1, 0)]
        return self.main is not None and any(
            geometry.area(box) > detect.RIVAL_AREA * geometry.area(self.main) for box in rivals
        )

    def missed(self, main: Box | None) -> bool:
        """Whether this box does not mark the main face."""
        return main is None or self.main is None or geometry.overlap(main, self.main) < _COVERED

    def wrong(self, boxes: Sequence[Box]) -> int:
        """How many of these boxes mark no face."""
        faces = self.others if self.main is None else (self.main, *self.others)
        return sum(all(geometry.overlap(box, face) < _COVERED for face in faces) for box in boxes)


@dataclass(frozen=True, slots=True)
class Seen:
    """A labelled photograph, what the stage says of it, and the boxes of each recipe, the main face first."""

    label: Label
    scores: Row
    boxes: Mapping[str, Sequence[Box]]


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Faces found, boxes on no face, and the decision about several faces; then other detectors beside them."""
    labels = {sha256: read_label(line) for sha256, line in by_eye("faces").items()}
    listed = {file.sha256: file.path for file in files(data, "faces", "faces_odd") if file.sha256 in labels}
    if not any(labels[sha256].clear for sha256 in listed):
        yield Unmeasured(_STAGE, "faces found", "the data has none of the labelled photographs in faces/")
        return
    lacking = {name: reason for name, recipe in _RECIPES.items() if (reason := _lacks(recipe))}
    usable = {name: recipe for name, recipe in _RECIPES.items() if name not in lacking}
    seen = [_look(path, labels[sha256], usable) for sha256, path in sorted(listed.items())]
    yield from judged(seen)
    yield from (_beside(name, seen) for name in usable if name != _AS_SET)
    yield from (Unmeasured(_STAGE, f"found by {name}", reason) for name, reason in lacking.items())


def read_label(line: Mapping[str, str]) -> Label:
    """A line of `labels/faces.csv`. Raises KeyError or ValueError where it is damaged."""
    main = tuple(line[edge] for edge in ("left", "top", "right", "bottom"))
    others = tuple(_box(numbers.split()) for numbers in line["others"].split(";") if numbers)
    return Label(int(line["count"]), line["clear"] == "1", _box(main) if any(main) else None, others)


def judged(seen: Sequence[Seen]) -> Iterator[Finding]:
    """The findings about the detector as the stage uses it."""
    clear = [one for one in seen if one.label.clear]
    absent = [one.label for one in clear if one.scores["face_box"] is None]
    elsewhere = sum(one.label.missed(one.scores["face_box"]) for one in clear) - len(absent)
    found = len(clear) - len(absent) - elsewhere
    sizes = ", ".join(f"{geometry.longer_side(label.main):.0f}" for label in absent if label.main)
    yield Finding(
        _STAGE, "faces found", _CLEAR, len(clear), share(found, len(clear)), aim=Aim(">=", 0.97),
        note=f"faces not found: {sizes} px" if sizes else "",
    )  # fmt: skip
    yield Finding(_STAGE, "main face elsewhere", _CLEAR, len(clear), share(elsewhere, len(clear)), aim=Aim("<=", 0.01))
    boxes = sum(len(one.boxes[_AS_SET]) for one in seen)
    if boxes:
        wrong = _wrong(_AS_SET, seen)
        what, on = "boxes on no face", f"boxes in {len(seen)} photographs"
        yield Finding(_STAGE, what, on, boxes, share(wrong, boxes), aim=Aim("<=", 0.01))
    faced = [one for one in seen if one.label.main is not None and one.scores["face_box"] is not None]
    if faced:
        same = sum((one.scores["rival_area"] > detect.RIVAL_AREA) == one.label.several for one in faced)
        what, on = "several faces or one, as by eye", "photographs with a face found"
        yield Finding(_STAGE, what, on, len(faced), share(same, len(faced)))


def _beside(name: str, seen: Sequence[Seen]) -> Finding:
    clear = [one for one in seen if one.label.clear]
    found = sum(not one.label.missed(next(iter(one.boxes[name]), None)) for one in clear)
    note = f"{_wrong(name, seen)} of {sum(len(one.boxes[name]) for one in seen)} boxes on no face"
    return Finding(_STAGE, f"found by {name}", _CLEAR, len(clear), share(found, len(clear)), note=note)


def _wrong(name: str, seen: Sequence[Seen]) -> int:
    return sum(one.label.wrong(one.boxes[name]) for one in seen)


def _look(path: Path, label: Label, recipes: Mapping[str, landmarks.Scoring]) -> Seen:
    data = path.read_bytes()
    pixels = images.decode(data, landmarks.Scoring().max_pixels)
    boxes = {
        name: [face.box for face in detect.find(pixels, recipe.detector, recipe.search_px, recipe.second_look_px)]
        for name, recipe in recipes.items()
    }
    return Seen(label, score_bytes(data), boxes)


def _lacks(recipe: landmarks.Scoring) -> str:
    """Why a recipe's detector cannot run here; empty where it can."""
    try:
        for name in detect.WEIGHTS[recipe.detector]:
            weights.path(name)
    except Missing as error:
        return str(error)
    return ""


def _box(edges: Sequence[str]) -> Box:
    left, top, right, bottom = (float(edge) for edge in edges)
    return (left, top, right, bottom)
