"""Neck, ears, shoulders and clothes: what a portrait shows beside the face."""

import numpy as np

from pipeline.world.canvas import Paint, cloud, colour, linear
from pipeline.world.head import Anatomy, Field, Points, bump, sweep

_NAVY, _GREY, _RED, _BLUE = (28, 32, 44), (70, 78, 92), (150, 42, 46), (36, 74, 112)
_WHITE, _GREEN, _SAND, _PLUM = (226, 224, 218), (42, 84, 62), (196, 164, 96), (96, 60, 96)
_CLOTHES = (_NAVY, _GREY, _RED, _BLUE, _WHITE, _GREEN, _SAND, _PLUM)


def neck_surface(a: Anatomy, azimuth: Field) -> Points:
    """Return the neck, points (3, rows, columns) in mm, in the frame of the shoulders."""
    half = (55.0 if a.male else 46.0) * (0.6 + 0.4 * a.widen) * (0.75 + 0.25 * a.jaw)
    low = a.chin_y + 62.0
    rows = [
        (30.0, half, -25.0, 50.0),
        (a.chin_y, half * 0.97, -22.0, 50.0),
        (low - 20.0, half * 1.05, -22.0, 56.0),
        (low, half * 1.4, -25.0, 66.0),
    ]
    return sweep(np.array(rows), 50, azimuth)


def torso_surface(a: Anatomy, azimuth: Field) -> Points:
    """Return shoulders and chest, points (3, rows, columns) in mm."""
    top = a.chin_y + 34.0
    wide = (205.0 if a.male else 172.0) * (0.5 + 0.5 * a.widen)
    rows = [
        (top, 62.0, -30.0, 56.0),
        (top + 14.0, 95.0, -30.0, 70.0),
        (top + 32.0, wide * 0.78, -32.0, 84.0),
        (top + 62.0, wide * 0.97, -32.0, 100.0),
        (top + 130.0, wide * 1.04, -32.0, 118.0),
        (top + 420.0, wide * 0.98, -32.0, 120.0),
    ]
    return sweep(np.array(rows), 60, azimuth)


def ear_surface(a: Anatomy, sign: float) -> Points:
    """Return one ear (sign -1: left in the picture) as a flattened dome, points (3, rows, columns), head frame, mm."""
    v, u = np.meshgrid(np.linspace(0.02, 0.98, 30), np.linspace(-0.5, 0.5, 24), indexing="ij")
    polar, turn = np.pi * v, np.pi * u
    out = np.sin(polar) * np.cos(turn)
    along = np.sin(polar) * np.sin(turn)
    lean = 10.0 * sign * out  # ears stand off the head
    x = sign * (69.0 * a.widen) + 0.9 * lean + sign * 2.5
    y = 10.0 - 31.0 * np.cos(polar) * (1.0 + 0.1 * along)
    z = -6.0 + 6.0 * out - 16.0 * along * sign - 4.0 * np.cos(polar)
    return np.stack([x + 3.0 * along, y, z]).astype(np.float32)


def ear_paint(shape: tuple[int, int], skin: Paint) -> Paint:
    """Skin, redder, with the dark shell of the ear in the middle."""
    down, across = (np.linspace(-1.0, 1.0, size, dtype=np.float32) for size in shape)
    v, u = np.meshgrid(down, across, indexing="ij")
    shell = bump(np.hypot(u, 0.9 * v), 0.42, 0.16)
    tone = skin * colour(0.98, 0.84, 0.82)
    paint: Paint = (tone[:, None, None] * (1.0 - 0.45 * shell)).astype(np.float32)
    return paint


def neck_paint(points: Points, a: Anatomy, skin: Paint) -> Paint:
    """Skin in the shadow of the chin."""
    y = points[1]
    shadow = np.clip((a.chin_y + 42.0 - y) / 34.0, 0.0, 1.0)
    sinew = 0.10 * bump(np.abs(points[0]) - 0.25 * (a.chin_y + 62.0 - y), 18.0, 5.0)
    paint: Paint = (skin[:, None, None] * (1.0 - 0.62 * shadow - sinew)).astype(np.float32)
    return paint


def clothes_paint(points: Points, a: Anatomy, skin: Paint, rng: np.random.Generator) -> Paint:
    """A shirt, jumper or jacket with a neckline, a placket or stripes."""
    x, y, _ = points
    top = a.chin_y + 34.0
    main = linear(_CLOTHES[rng.integers(len(_CLOTHES))]) * np.float32(rng.uniform(0.7, 1.2))
    second = linear(_CLOTHES[rng.integers(len(_CLOTHES))])
    paint = np.broadcast_to(main[:, None, None], points.shape).astype(np.float32)
    pattern = rng.integers(4)
    if pattern == 1:
        stripes = np.clip(4.0 * np.sin(y / rng.uniform(3.0, 7.0)), 0.0, 1.0)
        paint += stripes * (second[:, None, None] - paint)
    depth = rng.uniform(18.0, 75.0)
    neckline = np.clip((depth - (y - top) - np.abs(x) * rng.uniform(0.7, 1.3)) / 2.0, 0.0, 1.0)
    if pattern == 2:  # a shirt under a jacket
        shirt = np.clip((150.0 - (y - top) - np.abs(x) * 2.2) / 2.0, 0.0, 1.0)
        paint += shirt * (linear((228, 228, 226))[:, None, None] - paint)
        paint *= 1.0 - 0.5 * bump(np.abs(x), 0.0, 1.2) * shirt
    folds = 1.0 + 0.10 * cloud(rng, x.shape, 30.0) + 0.05 * cloud(rng, x.shape, 3.0)
    paint *= folds
    paint += neckline * (0.92 * skin[:, None, None] - paint)
    return paint
