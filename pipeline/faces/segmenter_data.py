"""Pictures with person masks: folders of pairs, cut-outs, Pascal VOC and the synthetic world."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manifests.errors import DataError, Missing
from pipeline.images import Pixels, decode
from pipeline.matte import without_holes
from pipeline.warp import shrink_to
from pipeline.world.faces import photograph
from pipeline.world.scene import EXPRESSIONS, draw_scene
from pipeline.world.traits import draw_person

Alpha = NDArray[np.uint8]  # height x width, 255 person, 0 background, 128 unknown
Square = tuple[float, float, float]  # centre x, centre y, side, pixels

_MAX_PIXELS = 40_000_000
_WORK_SIDE = 640  # pixels: longer pictures are shrunk when read, the network sees far less
_FACE_BOX_PUPILS = 2.4  # pupil distances: how wide dlib draws the box of a face
_SEARCH_SIDE = 1000  # pixels: dlib finds faces from 80 pixels, and the smallest pictures show whole people
_PINHOLE_SHARE = 0.002  # of a mask's area: smaller holes in hand-made masks are slips
_VOC_PERSON, _VOC_VOID = 15, 255  # class index and outline of the SegmentationClass palettes


@dataclass(frozen=True, slots=True)
class Example:
    """A picture, its person mask and the face boxes in it."""

    pixels: Pixels
    alpha: Alpha
    faces: tuple[Square, ...]
    cut_out: bool = False  # nothing but the person is worth seeing: always put on another background


@dataclass(frozen=True, slots=True)
class Library:
    """Everything one training run draws from."""

    people: tuple[Example, ...]
    backgrounds: tuple[Pixels, ...]
    synthetic: tuple[Example, ...] = ()


def held_out(data: bytes) -> bool:
    """The third of all files that is kept for the last measurement: sha256 of the bytes divisible by 3."""
    return int.from_bytes(hashlib.sha256(data).digest()) % 3 == 0


def validation(data: bytes) -> bool:
    """A sixth of the files that are not held out, to tune by."""
    return int.from_bytes(hashlib.sha256(data).digest()) // 3 % 6 == 0


def read_pairs(folder: Path) -> Iterator[tuple[bytes, Example]]:
    """`images/NAME.*` with `masks/NAME.*`; a mask may be smaller than its picture. Yields file bytes and example.

    Raises DataError where a picture has no mask.
    """
    masks = {path.stem: path for path in sorted((folder / "masks").glob("*"))}
    for path in sorted((folder / "images").glob("*")):
        if path.stem not in masks:
            raise DataError(f"{path} has no mask; expected {folder / 'masks' / path.stem}.png, white where a person is")
        data = path.read_bytes()
        pixels = shrink_to(decode(data, _MAX_PIXELS), _WORK_SIDE)[0]
        mask = decode(masks[path.stem].read_bytes(), _MAX_PIXELS)[..., 0]
        size = (pixels.shape[1], pixels.shape[0])
        person = without_holes(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 127, _PINHOLE_SHARE)
        alpha = np.where(person, 255, 0).astype(np.uint8)
        yield data, Example(pixels, alpha, find_faces(pixels))


def read_cutouts(folder: Path) -> Iterator[tuple[bytes, Example]]:
    """`cutouts_rgba/*.png`: people with an exact alpha channel and no background."""
    for path in sorted((folder / "cutouts_rgba").glob("*.png")):
        data = path.read_bytes()
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            rgba = np.asarray(image.convert("RGBA"))
        pixels, alpha = rgba[..., :3].copy(), rgba[..., 3].copy()
        over_grey = np.where(alpha[..., None] > 127, pixels, np.uint8(160))
        yield data, Example(pixels, alpha, find_faces(over_grey), cut_out=True)


def read_backgrounds(folder: Path) -> Iterator[tuple[bytes, Pixels]]:
    """`backgrounds/*`: photographs without people."""
    for path in sorted((folder / "backgrounds").glob("*")):
        data = path.read_bytes()
        yield data, shrink_to(decode(data, _MAX_PIXELS), _WORK_SIDE)[0]


def read_voc(folder: Path, subset: str) -> Iterator[tuple[bytes, Example]]:
    """Pascal VOC 2012 pictures with a person (class 15); `subset` is `train` or `val`, the outline is unknown.

    Raises Missing where the folder is no Pascal VOC.
    """
    listed = folder / "ImageSets" / "Segmentation" / f"{subset}.txt"
    if not listed.exists():
        raise Missing(f"no {listed}; name the folder VOC2012 of the unpacked Pascal VOC 2012 archive")
    names = listed.read_text().split()
    for name in names:
        # Pillow keeps the palette indices that OpenCV would turn into colours.
        classes = _palette_indices(folder / "SegmentationClass" / f"{name}.png")
        if not (classes == _VOC_PERSON).any():
            continue
        data = (folder / "JPEGImages" / f"{name}.jpg").read_bytes()
        pixels = decode(data, _MAX_PIXELS)
        alpha = np.where(classes == _VOC_PERSON, 255, np.where(classes == _VOC_VOID, 128, 0)).astype(np.uint8)
        yield data, Example(pixels, alpha, find_faces(pixels))


def _palette_indices(path: Path) -> Alpha:
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image)


def draw_world(people: int, seed: int) -> Iterator[Example]:
    """One photograph with its exact mask of each of so many synthetic people, over varied light and expressions."""
    for index in range(people):
        rng = np.random.default_rng((seed, index))
        scene = replace(
            draw_scene(rng),
            yaw_deg=float(rng.normal(0, 8)),
            pitch_deg=float(rng.normal(0, 5)),
            expression=EXPRESSIONS[int(rng.integers(len(EXPRESSIONS)))],
            light_harshness=float(rng.uniform(0, 0.8)),
        )
        photo = photograph(draw_person(seed, index), scene)
        x, y = photo.pupils.mean(axis=0)
        face = (float(x), float(y + 0.35 * photo.pupil_px), _FACE_BOX_PUPILS * photo.pupil_px)
        yield Example(photo.pixels, photo.mask, (face,))


def find_faces(pixels: Pixels) -> tuple[Square, ...]:
    """Face boxes by dlib's HOG detector, largest first; small pictures are enlarged up to four times."""
    scale = min(4.0, max(1.0, _SEARCH_SIDE / max(pixels.shape[:2])))
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    boxes = dlib.get_frontal_face_detector()(np.ascontiguousarray(large), 0)
    squares = ((b.left() + b.right() + 1, b.top() + b.bottom() + 1, float(b.width())) for b in boxes)
    # Coordinates of the sums above are twice the centre's.
    found = ((x / 2 / scale - 0.5, y / 2 / scale - 0.5, side / scale) for x, y, side in squares)
    return tuple(sorted(found, key=lambda square: -square[2]))


def empty_square(example: Example) -> Pixels | None:
    """The largest square of the picture without a person, or None where it is too small to be of use."""
    height, width = example.alpha.shape
    free = np.pad((example.alpha == 0).astype(np.uint8), 1)  # the frame counts as occupied
    reach = cv2.distanceTransform(free, cv2.DIST_C, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(reach.argmax()), (height, width))
    half = int(reach[y, x]) - 1
    return example.pixels[y - half : y + half + 1, x - half : x + half + 1] if half >= 24 else None


def library(people: Sequence[Example], backgrounds: Sequence[Pixels], synthetic: Sequence[Example] = ()) -> Library:
    """Collect what one run draws from; the empty parts of photographs serve as backgrounds too."""
    behind = [square for example in people if not example.cut_out and (square := empty_square(example)) is not None]
    return Library(tuple(people), (*backgrounds, *behind), tuple(synthetic))
