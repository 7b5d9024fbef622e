"""Paint eyes, brows, mouth and nostrils on the points of a head (mm, y down from the eyes)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.world.canvas import Canvas, Window, cloud, colour
from pipeline.world.head import Anatomy, Field, bump

Real = NDArray[np.floating[Any]]

_MOUTH_INSIDE = colour(0.035, 0.010, 0.010)
_TEETH = colour(0.80, 0.76, 0.66)
_EYE_WHITE = colour(0.66, 0.62, 0.60)
_PUPIL = colour(0.008, 0.008, 0.008)
_GLINT = colour(1.0, 1.0, 1.0)
_IRIS_MM, _PUPIL_MM = 6.1, 2.6  # radii


def lip_lines(a: Anatomy, side: Real) -> tuple[Real, Real, Real, Real, Real]:
    """Heights (y) at a distance from the face's middle: the mouth's line, roof and floor, top and bottom of the red."""
    across = np.clip(side / a.mouth_half_width, 0.0, 1.0)
    taper = np.sqrt(1.0 - across**2)
    line = a.mouth_y - a.mouth_corner_up * across**2
    roof, floor = line - 0.42 * a.mouth_open * taper, line + 0.58 * a.mouth_open * taper
    bow = 1.0 - 0.22 * bump(side, 0.0, 2.1) + 0.12 * bump(side, 6.5, 2.8)  # Cupid's bow
    top = roof - a.lip_up * bow * (1.0 - across**1.5)
    return line, roof, floor, top, floor + a.lip_down * taper**1.3


def lid_lines(a: Anatomy, outward: Real) -> tuple[Real, Real]:
    """Edges (y, before the eye's slant) of the upper and the lower lid, at a distance outwards from the pupil."""
    across = np.clip(outward / a.eye_half_width, -1.0, 1.0)
    # The upper lid is highest a little towards the nose, the lower lid lowest a little outwards.
    upper = -a.eye_up * np.maximum(1.0 - np.abs(across + 0.10 * (1.0 - across**2)) ** 2.2, 0.0)
    lower = a.eye_down * np.maximum(1.0 - np.abs(across - 0.12 * (1.0 - across**2)) ** 2.0, 0.0)
    return upper, lower


def brow_ends(a: Anatomy) -> tuple[float, float]:
    """Distances of a brow's inner and outer end from the face's middle."""
    return a.brow_inner_x, a.eye_x + a.eye_half_width + 7.0


def brow_line(a: Anatomy, along: Real) -> Real:
    """Heights (y) of the middle of a brow, `along` it from 0 at the inner end to 1 at the outer one."""
    arch = 2.2 if a.male else 3.8
    middle: Real = a.brow_y + arch * (0.6 - np.sin(np.pi * np.clip(0.9 * along, 0.0, 1.0)))
    line: Real = (
        middle + 3.5 * np.clip(along - 0.6, 0.0, 1.0) + a.brow_inner_drop * np.clip(1.0 - 1.6 * along, 0.0, 1.2)
    )
    return line


def paint_mouth(c: Canvas, a: Anatomy) -> None:
    """Lips, what an open mouth shows, the seam of a closed one, corners, and the shadow under the lower lip."""
    w = a.mouth_half_width
    where = c.window(-w - 8.0, w + 8.0, a.mouth_y - 30.0, a.mouth_y + 45.0)
    side, y = c.side[where], c.y[where]
    line, roof, floor, top, bottom = lip_lines(a, side)
    taper = np.sqrt(1.0 - np.clip(side / w, 0.0, 1.0) ** 2)
    red = c.inside(np.minimum(y - top, bottom - y)) * (side < w + 1.0)
    c.lay(where, 0.88 * red, c.colours.lips)
    c.tint(where, red * (y < line), (0.80, 0.78, 0.78))
    c.tint(where, 0.8 * bump(side, 0.0, 16.0) * bump(y - bottom, 4.0, 2.6), (0.74, 0.70, 0.70))
    if a.mouth_open > 0.5:
        gap = c.inside(np.minimum(y - roof, floor - y)) * (side < w)
        c.lay(where, gap, _MOUTH_INSIDE)
        # Upper teeth hang from the lip in a smile; a surprised mouth shows little of them.
        reach, bright = (0.80, 1.0) if a.smile > 0 else (0.20, 0.7)
        teeth = gap * c.inside(roof + reach * a.mouth_open * taper - y) * np.clip((0.86 * w - side) / 4.0, 0.0, 1.0)
        c.lay(where, teeth, bright * _TEETH)
    else:
        seam = bump(y - line, 0.0, max(0.9, 0.8 * c.soft_mm)) * (side < w + 2.0)
        c.tint(where, 0.9 * seam, (0.22, 0.16, 0.16))
    corner = bump(side, w, 2.2) * bump(y, a.mouth_y - a.mouth_corner_up, 2.2)
    c.tint(where, 0.7 * corner, (0.45, 0.38, 0.38))


def paint_nostrils(c: Canvas, a: Anatomy) -> None:
    """Nostrils, the shadow under the nose, and the creases beside its wings."""
    w = a.nose_half_width
    where = c.window(-w - 8.0, w + 8.0, a.nose_y - 24.0, a.nose_y + 14.0)
    side, y = c.side[where], c.y[where]
    under = bump(side, 0.0, 0.62 * w) * bump(y, a.nose_y + 1.5, 2.8)
    c.tint(where, 0.55 * under, (0.58, 0.50, 0.50))
    hole = ((side - 0.46 * w) / (0.25 * w)) ** 2 + ((y - a.nose_y + 1.6 + 0.08 * side) / 2.3) ** 2
    c.lay(where, 0.92 * np.exp(-(hole**1.5)), 0.05 * c.colours.skin)
    c.tint(where, 0.6 * bump(side, 0.98 * w, 1.5) * bump(y, a.nose_y - 5.0, 5.0), (0.56, 0.48, 0.48))
    flank = bump(side, 0.55 * w, 3.0) * bump(y, 0.45 * a.nose_y, 0.3 * a.nose_y)
    c.tint(where, 0.22 * flank, (0.60, 0.55, 0.55))


def paint_eyes(c: Canvas, a: Anatomy) -> None:
    """Both eyes: ball, lids and lashes."""
    for sign in (-1.0, 1.0):
        where = c.window(sign * a.eye_x - 24.0, sign * a.eye_x + 24.0, -20.0, 18.0)
        outward = np.float32(sign) * c.x[where] - np.float32(a.eye_x)
        y = c.y[where] + a.eye_slant * outward / a.eye_half_width
        across = np.clip(outward / a.eye_half_width, -1.0, 1.0)
        upper, lower = lid_lines(a, outward)
        opening = c.inside(np.minimum(y - upper, lower - y)) * (np.abs(outward) < a.eye_half_width)
        _paint_ball(c, where, outward, across, opening)
        c.tint(where, opening * np.exp(-np.maximum(y - upper, 0.0) / 2.2), (0.45, 0.42, 0.42))  # the lid's shadow
        glint = bump(c.x[where], sign * a.eye_x + 1.8, 0.8) * bump(c.y[where], -2.0, 0.8)
        c.lay(where, 0.85 * opening * glint, _GLINT)
        _paint_lids(c, a, where, outward, y, upper, lower)


def _paint_ball(c: Canvas, where: Window, outward: Field, across: Field, opening: Field) -> None:
    """White, iris with a dark rim, pupil; an eye in a dark face lies in deeper shadow."""
    c.lay(where, opening, _EYE_WHITE * np.float32(0.72 + 0.6 * min(float(c.colours.skin.mean()), 0.5)))
    c.tint(where, opening * np.abs(across) ** 3, (0.80, 0.62, 0.60))
    radius = np.hypot(outward, c.y[where])
    iris = opening * c.inside(_IRIS_MM - radius)
    c.lay(where, iris, c.colours.iris)
    c.tint(where, iris * np.clip((radius - 4.2) / 1.9, 0.0, 1.0), (0.35, 0.35, 0.35))
    c.lay(where, opening * c.inside(_PUPIL_MM - radius), _PUPIL)


def _paint_lids(c: Canvas, a: Anatomy, where: Window, outward: Field, y: Field, upper: Real, lower: Real) -> None:
    """Upper lashes, the rim of the lower lid, the crease of the upper one, the inner corner."""
    reach = np.abs(outward) - a.eye_half_width
    lash_mm = (1.1 if a.male else 1.7) + 0.25 * c.soft_mm
    c.lay(where, 0.93 * bump(y - upper, -0.3, 0.75 * lash_mm) * (reach < 1.5), 0.04 * c.colours.skin)
    rim = bump(y - lower, 0.3, 0.8) * (reach < 0.0)
    c.tint(where, (0.45 if a.male else 0.60) * rim, (0.30, 0.24, 0.24))
    fold = 1.15 * upper - 3.4 + 1.3 * np.minimum(outward / a.eye_half_width, 1.0) ** 2
    c.tint(where, 0.55 * bump(y - fold, 0.0, 0.9) * (reach < 2.0), (0.50, 0.42, 0.42))
    inner = bump(outward, 0.8 - a.eye_half_width, 1.4) * bump(y, 0.0, 1.3)
    c.lay(where, 0.6 * inner, c.colours.skin * colour(0.90, 0.50, 0.48))


def paint_brows(c: Canvas, a: Anatomy, rng: np.random.Generator) -> None:
    """Both brows: arched, thinner outwards, made of hairs."""
    inner, outer = brow_ends(a)
    where = c.window(-outer - 4.0, outer + 4.0, a.brow_y - 16.0, a.brow_y + 18.0)
    side, y = c.side[where], c.y[where]
    along = np.clip((side - inner) / (outer - inner), -0.2, 1.2)
    middle = brow_line(a, along)
    half = 0.5 * a.brow_thick * np.clip(1.15 - 0.75 * along, 0.1, 1.0)
    body = np.clip((half - np.abs(y - middle)) / (1.3 * c.soft_mm) + 0.6, 0.0, 1.0)
    ends = np.clip((along + 0.06) / 0.12, 0.0, 1.0) * np.clip((1.05 - along) / 0.2, 0.0, 1.0)
    hairs = 1.0 + 0.13 * cloud(rng, side.shape, 2.8)
    c.lay(where, np.clip(0.90 * body * ends * hairs, 0.0, 0.97), c.colours.brow)
