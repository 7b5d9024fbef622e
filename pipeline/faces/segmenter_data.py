"""Pictures with person masks, and the squares around faces that the segmenter learns from."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.images import Pixels, decode
from pipeline.matte import without_holes

Alpha = NDArray[np.uint8]  # height x width, 255 person, 0 background, 128 unknown
Square = tuple[float, float, float]  # centre x, centre y, side, pixels

_MAX_PIXELS = 40_000_000
_WORK_SIDE = 640  # pixels: longer pictures are shrunk when read, the network sees far less
_SEARCH_SIDE = 800  # pixels: dlib finds faces from 80 pixels, and the smallest pictures show whole people
_PINHOLE_SHARE = 0.002  # of a mask's area: smaller holes in hand-made masks are slips
_NO_FACE_WEIGHT = 0.2  # how often a picture without a found face is drawn, against one with
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
    """`images/NAME.*` with `masks/NAME.*`; a mask may be smaller than its picture. Yields file bytes and example."""
    masks = {path.stem: path for path in sorted((folder / "masks").glob("*"))}
    for path in sorted((folder / "images").glob("*")):
        data = path.read_bytes()
        pixels = _shrunk(decode(data, _MAX_PIXELS))
        mask = decode(masks[path.stem].read_bytes(), _MAX_PIXELS)[..., 0]
        size = (pixels.shape[1], pixels.shape[0])
        person = without_holes(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 127, _PINHOLE_SHARE)
        alpha = np.where(person, 255, 0).astype(np.uint8)
        yield data, Example(pixels, alpha, find_faces(pixels))


def read_cutouts(folder: Path) -> Iterator[tuple[bytes, Example]]:
    """`cutouts_rgba/*.png`: people with an exact alpha channel and no background."""
    for path in sorted((folder / "cutouts_rgba").glob("*.png")):
        data = path.read_bytes()
        rgba = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        pixels = np.ascontiguousarray(rgba[..., 2::-1])
        alpha = rgba[..., 3].copy()
        over_grey = _over(pixels, alpha, np.full_like(pixels, 160))
        yield data, Example(pixels, alpha, find_faces(over_grey), cut_out=True)


def read_backgrounds(folder: Path) -> Iterator[tuple[bytes, Pixels]]:
    """`backgrounds/*`: photographs without people."""
    for path in sorted((folder / "backgrounds").glob("*")):
        data = path.read_bytes()
        yield data, _shrunk(decode(data, _MAX_PIXELS))


def read_voc(folder: Path, subset: str) -> Iterator[tuple[bytes, Example]]:
    """Pascal VOC 2012 pictures with a person (class 15); `subset` is `train` or `val`, the outline is unknown."""
    names = (folder / "ImageSets" / "Segmentation" / f"{subset}.txt").read_text().split()
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
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image)


def find_faces(pixels: Pixels) -> tuple[Square, ...]:
    """Face boxes by dlib's HOG detector, largest first; small pictures are enlarged up to three times."""
    scale = min(3.0, max(1.0, _SEARCH_SIDE / max(pixels.shape[:2])))
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


def face_square(example: Example, rng: Generator) -> Square:
    """A square such as the stage sees: about three face boxes wide, sometimes closer; any face of the picture."""
    height, width = example.alpha.shape
    if example.faces:
        x, y, box = example.faces[int(rng.integers(len(example.faces)))]
        usual = rng.random() < 0.6
        side = box * (3.0 * np.exp(rng.normal(0, 0.12)) if usual else np.exp(rng.uniform(np.log(1.4), np.log(4.5))))
    else:  # no face was found: somewhere on the person
        rows, columns = np.nonzero(example.alpha > 127)
        at = int(rng.integers(len(rows) // 2 + 1))  # the upper half of the mask
        x, y, side = float(columns[at]), float(rows[at]), max(height, width) * rng.uniform(0.3, 1.0)
    side = max(side, 72.0)
    return x + side * rng.normal(0, 0.05), y + side * rng.normal(0, 0.06), side


def crop(picture: Pixels | Alpha, square: Square, side: int, turn_deg: float, border: int, fill: int) -> Pixels:
    """A turned square of a picture, resized to `side`; `border` is OpenCV's rule for what lies outside."""
    x, y, size = square
    scale = side / size
    if scale < 0.5:  # OpenCV's warp does not average: shrink first
        picture = cv2.resize(picture, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        x, y, scale = x * 2 * scale, y * 2 * scale, 0.5
    matrix = cv2.getRotationMatrix2D((x, y), turn_deg, scale)
    matrix[:, 2] += side / 2 - np.array([x, y])
    return cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=(fill,) * 3)


def draw(library: Library, rng: Generator, side: int, synthetic_share: float) -> tuple[Pixels, Alpha]:
    """One training picture and its mask, both `side` x `side`."""
    from_world = bool(library.synthetic) and rng.random() < synthetic_share
    people = library.synthetic if from_world else library.people
    weights = np.array([1.0 if example.faces else _NO_FACE_WEIGHT for example in people])
    example = people[int(rng.choice(len(people), p=weights / weights.sum()))]
    square, turn = face_square(example, rng), rng.normal(0, 6)
    # What lies outside the picture: repeated or mirrored pixels keep their mask, a plain frame is background.
    border = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)[int(rng.choice(3, p=(0.3, 0.2, 0.5)))]
    fill = int(rng.choice((0, 255, rng.integers(256))))
    pixels = crop(example.pixels, square, side, turn, border, fill)
    alpha = crop(example.alpha, square, side, turn, border, 0)
    if example.cut_out or rng.random() < 0.35:
        if not example.cut_out:  # outlines drawn by hand include a rim of the old background
            alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3), np.uint8)), (3, 3), 0)
        pixels = _over(vary_colour(pixels, rng, 0.6), alpha, _background(library, rng, side))
    if rng.random() < 0.5:
        pixels, alpha = pixels[:, ::-1], alpha[:, ::-1]
    return degrade(vary_colour(pixels, rng, 1.0), rng), alpha


