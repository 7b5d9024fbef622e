"""The squares around faces that the segmenter learns from: cropped, put before other backgrounds, relit, degraded."""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.faces.segmenter_data import Alpha, Example, Library, Square
from pipeline.images import Pixels, decode, encode_jpeg
from pipeline.warp import warp

_NO_FACE_WEIGHT = 0.2  # how often a picture without a found face is drawn, against one with
_MAX_PIXELS = 4_000_000  # of our own JPEGs
_BEND = 0.02  # of the side: spread of the shifts that bend a picture
_BEND_POINTS = 4  # of them across the picture


def face_square(example: Example, rng: Generator) -> Square:
    """A square such as the stage sees: about three face boxes wide, sometimes closer; any face of the picture."""
    height, width = example.alpha.shape
    if example.faces:
        x, y, box = example.faces[int(rng.integers(len(example.faces)))]
        usual = rng.random() < 0.7
        side = box * (3.0 * np.exp(rng.normal(0, 0.12)) if usual else np.exp(rng.uniform(np.log(1.4), np.log(4.5))))
    else:  # no face was found: somewhere on the person
        rows, columns = np.nonzero(example.alpha > 127)
        at = int(rng.integers(len(rows) // 2 + 1))  # the upper half of the mask
        x, y, side = float(columns[at]), float(rows[at]), max(height, width) * rng.uniform(0.3, 1.0)
    side = max(side, 72.0)
    return x + side * rng.normal(0, 0.05), y + side * rng.normal(0, 0.06), side


def crop(picture: Pixels | Alpha, square: Square, side: int, fill: int | None, turn_deg: float = 0.0) -> Pixels:
    """A turned square of a picture at side x side; outside it `fill`, or the nearest edge pixel where that is None."""
    x, y, size = square
    matrix = np.asarray(cv2.getRotationMatrix2D((x, y), turn_deg, side / size), dtype=np.float64)
    matrix[:, 2] += ((side - 1) / 2 - x, (side - 1) / 2 - y)
    return warp(picture, matrix, side, side, fill)


def draw(library: Library, rng: Generator, side: int, synthetic_share: float) -> tuple[Pixels, Alpha]:
    """One training picture and its mask, both `side` x `side`."""
    from_world = not library.people or (bool(library.synthetic) and rng.random() < synthetic_share)
    people = library.synthetic if from_world else library.people
    weights = np.array([1.0 if example.faces else _NO_FACE_WEIGHT for example in people])
    example = people[int(rng.choice(len(people), p=weights / weights.sum()))]
    square, turn = face_square(example, rng), rng.normal(0, 6)
    # What lies outside the picture: repeated pixels keep their mask, as the stage shows them; some pictures have a
    # plain frame, mostly white, which is background.
    repeat, fill = rng.random() < 0.7, int(rng.choice((255, 0, int(rng.integers(256))), p=(0.6, 0.15, 0.25)))
    pixels = crop(example.pixels, square, side, None if repeat else fill, turn)
    alpha = crop(example.alpha, square, side, None if repeat else 0, turn)
    if rng.random() < 0.5:
        pixels, alpha = bend(pixels, alpha, rng)
    if example.cut_out or rng.random() < 0.35:
        if not example.cut_out:  # outlines drawn by hand include a rim of the old background
            alpha = np.asarray(cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3), np.uint8)), (3, 3), 0), np.uint8)
        pixels = _over(vary_colour(pixels, rng, 0.6), alpha, _background(library, rng, side))
    elif rng.random() < 0.5:  # the same place in other colours: the true outline, no seam
        behind = pixels[..., rng.permutation(3)]
        pixels = _over(vary_colour(pixels, rng, 0.6), alpha, vary_colour(behind, rng, 1.2))
    if rng.random() < 0.5:
        pixels, alpha = pixels[:, ::-1], alpha[:, ::-1]
    return degrade(vary_colour(pixels, rng, 1.0), rng), alpha


def bend(pixels: Pixels, alpha: Alpha, rng: Generator) -> tuple[Pixels, Alpha]:
    """Other proportions and postures: picture and mask shifted by a smooth random field."""
    side = pixels.shape[0]
    shifts = rng.normal(0, _BEND * side, (_BEND_POINTS, _BEND_POINTS, 2))
    field = np.asarray(cv2.resize(shifts, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float32),) * 2)
    bent_pixels, bent_alpha = (
        np.asarray(
            cv2.remap(a, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )
        for a in (pixels, alpha)
    )
    return bent_pixels, bent_alpha


def _background(library: Library, rng: Generator, side: int) -> Pixels:
    kind = rng.random()
    if kind < 0.25 or not library.backgrounds:  # a studio wall: two colours, clouds between them, noise
        low, high = rng.uniform(0, 255, (2, 3))
        cells = int(rng.integers(2, 12))
        clouds = np.asarray(cv2.resize(rng.random((cells, cells)), (side, side), interpolation=cv2.INTER_CUBIC))
        wall = (
            low
            + (high - low) * clouds[..., None] * rng.uniform(0, 1)
            + rng.normal(0, rng.uniform(0, 8), (side, side, 1))
        )
        return _bytes(wall)
    photo = library.backgrounds[int(rng.integers(len(library.backgrounds)))]
    height, width = photo.shape[:2]
    size = min(height, width) * rng.uniform(0.4, 1.0)
    square = (rng.uniform(size / 2, width - size / 2), rng.uniform(size / 2, height - size / 2), size)
    out = crop(photo, square, side, None, rng.normal(0, 10))
    if rng.random() < 0.4:  # out of focus, as behind a portrait
        out = _blurred(out, rng.uniform(1, 8))
    return vary_colour(out[:, ::-1] if rng.random() < 0.5 else out, rng, 1.0)


def _over(pixels: Pixels, alpha: Alpha, background: Pixels) -> Pixels:
    share = alpha[..., None].astype(np.float32) / 255
    return _bytes(pixels * share + background * (1 - share))


def vary_colour(pixels: Pixels, rng: Generator, strength: float) -> Pixels:
    """Brightness, contrast, gamma, colour of the light, saturation, and light that falls from one side."""
    values = pixels.astype(np.float32) / np.float32(255)
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
    return _bytes(255 * values)


def degrade(pixels: Pixels, rng: Generator) -> Pixels:
    """What cameras and the web do: blur, a smaller size, noise, JPEG."""
    side = pixels.shape[0]
    if rng.random() < 0.3:
        pixels = _blurred(pixels, rng.uniform(0.4, 2.0))
    if rng.random() < 0.2:
        small = int(side * rng.uniform(0.3, 0.8))
        shrunk = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(cv2.resize(shrunk, (side, side)), dtype=np.uint8)
    if rng.random() < 0.25:
        noisy = pixels + rng.normal(0, rng.uniform(2, 14), pixels.shape)
        pixels = _bytes(noisy)
    if rng.random() < 0.3:
        pixels = decode(encode_jpeg(pixels, int(rng.integers(30, 90))), _MAX_PIXELS)
    return np.ascontiguousarray(pixels)


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def _bytes(values: NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
