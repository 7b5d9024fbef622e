"""The photographs of `faces/` and changed copies of them, as the landmarks stage scores and judges them."""

import io
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from PIL import Image

from pipeline import images
from pipeline.images import Pixels
from pipeline.stage import Drop, Row
from stages import landmarks
from stages.accuracy.labelled import files

KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph and its scores."""

    path: Path
    sha256: str
    scores: Row

    def pixels(self) -> Pixels:
        """The decoded picture: not held, since hundreds of them would fill the memory."""
        return images.decode(self.path.read_bytes(), landmarks.Scoring().max_pixels)


@cache
def photos(data: Path) -> tuple[Photo, ...]:
    """Every photograph of `faces/` in which a face is found; files of equal bytes count once."""
    listed = {file.sha256: file.path for file in files(data, "faces")}
    scored = (Photo(path, digest, score_bytes(path.read_bytes())) for digest, path in sorted(listed.items()))
    return tuple(photo for photo in scored if photo.scores["fault"] is None)


def score(pixels: Pixels) -> Row:
    """The landmarks stage's scores of a picture."""
    return score_bytes(lossless(pixels))


def score_bytes(data: bytes) -> Row:
    """The landmarks stage's scores of a picture file's contents."""
    return landmarks.score({"image": data}, landmarks.Scoring())


def lossless(pixels: Pixels) -> bytes:
    """The picture as a file that decodes to the same pixels: BMP, since packing them would only cost time."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "BMP")
    return out.getvalue()


def decision(scores: Row, limits: landmarks.Limits) -> str:
    """KEPT, or the reason for which the landmarks stage drops the picture."""
    result = landmarks.decide({}, scores, limits)
    return result.reason if isinstance(result, Drop) else KEPT


def only(*names: str) -> landmarks.Limits:
    """The default limits of those names; every other rule is off."""
    return replace(landmarks.Limits(), **{f.name: None for f in fields(landmarks.Limits) if f.name not in names})
