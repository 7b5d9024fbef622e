"""The shape of a head: measures in millimetres from traits and expression, and a curved surface from the measures.

Axes of the head: x to the right of the picture, y down, z towards the camera; the origin lies between the eyes'
height and the middle of the skull. Sizes start from average adult measures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from pipeline.world.scene import Expression
from pipeline.world.traits import FaceTraits, Person

Field = NDArray[np.float32]  # one number per grid point
Points = NDArray[np.float32]  # (3, ...): x, y, z in mm
HEAD_ROWS = 150
_LIMIT = 1.8  # standard deviations that a trait's effect on the shape approaches: the rarest stay human


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Measures of one face at one moment, in millimetres (y down from the eyes, z towards the camera)."""

    male: bool
    age_years: float
    widen: float  # factor on all widths of the skull
    jaw: float  # factor on the widths of the lower face, on top of `widen`
    chin_y: float
    chin_width: float
    eye_x: float  # half the distance of the pupils
    eye_half_width: float
    eye_up: float  # opening above the pupil
    eye_down: float
    eye_slant: float  # outer corner higher than the inner one
    brow_y: float  # middle of the brow, negative: above the eyes
    brow_inner_drop: float  # inner end lower than the middle (a scowl)
    brow_inner_x: float
    brow_thick: float
    nose_y: float  # underside of the nose
    nose_half_width: float
    nose_out: float  # how far the tip stands out
    mouth_y: float
    mouth_half_width: float
    mouth_open: float
    mouth_corner_up: float
    lip_up: float  # height of the red of the upper lip
    lip_down: float
    cheek: float  # fullness
    smile: float
    scowl: float
    surprise: float


def anatomy(person: Person, expression: Expression, intensity: float, age_offset_years: float) -> Anatomy:
    """Return the measures of a person's face under an expression of strength 0..1."""
    t = FaceTraits(*(_LIMIT * np.tanh(person.face.vector() / _LIMIT)).tolist())
    male = person.gender == "m"
    smile, surprise, scowl = ((expression == kind) * intensity for kind in ("smile", "surprise", "scowl"))
    eye_half_width = 14.6 + 0.9 * t.eyes
    eye_open = 1.0 + 0.15 * np.clip(t.eyes, -1.3, 1.5) - 0.22 * smile + 0.62 * surprise - 0.25 * scowl
    mouth_y = 60.5 + 1.8 * t.face_length + 1.5 * t.nose_length
    return Anatomy(
        male=male,
        age_years=float(np.clip(person.face.age_years + age_offset_years, 18.0, 80.0)),
        widen=1.0 + 0.050 * t.face_width + (0.015 if male else -0.02),
        jaw=1.0 + 0.065 * t.jaw_width + (0.03 if male else -0.04),
        chin_y=107.0 + 5.0 * t.face_length + 2.0 * t.chin + (2.0 if male else -3.0) + 13.0 * surprise,
        chin_width=1.0 + 0.13 * t.chin + (0.08 if male else -0.08),
        eye_x=31.5 + 1.7 * t.eye_spacing,
        eye_half_width=eye_half_width,
        eye_up=(4.4 if male else 4.8) * eye_open,
        eye_down=3.5 * (eye_open + 0.1 * surprise) - 0.9 * smile,
        eye_slant=1.0 + 0.4 * t.eye_spacing + (0.0 if male else 0.8),
        brow_y=-18.5 - 1.7 * t.brow + (1.2 if male else -1.5) - 8.5 * surprise + 5.0 * scowl,
        brow_inner_drop=2.2 + 9.5 * scowl - 3.0 * surprise,
        brow_inner_x=10.5 - 4.5 * scowl,
        brow_thick=(7.2 if male else 5.0) * float(np.exp(0.24 * t.brow)),
        nose_y=38.0 + 1.2 * t.nose_length + 0.7 * t.face_length,
        nose_half_width=(17.5 + 2.2 * t.nose_width) * (1.0 if male else 0.93) + 1.2 * smile,
        nose_out=14.5 + 1.4 * t.nose_length + (1.5 if male else 0.0),
        mouth_y=mouth_y + 4.0 * surprise,
        mouth_half_width=(25.0 + 1.6 * t.mouth) * (1.0 + 0.26 * smile - 0.22 * surprise),
        mouth_open=6.5 * smile + 21.0 * surprise,
        mouth_corner_up=0.2 + 5.8 * smile - 8.5 * scowl,
        lip_up=(5.2 if male else 6.2) * float(np.exp(0.22 * t.mouth)) * (1.0 - 0.35 * smile - 0.45 * scowl),
        lip_down=(7.0 if male else 8.0) * float(np.exp(0.22 * t.mouth)) * (1.0 - 0.25 * smile - 0.40 * scowl),
        cheek=t.face_width * 1.6 + (0.0 if male else 1.0),
        smile=float(smile),
        scowl=float(scowl),
        surprise=float(surprise),
    )


