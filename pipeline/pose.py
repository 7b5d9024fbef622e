"""Head pose from 68 landmarks: yaw, pitch and roll by PnP on a point model, and the left/right asymmetry."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline import geometry
from pipeline.geometry import MIRRORED, Points

# The right half (as seen in the picture) of an adult face in millimetres, the point between the pupils at the
# origin: x to the right, y down, z away from the camera. Round figures of an average adult (62 mm between pupils):
# 34 mm between the inner eye corners, 88 mm between the outer, nose 43 mm long and 16 mm proud of the lip,
# mouth 52 mm wide. Left out are the jaw, whose landmarks slide along the outline as the head turns, and the
# brows and lower lip, which move with expression.
_RIGHT_HALF_MM: Final = {
    27: (0, 0, -17), 28: (0, 11, -25), 29: (0, 23, -33), 30: (0, 33, -37),  # bridge to tip of the nose
    33: (0, 43, -21), 34: (7, 43, -19), 35: (13, 41, -15),  # nostrils
    42: (17, 1, 0), 43: (26, -4, -3), 44: (36, -4, -2), 45: (44, 1, 6), 46: (36, 3, 0), 47: (26, 3, -2),  # eye
    51: (0, 58, -21), 52: (6, 57, -20), 53: (16, 60, -14), 54: (26, 65, -3),  # upper lip
}  # fmt: skip

# The topmost jaw landmarks, beside the ears: far behind the eyes, so that they rise and fall as the head nods, and
# expression leaves them alone. They slide along the outline a little; this depth makes up for it.
_EAR_RIGHT, _EAR_RIGHT_MM = 16, (70, 4, 60)

CAMERA_MM: Final = 1500.0  # a portrait's usual distance; the pose of near-frontal faces hardly depends on it

# What a level, neutral face measures: the zero of pitch. Before it is taken off, dlib's landmarks measure 2.2 degrees
# too high (median) on AFLW2000-3D within 40 degrees of yaw, 1.5 on rendered heads of known pitch, and -0.1 on people
# told to look ahead (Yale, neutral). A smile lowers the answer by some 5 degrees, an open mouth raises it as much.
LEVEL_PITCH_DEG: Final = 1.0

# Faces differ in length, and a long face looks like a turned one. So the model may stretch: a priori by this standard
# deviation, against landmarks placed with this error (share of the pupil distance).
_STRETCH_SD, _LANDMARK_SD = 0.08, 0.03
_STRETCH_STEP: Final = 0.1  # of the parabola through three stretches
_MAX_STRETCH: Final = 0.3


def _model() -> tuple[list[int], NDArray[np.float64]]:
    at = {index: np.array(xyz, dtype=np.float64) for index, xyz in _RIGHT_HALF_MM.items()}
    at |= {MIRRORED[index]: xyz * (-1.0, 1.0, 1.0) for index, xyz in at.items()}
    used = sorted(at)
    return used, np.stack([at[index] for index in used])


USED, MODEL_MM = _model()
_EARS = [_EAR_RIGHT, MIRRORED[_EAR_RIGHT]]
_EARS_MM = np.array([_EAR_RIGHT_MM, _EAR_RIGHT_MM]) * [[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]]


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles of the head against the line of sight, degrees.

    The head is rolled, then turned, then nodded (the order of the AFLW2000-3D annotation): yaw is the angle of the
    face's normal out of the picture's vertical plane, so that yaw and pitch do not depend on roll.
    """

    yaw_deg: float  # positive towards the picture's right
    pitch_deg: float  # positive upwards
    roll_deg: float  # positive clockwise in the picture


