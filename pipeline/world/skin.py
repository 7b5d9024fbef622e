"""Paint a face: skin, brows, eyes, lips, nostrils, beard and the marks of age, on the points of a head."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.head import Anatomy, Field, bump
from pipeline.world.traits import FaceTraits

Paint = NDArray[np.float32]  # linear RGB: (3,) one colour, (3, rows, columns) a painted surface

_SKIN_TONES = np.array([[62, 38, 28], [112, 72, 52], [164, 116, 88], [205, 158, 130], [226, 186, 162], [238, 206, 188]])
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


def linear(srgb: NDArray[np.floating] | tuple[int, int, int]) -> Paint:
    """Linear light of 8-bit sRGB, by the 2.2 power."""
    return ((np.asarray(srgb, np.float32) / 255.0) ** 2.2).astype(np.float32)


def palette(traits: FaceTraits, age_years: float, male: bool) -> Palette:
    """Return a person's colours; hair turns grey from about fifty on."""
    skin = _tone(_SKIN_TONES, traits.skin)
    natural = _tone(_HAIR_TONES, traits.hair + min(0.0, 1.2 * traits.skin + 0.4))
    grey = float(np.clip((age_years - 48.0 - 4.0 * traits.hair_style) / 22.0, 0.0, 0.9)) * (1.0 if male else 0.8)
    hair = _mix(natural, linear(_GREY_HAIR), grey)
    brow = _mix(natural, linear(_GREY_HAIR), 0.5 * grey)
    red = np.array([0.86, 0.47, 0.46] if male else [0.86, 0.36, 0.38], np.float32)
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


def paint_face(
    points: NDArray[np.float32], a: Anatomy, traits: FaceTraits, colours: Palette, rng: np.random.Generator, pixel_mm: float
) -> tuple[Paint, Field]:
    """Return the albedo of every point (mm, head frame) of a head and how glossy it is.

    `pixel_mm` is the width of a picture's pixel on the face: edges are drawn that soft and no detail finer.
    """
    canvas = _Canvas(points, max(0.7, 0.9 * pixel_mm), colours)
    _complexion(canvas, a, traits, rng)
    _age(canvas, a)
    if a.male:
        _beard(canvas, a, traits, rng)
    _mouth(canvas, a)
    _nostrils(canvas, a)
    _eyes(canvas, a)
    _brows(canvas, a, rng)
    gloss = np.full(points.shape[1:], 0.035, np.float32)
    gloss += 0.05 * bump(canvas.side, 0.0, 12.0) * bump(canvas.y, 20.0, 30.0)
    return canvas.albedo, gloss


class _Canvas:
    """The points of the head and the paint on them; strokes touch only the rows and columns near them."""

    def __init__(self, points: NDArray[np.float32], soft_mm: float, colours: Palette) -> None:
        self.x, self.y, self.z = points
        self.side = np.abs(self.x)
        self.soft_mm = np.float32(soft_mm)
        self.colours = colours
        self.albedo: Paint = np.broadcast_to(colours.skin[:, None, None], points.shape).astype(np.float32)

    def window(self, x0: float, x1: float, y0: float, y1: float) -> tuple[slice, slice]:
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

    def inside(self, distance: Field) -> Field:
        """Cover 0..1 of a signed distance (mm, positive inside), one soft edge wide."""
        return np.clip(distance / self.soft_mm + np.float32(0.5), 0.0, 1.0)

    def lay(self, where: tuple[slice, slice], alpha: Field, colour: Paint) -> None:
        """Paint over."""
        for plane, value in zip(self.albedo, colour, strict=True):
            patch = plane[where]
            patch += alpha * (np.float32(value) - patch)

    def tint(self, where: tuple[slice, slice], alpha: Field, factor: tuple[float, float, float]) -> None:
        """Multiply the colour by `factor` where alpha is one."""
        for plane, value in zip(self.albedo, factor, strict=True):
            plane[where] *= 1.0 + alpha * np.float32(value - 1.0)


def cloud(rng: np.random.Generator, rows: int, columns: int, cell: float) -> Field:
    """Smooth noise of unit variance: random numbers `cell` grid points apart, interpolated."""
    small = rng.standard_normal((max(2, int(rows / cell)), max(2, int(columns / cell))), dtype=np.float32)
    return cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)


EVERYWHERE = (slice(None), slice(None))