def sweep(profile: NDArray[np.float64], rows: int, azimuth: Field) -> Points:
    """Sweep an ellipse along a profile of rows (y, half width, centre z, half depth); return points (3, rows, columns).

    The rows come out equally far apart along the surface, so that none leaves a gap when it is drawn.
    """
    outline = np.stack([profile[:, 0], profile[:, 1], profile[:, 2] + profile[:, 3]])
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(outline, axis=1), axis=0))])
    y, half_width, centre_z, half_depth = PchipInterpolator(knots, profile)(np.linspace(0.0, knots[-1], rows)).T
    x = half_width[:, None] * np.sin(azimuth)[None, :]
    z = centre_z[:, None] + half_depth[:, None] * np.cos(azimuth)[None, :]
    return np.stack([x, np.broadcast_to(y[:, None], x.shape), z]).astype(np.float32)


def head_profile(a: Anatomy, offset: float = 0.0) -> NDArray[np.float64]:
    """Return the profile of the bare head from crown to chin, `offset` mm outside the skin."""
    w, j, chin, c = a.widen, a.widen * a.jaw, a.chin_y, a.chin_width
    rows = [
        (-116.0, 0.5, -12.0, 0.5),
        (-112.0, 26.0, -12.0, 38.0),
        (-103.0, 45.0, -12.0, 66.0),
        (-86.0, 60.0 * w, -10.0, 84.0),
        (-62.0, 71.0 * w, -8.0, 96.0),
        (-36.0, 75.0 * w, -6.0, 98.5),
        (-12.0, 74.0 * w, -5.0, 97.0),
        (10.0, 72.0 * w, -3.0, 94.0),
        (0.28 * chin, 69.5 * w, 0.0, 92.0),
        (0.45 * chin, 65.5 * w * (0.4 + 0.6 * a.jaw), 4.0, 88.5),
        (0.62 * chin, 58.5 * j, 10.0, 81.0),
        (0.77 * chin, 49.0 * j, 18.0, 72.0),
        (0.90 * chin, 35.0 * j * (0.5 + 0.5 * c), 28.0, 61.0),
        (0.97 * chin, 23.0 * j * c, 36.0, 50.0),
        (1.0 * chin, 14.0 * j * c, 42.0, 37.0),
        (1.02 * chin, 7.0, 42.0, 24.0),
        (1.03 * chin, 0.5, 36.0, 0.5),  # under the jaw
    ]
    profile = np.array(rows)
    # Move each row along the outline's normal, so that the crown rises while the temples widen.
    fall, spread = np.gradient(profile[:, 0]), np.gradient(profile[:, 1])
    length = np.hypot(fall, spread)
    profile[:, 0] -= offset * spread / length
    profile[1:, 1] += offset * (fall / length)[1:]
    profile[1:, 3] += offset * (fall / length)[1:]
    return profile


def head_surface(a: Anatomy, azimuth: Field) -> Points:
    """Return the head's skin as points (3, HEAD_ROWS, columns) in mm, features included."""
    points = sweep(head_profile(a), HEAD_ROWS, azimuth)
    x, y = points[0], points[1]
    front = np.clip(np.cos(azimuth), 0.0, 1.0)[None, :] ** 0.5
    side = np.abs(x)
    z = _brow_and_eyes(a, side, y) + _nose(a, side, y) + _mouth_and_chin(a, x, side, y)
    points[2] += (z * front).astype(np.float32)
    cheek = bump(side, 46.0, 17.0) * bump(y, 34.0 - 5.0 * a.smile, 17.0) * (2.0 + a.cheek + 4.0 * a.smile)
    hollow = bump(side, 50.0, 14.0) * bump(y, 62.0, 14.0) * (a.cheek - 2.0 - 0.04 * (a.age_years - 40.0))
    points[2] += (cheek + hollow) * front
    points[0] += np.sign(x) * 0.5 * (cheek + hollow)
    return points


