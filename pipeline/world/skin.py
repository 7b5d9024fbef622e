"""Paint a face: skin, beard and the marks of age, then its features, on the points of a head."""

import numpy as np

from pipeline.world.canvas import EVERYWHERE, Canvas, Paint, Palette, cloud
from pipeline.world.features import paint_brows, paint_eyes, paint_mouth, paint_nostrils
from pipeline.world.head import Anatomy, Field, Points, bump
from pipeline.world.traits import FaceTraits

_CREASE = (0.66, 0.60, 0.60)  # factor on the skin's colour at the bottom of a wrinkle
_SHAVEN_BELOW = 0.7  # beard trait; above it, a full beard


def paint_face(
    points: Points, a: Anatomy, traits: FaceTraits, colours: Palette, rng: np.random.Generator, pixel_mm: float
) -> tuple[Paint, Field]:
    """Return the albedo of every point (3, rows, columns; mm, head frame) of a head, and how glossy it is.

    `pixel_mm` is the width of a picture's pixel on the face: edges are drawn that soft and no detail finer.
    """
    canvas = Canvas(points, max(0.7, 0.9 * pixel_mm), colours)
    _complexion(canvas, a, traits, rng)
    _age(canvas, a)
    if a.male:
        _beard(canvas, a, traits, rng)
    paint_mouth(canvas, a)
    paint_nostrils(canvas, a)
    paint_eyes(canvas, a)
    paint_brows(canvas, a, rng)
    gloss = np.float32(0.035) + np.float32(0.05) * bump(canvas.side, 0.0, 12.0) * bump(canvas.y, 20.0, 30.0)
    return canvas.albedo, gloss


def _complexion(c: Canvas, a: Anatomy, traits: FaceTraits, rng: np.random.Generator) -> None:
    """Blotches and pores, red cheeks and nose, freckles of the fair, dark hollows of the eyes."""
    shape = c.x.shape
    blotch = 0.035 * cloud(rng, shape, 40.0) + 0.03 * cloud(rng, shape, 9.0) + 0.03 * cloud(rng, shape, 2.5)
    c.albedo *= 1.0 + blotch
    blush = bump(c.side, 44.0, 17.0) * bump(c.y, 36.0, 14.0) + bump(c.side, 0.0, 13.0) * bump(c.y, a.nose_y - 6.0, 9.0)
    c.tint(EVERYWHERE, np.minimum(blush, 1.0), (1.02, 0.86, 0.85))
    freckled = float(np.clip(traits.skin - 0.4, 0.0, 1.0) * np.clip(traits.hair - 0.2, 0.0, 1.0))
    if freckled > 0:
        spots = np.clip(cloud(rng, shape, 3.0) - 1.2, 0.0, 1.0) * bump(c.y, 25.0, 20.0) * freckled
        c.tint(EVERYWHERE, spots, (0.62, 0.45, 0.35))
    c.tint(EVERYWHERE, bump(c.side, a.eye_x, 17.0) * bump(c.y, 2.0, 12.0), (0.84, 0.77, 0.78))
    c.tint(EVERYWHERE, bump(c.side, a.eye_x - 17.0, 6.0) * bump(c.y, 2.0, 9.0), (0.76, 0.68, 0.68))


def _age(c: Canvas, a: Anatomy) -> None:
    """Folds beside the mouth, lines of the forehead, bags, crow's feet, the frown; expressions deepen them."""
    old = float(np.clip((a.age_years - 35.0) / 45.0, 0.0, 0.9))
    where = c.window(-60.0, 60.0, -75.0, 110.0)
    x, side, y = c.x[where], c.side[where], c.y[where]
    fold_x = a.nose_half_width + 4.0 + 0.42 * np.maximum(y - a.nose_y + 8.0, 0.0)
    fold = bump(side - fold_x, 0.0, 1.7) * bump(y, 0.55 * a.nose_y + 0.45 * a.mouth_y, 11.0)
    c.tint(where, np.minimum(fold * (0.10 + 0.45 * old + 0.7 * a.smile), 1.0), (0.62, 0.55, 0.55))
    lines = np.zeros_like(y)
    for number, level in enumerate((-64.0, -54.0, -44.0)):
        lines += bump(y - 1.2 * np.sin(x / 14.0 + number) - 0.002 * side**2, level, 1.0)
    lines *= bump(side, 0.0, 27.0) * np.float32(0.75 * old + 0.35 * a.surprise)
    c.tint(where, np.minimum(lines, 0.9), _CREASE)
    bag = bump(side, a.eye_x - 2.0, 11.0) * bump(y, 12.5 + 0.01 * a.age_years, 2.6)
    c.tint(where, np.minimum(bag * (0.25 + 0.6 * old), 1.0), (0.72, 0.64, 0.68))
    crow = np.zeros_like(y)
    for slope in (-0.35, 0.05, 0.45):
        crow += bump(y - slope * (side - a.eye_x - 17.0), 1.0, 0.8)
    crow *= bump(side, a.eye_x + 21.0, 4.0) * np.float32(0.7 * old + 0.4 * a.smile)
    c.tint(where, np.minimum(crow, 0.9), _CREASE)
    frown = bump(side, 5.0, 1.1) * bump(y, -18.0, 6.0) * np.float32(0.3 * old + 0.95 * a.scowl)
    c.tint(where, np.minimum(frown, 1.0), (0.50, 0.44, 0.44))


def _beard(c: Canvas, a: Anatomy, traits: FaceTraits, rng: np.random.Generator) -> None:
    """Shaven, stubble, or a full beard, as the trait rises."""
    full = traits.beard >= _SHAVEN_BELOW
    strength = 0.93 if full else float(np.clip(0.10 + 0.22 * (traits.beard + 0.6), 0.05, 0.45))
    where = c.window(-90.0, 90.0, a.nose_y - 12.0, a.chin_y + 20.0)
    side, y = c.side[where], c.y[where]
    # The beard's upper edge hangs low beside the mouth and climbs to the ear.
    edge = a.nose_y + 6.0 + 0.022 * np.maximum(46.0 - side, 0.0) ** 2 - 0.9 * np.maximum(side - 50.0, 0.0)
    below = np.clip((y - np.minimum(edge, a.mouth_y + 13.0)) / 6.0, 0.0, 1.0)
    moustache = np.clip((y - a.nose_y - 4.0) / 2.5, 0.0, 1.0) * np.clip((a.mouth_y + 4.0 - y) / 4.0, 0.0, 1.0)
    moustache *= np.clip((a.mouth_half_width + 3.0 - side) / 5.0, 0.0, 1.0)
    bare = 0.6 * np.clip((17.0 - side) / 5.0, 0.0, 1.0) * bump(y, a.mouth_y + a.lip_down + 5.0, 3.5)
    cover = np.clip(np.maximum(below, moustache) - bare, 0.0, 1.0) * (c.z[where] > -20.0)
    grain = 1.0 + 0.30 * cloud(rng, side.shape, 2.0)
    c.lay(where, np.clip(cover * strength * grain, 0.0, 0.96), 0.6 * c.colours.hair + 0.1 * c.colours.skin)