def _complexion(c: _Canvas, a: Anatomy, traits: FaceTraits, rng: np.random.Generator) -> None:
    shape = c.x.shape
    blotch = 0.035 * cloud(rng, *shape, 40.0) + 0.03 * cloud(rng, *shape, 9.0) + 0.03 * cloud(rng, *shape, 2.5)
    c.albedo *= 1.0 + blotch
    blush = bump(c.side, 44.0, 17.0) * bump(c.y, 36.0, 14.0) + bump(c.side, 0.0, 13.0) * bump(c.y, a.nose_y - 6.0, 9.0)
    c.tint(EVERYWHERE, np.clip(blush, 0.0, 1.0), (1.02, 0.86, 0.85))
    freckled = np.clip(traits.skin - 0.4, 0.0, 1.0) * np.clip(traits.hair - 0.2, 0.0, 1.0)
    if freckled > 0:
        spots = np.clip(cloud(rng, *shape, 3.0) - 1.2, 0.0, 1.0) * bump(c.y, 25.0, 20.0) * freckled
        c.tint(EVERYWHERE, spots.astype(np.float32), (0.62, 0.45, 0.35))
    socket = bump(c.side, a.eye_x, 17.0) * bump(c.y, 2.0, 12.0)
    c.tint(EVERYWHERE, socket, (0.84, 0.77, 0.78))
    inner = bump(c.side, a.eye_x - 17.0, 6.0) * bump(c.y, 2.0, 9.0)
    c.tint(EVERYWHERE, inner, (0.76, 0.68, 0.68))


def _age(c: _Canvas, a: Anatomy) -> None:
    old = float(np.clip((a.age_years - 35.0) / 45.0, 0.0, 0.9))
    where = c.window(-60.0, 60.0, -75.0, 110.0)
    x, side, y = c.x[where], c.side[where], c.y[where]
    fold_x = a.nose_half_width + 4.0 + 0.42 * np.maximum(y - a.nose_y + 8.0, 0.0)
    fold = np.exp(-0.5 * ((side - fold_x) / 1.7) ** 2) * bump(y, 0.55 * a.nose_y + 0.45 * a.mouth_y, 11.0)
    c.tint(where, np.clip(fold * (0.10 + 0.45 * old + 0.7 * a.smile), 0.0, 1.0), (0.62, 0.55, 0.55))
    lines = np.zeros_like(y)
    for k, level in enumerate((-64.0, -54.0, -44.0)):
        wave = level + 1.2 * np.sin(x / 14.0 + k) + 0.002 * side**2
        lines += np.exp(-0.5 * ((y - wave) / 1.0) ** 2) * bump(side, 0.0, 27.0)
    c.tint(where, np.clip(lines * (0.75 * old + 0.35 * a.surprise), 0.0, 0.9).astype(np.float32), (0.66, 0.60, 0.60))
    bag = bump(side, a.eye_x - 2.0, 11.0) * bump(y, 12.5 + 0.01 * a.age_years, 2.6)
    c.tint(where, np.clip(bag * (0.25 + 0.6 * old), 0.0, 1.0), (0.72, 0.64, 0.68))
    crow = np.zeros_like(y)
    for slope in (-0.35, 0.05, 0.45):
        crow += np.exp(-0.5 * ((y - 1.0 - slope * (side - a.eye_x - 17.0)) / 0.8) ** 2)
    crow *= bump(side, a.eye_x + 21.0, 4.0)
    c.tint(where, np.clip(crow * (0.7 * old + 0.4 * a.smile), 0.0, 0.9).astype(np.float32), (0.66, 0.60, 0.60))
    frown = np.exp(-0.5 * ((side - 5.0) / 1.1) ** 2) * bump(y, -18.0, 6.0)
    c.tint(where, np.clip(frown * (0.3 * old + 0.95 * a.scowl), 0.0, 1.0), (0.50, 0.44, 0.44))


def _beard(c: _Canvas, a: Anatomy, traits: FaceTraits, rng: np.random.Generator) -> None:
    """Shaven, stubble, or a full beard, as the trait rises."""
    strength = float(np.clip(0.10 + 0.22 * (traits.beard + 0.6), 0.05, 1.0)) if traits.beard < 0.7 else 0.93
    edge_y = 34.0 + 26.0 * np.exp(-(((c.side - 62.0) / 22.0) ** 2)) * -1.0
    area = np.clip((c.y - np.maximum(a.nose_y + 3.0, 0) + 0.0) / 4.0, 0.0, 1.0)
    cheek_line = a.nose_y + 6.0 + 0.022 * np.clip(46.0 - c.side, 0.0, None) ** 2 - 0.9 * np.clip(c.side - 50.0, 0.0, None)
    below = np.clip((c.y - np.minimum(cheek_line, a.mouth_y + 13.0)) / 6.0, 0.0, 1.0)
    moustache = np.clip((c.y - a.nose_y - 4.0) / 2.5, 0.0, 1.0) * np.clip((a.mouth_half_width + 3.0 - c.side) / 5.0, 0.0, 1.0)
    moustache *= np.clip((a.mouth_y + 4.0 - c.y) / 4.0, 0.0, 1.0)
    bare = np.clip((17.0 - c.side) / 5.0, 0.0, 1.0) * bump(c.y, a.mouth_y + a.lip_down + 5.0, 3.5) * 0.6
    del edge_y, area
    cover = np.clip(np.maximum(below, moustache) - bare, 0.0, 1.0) * (c.z > -20.0)
    grain = 1.0 + 0.30 * cloud(rng, *c.x.shape, 2.0)
    c.lay(EVERYWHERE, np.clip(cover * strength * grain, 0.0, 0.96).astype(np.float32), 0.6 * c.colours.hair + 0.1 * c.colours.skin)


