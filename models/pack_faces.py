"""Pack faces: pictures of one size, and their 68 landmarks where the shards know them."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manifests.errors import DataError
from models import payload
from models.payload import Row
from pipeline import geometry

ARRAYS = ("faces", "landmarks")
_LANDMARKS = 68
_MAX_PIXELS = 4096 * 4096  # of a finished picture
_AT_ONCE = 256  # pictures decoded together


def write(root: Path, rows: Sequence[Row], side: int, folder: Path) -> None:
    """Faces (n, 3, side, side) uint8, landmarks (n, 68, 2) float32 in pixels of these, NaN where unknown."""
    out = np.lib.format.open_memmap(folder / "faces.npy", "w+", np.uint8, (len(rows), 3, side, side))
    with (folder / "faces.npy").open("r+b") as file:  # a full disk is an error here, and a killing signal later
        os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    known = np.full((len(rows), _LANDMARKS, 2), np.nan, np.float32)
    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        read = payload.read(root, rows, "image", ("landmarks", "transform"))
        while chunk := list(islice(read, _AT_ONCE)):
            decoded = pool.map(lambda item: _face(item[1], side, rows[item[0]]["row_id"]), chunk)
            for (place, _), (face, landmarks) in zip(chunk, decoded, strict=True):
                out[place], known[place] = face, landmarks
    out.flush()
    np.save(folder / "landmarks.npy", known)


def write_none(people: int, folder: Path) -> None:
    """One face without pixels for everybody."""
    np.save(folder / "faces.npy", np.empty((people, 3, 0, 0), np.uint8))
    np.save(folder / "landmarks.npy", np.full((people, _LANDMARKS, 2), np.nan, np.float32))


def _face(values: Row, side: int, row_id: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture as (3, side, side), reduced bilinearly over all its pixels as the released code does; landmarks."""
    try:
        with Image.open(io.BytesIO(values["image"]), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise DataError(f"face {row_id} has {image.width} x {image.height} pixels: at most {_MAX_PIXELS}")
            small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            whole = (0.0, 0.0, float(image.width), float(image.height))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"face {row_id} cannot be decoded ({error}): run the pipeline again") from error
    return np.asarray(small).transpose(2, 0, 1), _landmarks(values, geometry.resizing(whole, side, side), row_id)


def _landmarks(values: Row, reduced: geometry.Matrix, row_id: str) -> NDArray[np.float32]:
    """Landmarks of the upright original, taken through the alignment (`transform`) and the reduction."""
    found, transform = values.get("landmarks"), values.get("transform")
    if found is None or transform is None:
        return np.full((_LANDMARKS, 2), np.nan, np.float32)
    if len(found) != 2 * _LANDMARKS or len(transform) != 6:
        raise DataError(
            f"face {row_id}: {len(found)} numbers in landmarks and {len(transform)} in transform, expected "
            f"{2 * _LANDMARKS} and 6: run the pipeline again"
        )
    aligned = np.asarray(transform, np.float64).reshape(2, 3)
    return geometry.apply(geometry.compose(reduced, aligned), found).astype(np.float32)
