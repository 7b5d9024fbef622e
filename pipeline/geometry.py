"""Geometry of faces in pictures: similarity transforms, boxes, and the 68 landmarks. Pure numpy.

Points are n x 2 arrays of (x, y) in pixels, x to the right and y down, with whole numbers at pixel centres.
Boxes are (left, top, right, bottom) at pixel edges, so that a whole picture is (0, 0, width, height).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # n x 2
Matrix = NDArray[np.float64]  # 2 x 3, maps a column (x, y, 1) to (x', y')
Box = tuple[float, float, float, float]

LEFT_EYE: Final = slice(36, 42)  # iBUG 300-W landmarks, from 0; left as seen in the picture
RIGHT_EYE: Final = slice(42, 48)

MIRRORED: Final = (  # the landmark that each one becomes when the picture is mirrored
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    27, 28, 29, 30,  # bridge of the nose
    35, 34, 33, 32, 31,  # nostrils
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,  # eyes
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,  # outer lip
    64, 63, 62, 61, 60, 67, 66, 65,  # inner lip
)  # fmt: skip

# Where the pupils of an aligned picture are, as shares of its side: about two of dlib's face boxes, head and shoulders.
PUPILS_Y: Final = 0.45
PUPIL_DISTANCE: Final = 0.20


def pupil_targets(side: int, pupils_y: float = PUPILS_Y, pupil_distance: float = PUPIL_DISTANCE) -> Points:
    """Left and right pupil, pixels of an aligned square of that side."""
    half = 0.5 * pupil_distance
    return points([[0.5 - half, pupils_y], [0.5 + half, pupils_y]]) * side - 0.5


def points(values: ArrayLike) -> Points:
    """A flat list x0 y0 x1 y1 ..., or an n x 2 array, as an n x 2 float64 array."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def similarity(source: ArrayLike, target: ArrayLike) -> Matrix:
    """The rotation, uniform scale and shift (no mirroring) that takes `source` closest to `target`.

    Least squares (Umeyama 1991); exact for two points. Raises ValueError where all source points coincide.
    """
    start, goal = points(source), points(target)
    start_centre, goal_centre = start.mean(axis=0), goal.mean(axis=0)
    # In the plane the solution is one complex number: scale and rotation, the regression of goal on start.
    a = (start - start_centre) @ np.array([1.0, 1.0j])
    b = (goal - goal_centre) @ np.array([1.0, 1.0j])
    energy = float(np.vdot(a, a).real)
    if energy == 0.0:
        raise ValueError("a similarity needs at least two different points")
    factor = np.vdot(a, b) / energy
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, goal_centre - linear @ start_centre])


def apply(matrix: Matrix, at: ArrayLike) -> Points:
    """Points after a transform."""
    return points(at) @ matrix[:, :2].T + matrix[:, 2]


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The transform that does `inner` first, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(matrix: Matrix) -> Matrix:
    """The transform that undoes this one. Raises numpy.linalg.LinAlgError where none does."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def scale_of(matrix: Matrix) -> float:
    """Length of a unit step after the transform (a similarity scales all directions alike)."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def resizing(box: Box, width: float, height: float) -> Matrix:
    """The transform that stretches `box` over a picture of width x height pixels, pixel edges on box edges."""
    left, top, right, bottom = box
    sx, sy = width / (right - left), height / (bottom - top)
    # Pixel centres lie half a pixel inside the edges, in both pictures.
    return np.array([[sx, 0.0, (0.5 - left) * sx - 0.5], [0.0, sy, (0.5 - top) * sy - 0.5]])


def mirror(at: ArrayLike, width: float) -> Points:
    """68 landmarks as they would be found in the mirrored picture of this width."""
    flipped = points(at)[list(MIRRORED)]
    flipped[:, 0] = width - 1.0 - flipped[:, 0]
    return flipped


def eye_centres(landmarks: ArrayLike) -> Points:
    """Centres of the left and right eye as seen in the picture (2 x 2): means of each eye's six landmarks."""
    at = points(landmarks)
    return np.stack([at[LEFT_EYE].mean(axis=0), at[RIGHT_EYE].mean(axis=0)])


def distance(a: ArrayLike, b: ArrayLike) -> float:
    """Distance between two points."""
    return float(np.linalg.norm(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)))


def landmark_error(found: ArrayLike, truth: ArrayLike) -> float:
    """Mean distance of 68 landmarks from the truth, as a share of the true pupil distance."""
    eyes = eye_centres(truth)
    return float(np.linalg.norm(points(found) - points(truth), axis=1).mean()) / distance(eyes[0], eyes[1])


def area(box: Box) -> float:
    """Area of a box; 0 where it is empty."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def longer_side(box: Box) -> float:
    """The longer of a box's width and height."""
    return max(box[2] - box[0], box[3] - box[1])


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = area(a) + area(b) - shared
    return shared / union if union > 0.0 else 0.0


def square(box: Box, factor: float = 1.0) -> Box:
    """The square on the box's centre whose side is `factor` times its longer side."""
    half = 0.5 * factor * longer_side(box)
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    return (x - half, y - half, x + half, y + half)


def bounds(at: ArrayLike) -> Box:
    """The smallest box that holds all points."""
    low, high = points(at).min(axis=0), points(at).max(axis=0)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