def _mouth(c: _Canvas, a: Anatomy) -> None:
    w = a.mouth_half_width
    where = c.window(-w - 8.0, w + 8.0, a.mouth_y - 30.0, a.mouth_y + 45.0)
    side, y = c.side[where], c.y[where]
    across = np.clip(side / w, 0.0, 1.0)
    taper = np.sqrt(np.maximum(1.0 - across**2, 0.0))
    line = a.mouth_y - a.mouth_corner_up * across**2
    opening_up, opening_down = line - 0.42 * a.mouth_open * taper, line + 0.58 * a.mouth_open * taper
    bow = 1.0 - 0.22 * np.exp(-((side / 3.0) ** 2)) + 0.12 * np.exp(-(((side - 6.5) / 4.0) ** 2))
    top = opening_up - a.lip_up * bow * np.maximum(1.0 - across**1.5, 0.0)
    bottom = opening_down + a.lip_down * taper**1.3
    red = c.inside(np.minimum(y - top, bottom - y)) * (side < w + 1.0)
    c.lay(where, 0.88 * red, c.colours.lips)
    c.tint(where, red * (y < line), (0.80, 0.78, 0.78))
    shadow = bump(side, 0.0, 16.0) * np.exp(-0.5 * ((y - bottom - 4.0) / 2.6) ** 2)
    c.tint(where, 0.8 * shadow, (0.74, 0.70, 0.70))
    if a.mouth_open > 0.5:
        gap = c.inside(np.minimum(y - opening_up, opening_down - y)) * (side < w)
        c.lay(where, gap, np.array([0.035, 0.010, 0.010], np.float32))
        # Upper teeth hang from the lip in a smile; a surprised mouth shows little of them.
        reach = opening_up + (0.80 * a.mouth_open if a.smile > 0 else 0.20 * a.mouth_open) * taper
        teeth = gap * c.inside(reach - y) * np.clip((0.86 * w - side) / 4.0, 0.0, 1.0)
        c.lay(where, teeth, np.array([0.80, 0.76, 0.66], np.float32) * (1.0 if a.smile > 0 else 0.7))
    seam = np.exp(-0.5 * ((y - line) / max(0.9, 0.8 * float(c.soft_mm))) ** 2) * (side < w + 2.0) * (a.mouth_open < 0.5)
    c.tint(where, 0.9 * seam, (0.22, 0.16, 0.16))
    corner = bump(side, w, 2.2) * np.exp(-0.5 * ((y - a.mouth_y + a.mouth_corner_up) / 2.2) ** 2)
    c.tint(where, 0.7 * corner, (0.45, 0.38, 0.38))


def _nostrils(c: _Canvas, a: Anatomy) -> None:
    w = a.nose_half_width
    where = c.window(-w - 8.0, w + 8.0, a.nose_y - 24.0, a.nose_y + 14.0)
    side, y = c.side[where], c.y[where]
    under = bump(side, 0.0, 0.62 * w) * bump(y, a.nose_y + 1.5, 2.8)
    c.tint(where, 0.75 * under, (0.58, 0.50, 0.50))
    hole = ((side - 0.46 * w) / (0.25 * w)) ** 2 + ((y - a.nose_y + 1.6 + 0.08 * side) / 2.3) ** 2
    c.lay(where, 0.92 * np.exp(-(hole**1.5)), c.colours.skin * 0.05)
    groove = np.exp(-0.5 * ((side - 0.98 * w) / 1.5) ** 2) * bump(y, a.nose_y - 5.0, 5.0)
    c.tint(where, 0.6 * groove, (0.56, 0.48, 0.48))
    flank = np.exp(-0.5 * ((side - 0.55 * w) / 3.0) ** 2) * bump(y, 0.45 * a.nose_y, 0.3 * a.nose_y)
    c.tint(where, 0.22 * flank, (0.6, 0.55, 0.55))