def bump(x: NDArray[np.floating], centre: float, sigma: float) -> Field:
    """A Gaussian of height one."""
    height: Field = np.exp(np.float32(-0.5) * ((x - np.float32(centre)) / np.float32(sigma)) ** 2, dtype=np.float32)
    return height


def _brow_and_eyes(a: Anatomy, side: Field, y: Field) -> Field:
    ridge = bump(y, a.brow_y + 3.0, 6.5) * (bump(side, 27.0, 17.0) * (4.5 if a.male else 2.0))
    glabella = bump(side, 0.0, 9.0) * bump(y, -16.0, 9.0) * (1.5 if a.male else 0.0)
    socket = bump(side, a.eye_x - 2.0, 14.0) * bump(y, 0.0, 9.5) * -6.5
    inner = bump(side, 15.0, 6.0) * bump(y, -3.0, 9.0) * -6.0
    ball = bump(side, a.eye_x, 10.0) * bump(y, 0.0, 7.0) * 4.5
    bag = bump(side, a.eye_x, 11.0) * bump(y, 13.0, 3.5) * max(0.0, (a.age_years - 38.0) * 0.05)
    temple = bump(side, 66.0, 10.0) * bump(y, -35.0, 18.0) * -2.0
    relief: Field = ridge + glabella + socket + inner + ball + bag + temple
    return relief


def _nose(a: Anatomy, side: Field, y: Field) -> Field:
    tip_y = a.nose_y - 7.0
    along = np.clip((y + 8.0) / (tip_y + 8.0), 0.0, 1.0)
    below = np.exp(-0.5 * (np.maximum(y - tip_y, 0.0) / 4.2) ** 2)
    height = (2.0 + a.nose_out * along**1.25) * below * np.exp(-0.5 * (np.minimum(y + 6.0, 0.0) / 8.0) ** 2)
    half_width = 6.0 + (0.50 * a.nose_half_width - 4.0) * along**1.5
    bridge = np.exp(-((side / half_width) ** 2)) * height
    wing = bump(side, 0.70 * a.nose_half_width, 0.27 * a.nose_half_width) * bump(y, a.nose_y - 6.0, 5.0) * 8.5
    flank = bump(side, 0.0, 0.75 * a.nose_half_width) * bump(y, a.nose_y - 10.0, 10.0) * 4.0
    relief: Field = bridge + wing + flank
    return relief


def _mouth_and_chin(a: Anatomy, x: Field, side: Field, y: Field) -> Field:
    muzzle = bump(side, 0.0, 27.0) * bump(y, a.mouth_y, 19.0) * 4.0
    line_y = a.mouth_y - a.mouth_corner_up * (side / a.mouth_half_width) ** 2
    lip_width = 0.62 * a.mouth_half_width
    upper = bump(side, 0.0, lip_width) * bump(y - line_y, -0.55 * a.lip_up - 0.5 * a.mouth_open, 3.0) * 4.0
    lower = bump(side, 0.0, lip_width) * bump(y - line_y, 0.5 * a.lip_down + 0.5 * a.mouth_open, 3.8) * 4.5
    groove = bump(side, 0.0, lip_width * 1.2) * bump(y - line_y, 0.0, 1.6 + 0.35 * a.mouth_open) * -3.0
    dip_y = a.mouth_y + 0.5 * a.mouth_open + a.lip_down + 5.0
    dip = bump(side, 0.0, 19.0) * bump(y, dip_y, 5.0) * -3.5
    chin = bump(side, 0.0, 15.0 * a.chin_width) * bump(y, a.chin_y - 11.0, 9.0) * (6.0 if a.male else 4.5)
    philtrum = bump(side, 0.0, 2.5) * bump(y, 0.5 * (a.nose_y + a.mouth_y) - 1.0, 6.0) * -1.0
    corner = bump(side, a.mouth_half_width + 3.0, 4.0) * bump(y, a.mouth_y - a.mouth_corner_up, 5.0) * -2.0
    fold_x = a.nose_half_width + 5.0 + 0.42 * np.maximum(y - a.nose_y + 8.0, 0.0)
    depth = 0.6 + 0.035 * max(0.0, a.age_years - 30.0) + 2.5 * a.smile
    fold = bump(side - fold_x, 0.0, 3.0) * bump(y, 0.5 * (a.nose_y + a.mouth_y), 12.0) * -depth
    relief: Field = muzzle + upper + lower + groove + dip + chin + philtrum + corner + fold
    return relief
