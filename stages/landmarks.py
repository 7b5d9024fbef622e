"""Keep pictures of one clear, frontal, evenly lit face in colour: detection, 68 landmarks, head pose, light."""

from dataclasses import dataclass

import cv2
import numpy as np

from manifests.schema import CRAWL, FACE_SCORES, LANDMARKS
from manifests.settings import NotNegative, Positive
from pipeline import geometry, images, pose, quality, warp
from pipeline.faces import detect, landmark
from pipeline.faces.chip import CHIP_PX, CloseUp, close_up, cut
from pipeline.faces.detect import Detector, Face
from pipeline.faces.landmark import Pair
from pipeline.images import Pixels, Unreadable
from pipeline.stage import Drop, Row, RowStage

_COLOUR_BOXES = 2.0  # side of the square that colour is judged in: face, hair and some background


@dataclass(frozen=True, slots=True)
class Scoring:
    """What the networks' answers depend on."""

    detector: Detector = "dlib_hog"  # dlib_hog or dlib_cnn with dlib's landmarks; fan: S3FD with FAN's
    max_pixels: Positive = 100_000_000  # larger pictures are not decoded
    search_px: Positive = 512  # px, longer side of the first search for faces
    second_look_px: Positive | None = 400  # px, longer side for dlib's CNN where HOG finds none; null: no second look


@dataclass(frozen=True, slots=True)
class Limits:
    """What a face may measure; null turns a rule off."""

    max_rival_area: NotNegative | None = 0.45  # share of the main face's area that another face may have
    min_pupil_px: NotNegative | None = 30.0  # px of the original between the pupils
    max_landmark_spread: NotNegative | None = 0.05  # share of the pupil distance, as pipeline.faces.landmark.spread
    max_yaw_deg: NotNegative | None = 5.0  # degrees either way
    max_pitch_deg: NotNegative | None = 5.0  # degrees either way
    max_alignment_residual: NotNegative | None = 0.1  # share of the pupil distance
    min_colourfulness: NotNegative | None = 7.0  # grey levels, as pipeline.quality.colourfulness
    max_light_imbalance: NotNegative | None = 0.25  # share of the face's luminance
    max_light_contrast: NotNegative | None = 0.25  # share of the face's luminance


def score(row: Row, scoring: Scoring) -> Row:
    """Everything measured on a picture; `fault` says why nothing could be (then all else is null)."""
    try:
        pixels = images.decode(row["image"], scoring.max_pixels)
    except Unreadable as error:
        return _fault(error.reason, str(error))
    # A picture and its mirror image must fare alike, but detectors are not symmetric: so of the two, always the one
    # that is brighter on the left is measured, and the answers are mirrored back.
    mirrored = _brighter_on_the_right(pixels)
    seen = _flipped(pixels) if mirrored else pixels
    faces = detect.find(seen, scoring.detector, scoring.search_px, scoring.second_look_px)
    if not faces:
        return _fault("no_face", f"{scoring.detector} found none") | {"n_faces": 0}
    close = close_up(seen, faces[0].box)
    twice = landmark.place_twice(close.pixels, close.box(faces[0].box), scoring.detector)
    scores = measure(close, faces, np.stack([geometry.apply(geometry.invert(close.matrix), at) for at in twice]))
    if mirrored:
        scores |= _mirrored(scores, pixels.shape[1])
    return scores | {"chip": cut(close.pixels)}  # not flipped back: JPEG is not symmetric


def _fault(reason: str, detail: str) -> Row:
    return {column.name: None for column in FACE_SCORES.columns[1:]} | {"fault": reason, "fault_detail": detail}


def _flipped(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.flip(pixels, 1), dtype=np.uint8)


def _brighter_on_the_right(pixels: Pixels) -> bool:
    half = pixels.shape[1] // 2
    left, right = (sum(cv2.sumElems(part)) for part in (pixels[:, :half], pixels[:, pixels.shape[1] - half :]))
    return bool(right > left)


def measure(close: CloseUp, faces: list[Face], twice: Pair) -> Row:
    """The scores, but for the chip, of a picture whose faces (main one first) and main landmarks are known."""
    box = faces[0].box
    at = twice.mean(axis=0)
    eyes = geometry.eye_centres(at)
    head = pose.head_pose(at)
    near_box = close.box(box)
    imbalance, contrast = quality.light(close.pixels, geometry.apply(close.matrix, at))
    colour = warp.crop(close.pixels, geometry.square(near_box, _COLOUR_BOXES), CHIP_PX)
    return {
        "fault": None,
        "fault_detail": None,
        "n_faces": len(faces),
        "detection_score": faces[0].score,
        "rival_area": detect.rival_area(faces),
        "face_box": list(box),
        "landmarks": at.ravel().tolist(),
        "landmark_spread": landmark.spread(twice),
        "pupils": eyes.ravel().tolist(),
        "pupil_px": geometry.distance(eyes[0], eyes[1]),
        "yaw_deg": head.yaw_deg,
        "pitch_deg": head.pitch_deg,
        "roll_deg": head.roll_deg,
        "alignment_residual": pose.alignment_residual(at),
        "colourfulness": quality.colourfulness(colour),
        "light_imbalance": imbalance,
        "light_contrast": contrast,
        "sharpness": quality.sharpness(close.pixels, near_box),
    }


def _mirrored(scores: Row, width: int) -> Row:
    """The scores that differ in the mirrored picture."""
    left, top, right, bottom = scores["face_box"]
    at = geometry.mirror(scores["landmarks"], width)
    return {
        "face_box": [width - right, top, width - left, bottom],
        "landmarks": at.ravel().tolist(),
        "pupils": geometry.eye_centres(at).ravel().tolist(),
        "yaw_deg": -scores["yaw_deg"],
        "roll_deg": -scores["roll_deg"],
    }


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    """The first rule that a picture breaks, from the plainest to the subtlest; else the row with its scores."""
    if scores["fault"] is not None:
        return Drop(scores["fault"], detail=scores["fault_detail"])
    s = scores
    rules = (  # reason, measured, limit, +1: at most, -1: at least
        ("several_faces", s["rival_area"], limits.max_rival_area, 1),
        ("too_small", s["pupil_px"], limits.min_pupil_px, -1),
        ("unsure_landmarks", s["landmark_spread"], limits.max_landmark_spread, 1),
        ("yaw", abs(s["yaw_deg"]), limits.max_yaw_deg, 1),
        ("pitch", abs(s["pitch_deg"]), limits.max_pitch_deg, 1),
        ("asymmetric", s["alignment_residual"], limits.max_alignment_residual, 1),
        ("monochrome", s["colourfulness"], limits.min_colourfulness, -1),
        ("uneven_light", s["light_imbalance"], limits.max_light_imbalance, 1),
        ("shadow", s["light_contrast"], limits.max_light_contrast, 1),
    )
    for reason, value, limit, side in rules:
        if limit is not None and side * (value - limit) > 0.0:
            return Drop(reason, value, limit)
    return row | scores


def weights(scoring: Scoring) -> tuple[str, ...]:
    """The weight files of the chosen detector and landmarker."""
    return detect.WEIGHTS[scoring.detector] + landmark.WEIGHTS[scoring.detector]


STAGE = RowStage(
    name="landmarks",
    reads=CRAWL,
    writes=LANDMARKS,
    scores=FACE_SCORES,
    scoring=Scoring,
    limits=Limits,
    score=score,
    decide=decide,
    depends=("sha256",),
    payload=(("crawl", "image"),),
    weights=weights,
    version="4",
)
