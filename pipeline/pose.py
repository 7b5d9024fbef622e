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
# origin: x to the right, y down, z away from the camera. Rounded adult means (anthropometry after Farkas 1994):
# 34 mm between the inner eye corners, 88 mm between the outer, nose 43 mm long and 16 mm proud of the lip,
# mouth 52 mm wide. Left out are the jaw, whose landmarks slide along the outline as the head turns, and the
# brows and lower lip, which move with expression.
_RIGHT_HALF_MM: Final = {
    27: (0, 0, -17), 28: (0, 11, -25), 29: (0, 23, -33), 30: (0, 33, -37),  # bridge to tip of the nose
    33: (0, 43, -21), 34: (7, 43, -19), 35: (13, 41, -15),  # nostrils
    42: (17, 1, 0), 43: (26, -4, -3), 44: (36, -4, -2), 45: (44, 1, 6), 46: (36, 3, 0), 47: (26, 3, -2),  # eye
    51: (0, 58, -21), 52: (6, 57, -20), 53: (16, 60, -14), 54: (26, 65, -3),  # upper lip
}  # fmt: skip

CAMERA_MM: Final = 1500.0  # a portrait's usual distance; the pose of near-frontal faces hardly depends on it

# What a face held level measures with these landmarks and this model: the zero of pitch. Measured as the median
# error against the AFLW2000-3D pose annotation of faces within 40 degrees of yaw, dlib landmarks.
LEVEL_PITCH_DEG: Final = 3.0


def _model() -> tuple[list[int], NDArray[np.float64]]:
    at = {index: np.array(xyz, dtype=np.float64) for index, xyz in _RIGHT_HALF_MM.items()}
    at |= {MIRRORED[index]: xyz * (-1.0, 1.0, 1.0) for index, xyz in at.items()}
    used = sorted(at)
    return used, np.stack([at[index] for index in used])


USED, MODEL_MM = _model()


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles of the head against the line of sight, degrees.

    The head is rolled, then turned, then nodded (the order of the AFLW2000-3D annotation): yaw is the angle of the
    face's normal out of the picture's vertical plane, so that yaw and pitch do not depend on roll.
    """

    yaw_deg: float  # positive towards the picture's right
    pitch_deg: float  # positive upwards
    roll_deg: float  # positive clockwise in the picture


def _solve(at: Points) -> NDArray[np.float64]:
    """Rotation matrix, model to camera, from the landmarks `USED`."""
    # The camera looks at the face itself and its focal length follows the face's size: so the pose is the one seen
    # along the line of sight, and neither cropping, shifting nor resizing the picture changes it.
    centre = at.mean(axis=0)
    focal_px = CAMERA_MM * np.linalg.norm(np.ptp(at, axis=0)) / np.linalg.norm(np.ptp(MODEL_MM[:, :2], axis=0))
    camera = np.array([[focal_px, 0.0, centre[0]], [0.0, focal_px, centre[1]], [0.0, 0.0, 1.0]])
    # Starting from an upright frontal face keeps the solver out of the mirrored minimum behind the camera.
    start = np.zeros((3, 1)), np.array([[0.0], [0.0], [CAMERA_MM]])
    _, turn, _ = cv2.solvePnP(
        MODEL_MM, at[:, None, :], camera, None, *start, useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE
    )
    return np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)


def _angles(landmarks: Points) -> NDArray[np.float64]:
    """Yaw, pitch and roll in degrees of R = Rx(pitch) Ry(yaw) Rz(roll)."""
    # The eyes are levelled before solving and the tilt put back after: the solver starts near its answer.
    eyes = geometry.eye_centres(landmarks)
    dx, dy = eyes[1] - eyes[0]
    c, s = np.array([dx, dy]) / math.hypot(dx, dy)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    rotation = rotation @ _solve(landmarks[USED] @ rotation[:2, :2])
    yaw = math.asin(max(-1.0, min(1.0, -rotation[0, 2])))
    pitch = math.atan2(rotation[1, 2], rotation[2, 2])
    roll = math.atan2(-rotation[0, 1], rotation[0, 0])
    return np.degrees([yaw, pitch, roll])


def head_pose(landmarks: ArrayLike) -> Pose:
    """Yaw, pitch and roll of a head from its 68 landmarks (pixels).

    Perspective-n-point on the rigid points of a symmetric model; the landmarks and their mirror image are both
    solved and averaged, so that mirrored landmarks give the mirrored pose.
    """
    at = geometry.points(landmarks)
    yaw, pitch, roll = 0.5 * (_angles(at) + _angles(geometry.mirror(at, 1.0)) * (-1.0, 1.0, -1.0))
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