def _eyes(c: _Canvas, a: Anatomy) -> None:
    for sign in (-1.0, 1.0):
        centre = sign * a.eye_x
        where = c.window(centre - 24.0, centre + 24.0, -20.0, 18.0)
        outward, y = sign * (c.x[where] - centre), c.y[where] + a.eye_slant * sign * (c.x[where] - centre) / a.eye_half_width
        across = np.clip(outward / a.eye_half_width, -1.0, 1.0)
        # The upper lid is highest a little towards the nose, the lower lid lowest a little outwards.
        upper = -a.eye_up * np.maximum(1.0 - np.abs(across + 0.10 * (1 - across**2)) ** 2.2, 0.0)
        lower = a.eye_down * np.maximum(1.0 - np.abs(across - 0.12 * (1 - across**2)) ** 2.0, 0.0)
        within = np.abs(outward) < a.eye_half_width
        opening = c.inside(np.minimum(y - upper, lower - y)) * within
        lid_shadow = np.exp(-np.maximum(y - upper, 0.0) / 2.2)
        white = np.array([0.66, 0.62, 0.60], np.float32) * np.float32(0.72 + 0.6 * min(c.colours.skin.mean(), 0.5))
        c.lay(where, opening, white)
        c.tint(where, opening * np.abs(across) ** 3, (0.8, 0.62, 0.60))
        radius = np.hypot(outward + 0.0, c.y[where])
        iris = opening * c.inside(6.1 - radius)
        c.lay(where, iris, c.colours.iris)
        c.tint(where, iris * np.clip((radius - 4.2) / 1.9, 0.0, 1.0), (0.35, 0.35, 0.35))
        c.lay(where, opening * c.inside(2.6 - radius), np.array([0.008, 0.008, 0.008], np.float32))
        c.tint(where, opening * lid_shadow, (0.45, 0.42, 0.42))
        glint = np.exp(-0.5 * (((c.x[where] - centre - 1.8) ** 2 + (c.y[where] + 2.0) ** 2) / 0.8**2))
        c.lay(where, 0.85 * opening * glint, np.array([1.0, 1.0, 1.0], np.float32))
        lash = (1.1 if a.male else 1.7) + 0.25 * float(c.soft_mm)
        line = np.exp(-0.5 * ((y - upper + 0.3) / (0.75 * lash)) ** 2) * (np.abs(outward) < a.eye_half_width + 1.5)
        c.lay(where, 0.93 * line, c.colours.skin * 0.04)
        rim = np.exp(-0.5 * ((y - lower - 0.3) / 0.8) ** 2) * within
        c.tint(where, (0.45 if a.male else 0.6) * rim, (0.30, 0.24, 0.24))
        crease = np.exp(-0.5 * ((y - 1.15 * upper + 3.4 - 1.3 * across**2) / 0.9) ** 2) * (np.abs(outward) < a.eye_half_width + 2)
        c.tint(where, 0.55 * crease, (0.50, 0.42, 0.42))
        caruncle = np.exp(-0.5 * (((outward + a.eye_half_width - 0.8) / 1.4) ** 2 + (y / 1.3) ** 2))
        c.lay(where, 0.6 * caruncle, c.colours.skin * np.array([0.9, 0.5, 0.48], np.float32))


def _brows(c: _Canvas, a: Anatomy, rng: np.random.Generator) -> None:
    inner, outer = a.brow_inner_x, a.eye_x + a.eye_half_width + 7.0
    where = c.window(-outer - 4.0, outer + 4.0, a.brow_y - 16.0, a.brow_y + 18.0)
    side, y = c.side[where], c.y[where]
    along = np.clip((side - inner) / (outer - inner), -0.2, 1.2)
    arch = 2.2 if a.male else 3.8
    middle = a.brow_y - arch * np.sin(np.pi * np.clip(along * 0.9, 0.0, 1.0)) + arch * 0.6 + 3.5 * np.clip(along - 0.6, 0, 1)
    middle = middle + a.brow_inner_drop * np.clip(1.0 - along * 1.6, 0.0, 1.2)
    half = 0.5 * a.brow_thick * np.clip(1.15 - 0.75 * along, 0.1, 1.0)
    body = np.clip((half - np.abs(y - middle)) / (1.3 * c.soft_mm) + 0.6, 0.0, 1.0)
    ends = np.clip((along + 0.06) / 0.12, 0.0, 1.0) * np.clip((1.05 - along) / 0.2, 0.0, 1.0)
    hairs = 1.0 + 0.22 * cloud(rng, *side.shape, 2.2)
    c.lay(where, np.clip(0.90 * body * ends * hairs, 0.0, 0.97).astype(np.float32), c.colours.brow)