def _background(library: Library, rng: Generator, side: int) -> Pixels:
    kind = rng.random()
    if kind < 0.25 or not library.backgrounds:  # a studio wall: two colours, a slope between, some structure
        low, high = rng.uniform(0, 255, (2, 3))
        cells = int(rng.integers(2, 12))
        slope = cv2.resize(rng.random((cells, cells)), (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
        wall = low + (high - low) * slope * rng.uniform(0, 1) + rng.normal(0, rng.uniform(0, 8), (side, side, 1))
        return np.clip(wall, 0, 255).astype(np.uint8)
    photo = library.backgrounds[int(rng.integers(len(library.backgrounds)))]
    height, width = photo.shape[:2]
    size = min(height, width) * rng.uniform(0.4, 1.0)
    square = (rng.uniform(size / 2, width - size / 2), rng.uniform(size / 2, height - size / 2), size)
    out = crop(photo, square, side, rng.normal(0, 10), cv2.BORDER_REFLECT_101, 0)
    if rng.random() < 0.4:  # out of focus, as behind a portrait
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(1, 8))
    return vary_colour(out[:, ::-1] if rng.random() < 0.5 else out, rng, 1.0)


def _over(pixels: Pixels, alpha: Alpha, background: Pixels) -> Pixels:
    share = alpha[..., None].astype(np.float32) / 255
    return np.rint(pixels * share + background * (1 - share)).astype(np.uint8)


def vary_colour(pixels: Pixels, rng: Generator, strength: float) -> Pixels:
    """Brightness, contrast, gamma, colour of the light, saturation, and light that falls from one side."""
    values = pixels.astype(np.float32) / 255
    values = values ** np.exp(rng.normal(-0.03, 0.2 * strength))
    values = (values - 0.5) * np.exp(rng.normal(0, 0.15 * strength)) + 0.5 + rng.normal(0, 0.06 * strength)
    values = values * np.exp(rng.normal(0, 0.07 * strength, 3)).astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * (0.0 if rng.random() < 0.06 else np.exp(rng.normal(0, 0.3 * strength)))
    if rng.random() < 0.3 * strength:
        side = pixels.shape[0]
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6)
        ramp = np.linspace(-1, 1, side, dtype=np.float32)
        light = 1 + depth * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
        values = values * light[..., None]
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def degrade(pixels: Pixels, rng: Generator) -> Pixels:
    """What cameras and the web do: blur, a smaller size, noise, JPEG."""
    side = pixels.shape[0]
    if rng.random() < 0.3:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.2:
        small = int(side * rng.uniform(0.3, 0.8))
        pixels = cv2.resize(cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA), (side, side))
    if rng.random() < 0.25:
        noisy = pixels + rng.normal(0, rng.uniform(2, 14), pixels.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(pixels)


def _shrunk(pixels: Pixels) -> Pixels:
    scale = _WORK_SIDE / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def library(people: Sequence[Example], backgrounds: Sequence[Pixels], synthetic: Sequence[Example] = ()) -> Library:
    """Collect what one run draws from; the empty parts of photographs serve as backgrounds too."""
    behind = [square for example in people if not example.cut_out and (square := empty_square(example)) is not None]
    return Library(tuple(people), (*backgrounds, *behind), tuple(synthetic))
