"""Hair as a second shell around the skull: where it grows, how it hangs, and its strands."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.canvas import Paint
from pipeline.world.head import Anatomy, Field, Points, bump, head_profile, sweep
from pipeline.world.traits import FaceTraits

HAIR_ROWS = 120
_BELOW_EARS_Y = 40.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A haircut, in millimetres."""

    thick: float  # how far the shell stands off the skull
    tip_y: float  # where the hair ends at the sides (y down from the eyes)
    hairline_y: float  # in the middle of the forehead
    recede: float  # how much higher the hairline is at the temples
    opening: float  # half width of the face left free
    fringe_slope: float  # hairline falls by this much across the forehead
    parting_x: float
    curl: float  # 0 straight .. 1 wavy
    flare: float  # how much wider the tips are than the skull

    @property
    def short(self) -> bool:
        """Whether the ears are free."""
        return self.tip_y < _BELOW_EARS_Y


def cut(traits: FaceTraits, a: Anatomy) -> Cut:
    """Return the haircut of a person: short hair and receding hairlines for men, from a crop to long hair for women."""
    style, w = traits.hair_style, a.widen
    if a.male:
        parted = float(np.sign(traits.masculinity - 0.7))  # on which side
        loss = float(np.clip((a.age_years - 38.0) / 30.0 - 0.4 * style, 0.0, 1.3))
        return Cut(
            thick=float(np.clip(8.0 + 4.0 * style, 2.5, 18.0)),
            tip_y=6.0 + 6.0 * max(style, 0.0),
            hairline_y=-64.0 - 26.0 * loss,
            recede=6.0 + 18.0 * loss,
            opening=68.0 * w,
            fringe_slope=6.0 * parted,
            parting_x=32.0 * parted,
            curl=float(np.clip(0.35 - 0.5 * traits.hair, 0.0, 1.0)),
            flare=0.0,
        )
    fringe, parted = traits.masculinity < -0.95, float(np.sign(traits.masculinity + 0.45))
    return Cut(
        thick=float(np.clip(12.0 + 3.0 * style, 7.0, 18.0)),
        tip_y=22.0 if style < -1.0 else float(np.clip(105.0 + 60.0 * style, 60.0, 210.0)),
        hairline_y=-40.0 if fringe else -66.0,
        recede=0.0 if fringe else 4.0,
        opening=63.0 * w,
        fringe_slope=4.0 if fringe else 7.0 * parted,
        parting_x=30.0 * parted,
        curl=float(np.clip(0.4 - 0.45 * traits.hair, 0.0, 1.0)),
        flare=float(np.clip(6.0 + 7.0 * style, 0.0, 20.0)),
    )


def hair_surface(a: Anatomy, c: Cut, azimuth: Field) -> Points:
    """Return the hair shell as points (3, HAIR_ROWS, columns) in the head's frame, mm."""
    skull = head_profile(a, c.thick)
    skull[:4, 0] -= 0.25 * c.thick  # more volume on top
    skull = skull[skull[:, 0] < 12.0]
    if c.short:  # cut closer towards the ears, which stand out of it
        closer = 0.75 * c.thick * np.clip((skull[:, 0] + 80.0) / 80.0, 0.0, 1.0)
        skull[:, 1] -= closer
        skull[:, 3] -= closer
    width = skull[-1, 1]
    tip = max(c.tip_y, 16.0)
    hang = [
        (12.0 + 0.35 * (tip - 12.0), width + 0.3 * c.flare, -7.0, 95.0),
        (12.0 + 0.7 * (tip - 12.0), width + 0.8 * c.flare, -14.0, 88.0),
        (tip, width + c.flare, -20.0, 78.0),
    ]
    points = sweep(np.vstack([skull, hang]), HAIR_ROWS, azimuth)
    wave = c.curl * 2.2 * np.sin(points[1] / 11.0 + 3.0 * np.sin(2.0 * azimuth)[None, :])
    points[0] += wave * np.sin(azimuth)[None, :]
    return points


def grows(points: Points, c: Cut, strands: Field) -> NDArray[np.bool_]:
    """Return which points of the (fine) shell carry hair; the strand pattern makes the edges ragged."""
    x, y, z = points
    side = np.abs(x)
    line = c.hairline_y - c.recede * bump(side, 40.0, 11.3) + c.fringe_slope * x / 60.0
    up = np.maximum((18.0 - y) / np.maximum(18.0 - line, 1.0), 0.0)
    edge = (side / c.opening) ** 3.2 + up**3.2 - 1.0  # negative inside the opening for the face
    ragged = np.clip((8.0 - y) / 40.0, 0.0, 1.0)  # below the temples the edge hangs straight
    face = (edge < 0.10 * strands * ragged) & (z > -25.0)
    bare: NDArray[np.bool_] = face | (y > c.tip_y + 5.0 * strands)
    if c.short:
        bare |= (y > c.tip_y - 12.0 + 5.0 * strands) & (side > c.opening)  # round the ears
        bare |= (y > 4.0 + 4.0 * strands) & (z > -30.0)  # sideburns
    return ~bare


def hair_paint(points: Points, c: Cut, hair: Paint, strands: Field) -> tuple[Paint, Field]:
    """Return the albedo and the gloss of the shell: strands, a parting, and the dark of hair under other hair."""
    x, y, _ = points
    parting = bump(x - 0.1 * y, c.parting_x, 1.1) * (y < -80.0)
    depth = np.clip(1.0 + 0.26 * strands, 0.35, 1.8) * (1.0 - 0.5 * parting)
    depth *= np.clip(1.0 - 0.0022 * (y + 60.0), 0.55, 1.1)
    gloss: Field = 0.10 * np.clip(0.6 + 0.5 * strands, 0.0, 1.6) * np.float32((0.25 + float(hair.mean())) ** 0.5)
    return hair[:, None, None] * depth, gloss


def strand_pattern(rng: np.random.Generator, rows: int, columns: int, curl: float) -> Field:
    """Streaks along the rows, about unit variance: coarse locks and fine strands."""
    locks = rng.standard_normal((4 + int(10 * curl), max(4, columns // 14)), dtype=np.float32)
    fine = rng.standard_normal((6 + int(20 * curl), max(4, columns // 3)), dtype=np.float32)
    size = (columns, rows)
    coarse = cv2.resize(locks, size, interpolation=cv2.INTER_CUBIC)
    strands: Field = 0.7 * coarse + 0.7 * cv2.resize(fine, size, interpolation=cv2.INTER_LINEAR)
    return strands