def _solve(at: Points, model_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Rotation matrix, model to camera, that best projects the model onto the points, and the sum of squares left."""
    # The camera looks at the face itself and its focal length follows the face's size: so the pose is the one seen
    # along the line of sight, and neither cropping, shifting nor resizing the picture changes it.
    centre = at.mean(axis=0)
    focal_px = CAMERA_MM * np.linalg.norm(np.ptp(at, axis=0)) / np.linalg.norm(np.ptp(model_mm[:, :2], axis=0))
    camera = np.array([[focal_px, 0.0, centre[0]], [0.0, focal_px, centre[1]], [0.0, 0.0, 1.0]])
    # Starting from an upright frontal face keeps the solver out of the mirrored minimum behind the camera.
    start = np.zeros((3, 1)), np.array([[0.0], [0.0], [CAMERA_MM]])
    _, turn, shift = cv2.solvePnP(
        model_mm, at[:, None, :], camera, None, *start, useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE
    )
    projected = cv2.projectPoints(model_mm, turn, shift, camera, None)[0][:, 0]
    return np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64), float(((projected - at) ** 2).sum())


def _stretched(model_mm: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
    return model_mm * (1.0, 1.0 + stretch, 1.0)


def _best_stretch(at: Points, pupil_px: float) -> float:
    """Most probable stretch of the model: the lowest point of a parabola through three."""

    def cost(stretch: float) -> float:
        _, squares = _solve(at[USED], _stretched(MODEL_MM, stretch))
        return squares / (_LANDMARK_SD * pupil_px) ** 2 + (stretch / _STRETCH_SD) ** 2

    low, middle, high = cost(-_STRETCH_STEP), cost(0.0), cost(_STRETCH_STEP)
    bend = max(low - 2.0 * middle + high, 1e-9)
    return max(-_MAX_STRETCH, min(_MAX_STRETCH, 0.5 * _STRETCH_STEP * (low - high) / bend))


def _angles(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Yaw, pitch and roll in degrees of R = Rx(pitch) Ry(yaw) Rz(roll)."""
    yaw = math.asin(max(-1.0, min(1.0, -rotation[0, 2])))
    pitch = math.atan2(rotation[1, 2], rotation[2, 2])
    roll = math.atan2(-rotation[0, 1], rotation[0, 0])
    return np.degrees([yaw, pitch, roll])


def _one_side(landmarks: Points) -> NDArray[np.float64]:
    """Yaw, pitch and roll of the landmarks as they are."""
    # The eyes are levelled before solving and the tilt put back after: the solver starts near its answer.
    eyes = geometry.eye_centres(landmarks)
    dx, dy = eyes[1] - eyes[0]
    pupil_px = math.hypot(dx, dy)
    c, s = dx / pupil_px, dy / pupil_px
    tilt = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    level = landmarks @ tilt[:2, :2]
    stretch = _best_stretch(level, pupil_px)
    rigid = _angles(tilt @ _solve(level[USED], _stretched(MODEL_MM, stretch))[0])
    with_ears = np.concatenate([MODEL_MM, _EARS_MM])
    eared = _angles(tilt @ _solve(level[USED + _EARS], _stretched(with_ears, stretch))[0])
    # The ear points would spoil the yaw of a turned head; for pitch they count half.
    return np.array([rigid[0], 0.5 * (rigid[1] + eared[1]), rigid[2]])


def head_pose(landmarks: ArrayLike) -> Pose:
    """Yaw, pitch and roll of a head from its 68 landmarks (pixels).

    Perspective-n-point on the rigid points of a symmetric model; the landmarks and their mirror image are both
    solved and averaged, so that mirrored landmarks give the mirrored pose.
    """
    at = geometry.points(landmarks)
    yaw, pitch, roll = 0.5 * (_one_side(at) + _one_side(geometry.mirror(at, 1.0)) * (-1.0, 1.0, -1.0))
    return Pose(float(yaw), float(pitch) - LEVEL_PITCH_DEG, float(roll))


def alignment_residual(landmarks: ArrayLike) -> float:
    """How far the left landmarks are from mirroring the right ones: 0 for a symmetric, frontal face.

    The rigid landmarks are put upright with the pupils level, mirrored about the best vertical line, and their mean
    distance from their partners is given as a share of the pupil distance.
    """
    at = geometry.points(landmarks)
    eyes = geometry.eye_centres(at)
    upright = geometry.apply(geometry.similarity(eyes, [[-0.5, 0.0], [0.5, 0.0]]), at)
    here, partner = upright[USED], geometry.mirror(upright, 1.0)[USED]
    gap = here - partner
    gap[:, 0] -= gap[:, 0].mean()  # the best vertical line, in the least-squares sense
    return float(np.linalg.norm(gap, axis=1).mean())
