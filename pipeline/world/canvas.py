"""Colours and brushes: a person's palette, and a canvas that is the surface of a head."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.world.head import Field, Points
from pipeline.world.traits import FaceTraits

Window = tuple[slice, slice]  # rows and columns of a grid
Paint = NDArray[np.float32]  # linear RGB: (3,) one colour, (3, rows, columns) a painted surface

_SKIN_TONES = np.array([[84, 54, 40], [120, 78, 57], [164, 116, 88], [205, 158, 130], [226, 186, 162], [238, 206, 188]])
_HAIR_TONES = np.array([[16, 13, 12], [34, 24, 18], [62, 40, 26], [98, 62, 36], [150, 108, 62], [196, 160, 104]])
_IRIS_TONES = np.array([[38, 22, 14], [72, 44, 22], [104, 88, 46], [92, 116, 96], [88, 120, 150]])
_GREY_HAIR = (168, 166, 162)


@dataclass(frozen=True, slots=True)
class Palette:
    """The linear RGB colours of one person."""

    skin: Paint
    lips: Paint
    hair: Paint
    brow: Paint
    iris: Paint


def linear(srgb: ArrayLike) -> Paint:
    """Linear light of 8-bit sRGB, by the 2.2 power."""
    light: Paint = (np.asarray(srgb, np.float32) / np.float32(255.0)) ** np.float32(2.2)
    return light


def colour(red: float, green: float, blue: float) -> Paint:
    """A colour, or a factor on one, as linear RGB."""
    return np.array([red, green, blue], np.float32)


def palette(traits: FaceTraits, age_years: float, male: bool) -> Palette:
    """Return a person's colours; hair turns grey from about fifty on."""
    skin = _tone(_SKIN_TONES, traits.skin)
    natural = _tone(_HAIR_TONES, traits.hair + min(0.0, 1.2 * traits.skin + 0.4))
    grey = float(np.clip((age_years - 48.0 - 4.0 * traits.hair_style) / 22.0, 0.0, 0.9)) * (1.0 if male else 0.8)
    hair = _mix(natural, linear(_GREY_HAIR), grey)
    brow = _mix(natural, linear(_GREY_HAIR), 0.5 * grey)
    red = colour(0.86, 0.47, 0.46) if male else colour(0.86, 0.36, 0.38)
    return Palette(
        skin=skin,
        lips=skin * red,
        hair=hair,
        brow=np.minimum(brow * 0.8, skin * 0.30).astype(np.float32),
        iris=_tone(_IRIS_TONES, traits.eye_colour),
    )


def _mix(first: Paint, second: Paint, share: float) -> Paint:
    """Mix two colours as the eye would judge the halves: by the 2.2 root."""
    root = np.float32(1 / 2.2)
    mixed: Paint = (first**root * np.float32(1.0 - share) + second**root * np.float32(share)) ** np.float32(2.2)
    return mixed


def _tone(tones: NDArray[np.int_], trait: float) -> Paint:
    """Read a scale of tones at a standard-normal trait (-1.8 .. 1.8 spans the scale)."""
    position = np.clip((trait + 1.8) / 3.6, 0.0, 1.0) * (len(tones) - 1)
    srgb = [np.interp(position, range(len(tones)), tones[:, k]) for k in range(3)]
    return linear(np.array(srgb))


class Canvas:
    """The points of the head and the paint on them; strokes touch only the rows and columns near them."""

    def __init__(self, points: Points, soft_mm: float, colours: Palette) -> None:
        self.x, self.y, self.z = points
        self.side = np.abs(self.x)
        self.soft_mm = soft_mm
        self.colours = colours
        self.albedo: Paint = np.broadcast_to(colours.skin[:, None, None], points.shape).astype(np.float32)

    def window(self, x0: float, x1: float, y0: float, y1: float) -> Window:
        """Rows and columns that hold every front point of a rectangle (mm)."""
        rows = np.flatnonzero((self.y[:, 0] >= y0) & (self.y[:, 0] <= y1))
        if not len(rows):
            return slice(0, 0), slice(0, 0)
        band = slice(int(rows[0]), int(rows[-1]) + 1)
        near = ((self.x[band] >= x0) & (self.x[band] <= x1) & (self.z[band] > 0)).any(axis=0)
        columns = np.flatnonzero(near)
        if not len(columns):
            return slice(0, 0), slice(0, 0)
        return band, slice(int(columns[0]), int(columns[-1]) + 1)

    def inside(self, distance: NDArray[np.floating]) -> Field:
        """Cover 0..1 of a signed distance (mm, positive inside), one soft edge wide."""
        cover: Field = np.clip(distance / np.float32(self.soft_mm) + np.float32(0.5), 0.0, 1.0)
        return cover

    def lay(self, where: Window, alpha: NDArray[np.floating], paint: Paint) -> None:
        """Paint over."""
        for plane, value in zip(self.albedo, paint, strict=True):
            patch = plane[where]
            patch += alpha * (np.float32(value) - patch)

    def tint(self, where: Window, alpha: NDArray[np.floating], factor: tuple[float, float, float]) -> None:
        """Multiply the colour by `factor` where alpha is one."""
        for plane, value in zip(self.albedo, factor, strict=True):
            plane[where] *= 1.0 + alpha * np.float32(value - 1.0)


def cloud(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> Field:
    """Smooth noise of about unit variance: random numbers `cell` grid points apart, interpolated."""
    rows, columns = shape
    small = rng.standard_normal((max(2, int(rows / cell)), max(2, int(columns / cell))), dtype=np.float32)
    noise = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return noise.astype(np.float32, copy=False)


EVERYWHERE: Window = (slice(None), slice(None))
