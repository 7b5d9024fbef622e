"""Do the networks see the synthetic people as they see people, and does a voice predict a face? One JSON line.

python benchmarks/world.py [--people 300] [--expressions 100]
"""

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray

from manifests import weights
from manifests.schema import EMOTIONS
from pipeline import engine, geometry, pose, vad, warp
from pipeline.faces import chip, detect, emotion, landmark
from pipeline.frontend import PROFILES, mel
from pipeline.images import Pixels
from pipeline.world.ceiling import ceiling, recall_at
from pipeline.world.faces import Photo, photograph
from pipeline.world.scene import EXPRESSIONS, Expression, draw_scene
from pipeline.world.traits import draw_person
from pipeline.world.voices import speak

SEED = 7
GALLERY = 100  # people nobody was trained on
PLAUSIBLE = 0.15  # of the pupil distance: how far an eye's landmarks may lie from the true pupil
VOICE_S = 8.0
RIDGE = 10.0


@cache
def _models() -> tuple[Any, Any]:
    return (
        dlib.shape_predictor(str(weights.path("dlib-5"))),
        dlib.face_recognition_model_v1(str(weights.path("dlib-face"))),
    )


def embed(pixels: Pixels, box: geometry.Box) -> NDArray[np.float64]:
    """The 128 numbers that dlib's network gives a face."""
    aligner, network = _models()
    edges = dlib.rectangle(*(round(value) for value in box))
    return np.array(network.compute_face_descriptor(pixels, aligner(pixels, edges)))


def find(photo: Photo) -> geometry.Box | None:
    """The face that dlib's HOG detector finds."""
    faces = detect.find(photo.pixels, "dlib_hog", max(photo.pixels.shape), None)
    return faces[0].box if faces else None


def expression_of(photo: Photo, box: geometry.Box) -> str:
    """The likeliest expression by mini-XCEPTION."""
    seen = warp.crop(photo.pixels, geometry.square(box, chip.CHIP_BOXES), chip.CHIP_PX)
    return EMOTIONS[int(emotion.probabilities(seen[np.newaxis]).argmax())]


def voice_statistics(index: int) -> NDArray[np.float64]:
    """Mean and deviation of each log-mel band of one recording."""
    recording = speak(draw_person(SEED, index), index, VOICE_S)
    voiced = vad.voiced(recording.samples, vad.segments(recording.samples, "sf2f"))
    frames = mel(voiced, PROFILES["sf2f"]).astype(np.float64)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def faces(people: int) -> dict[str, Any]:
    """Detection, landmarks, pose and embedding of two clean pictures of each person."""
    embedded = np.full((people, 2, 128), np.nan)
    eyes, turned = [], []
    found, plausible, cpu_s = 0, 0, 0.0
    for index in range(people):
        rng = np.random.default_rng([SEED, index])
        for take in range(2):
            scene = draw_scene(rng)
            began = time.process_time()
            photo = photograph(draw_person(SEED, index), scene)
            cpu_s += time.process_time() - began
            box = find(photo)
            if box is None:
                continue
            at = landmark.place(photo.pixels, box, "dlib_hog")
            head = pose.head_pose(at)
            eyes.append(np.abs(geometry.eye_centres(at) - photo.pupils).max() / photo.pupil_px)
            turned.append((head.yaw_deg - scene.yaw_deg, head.pitch_deg - scene.pitch_deg))
            found, plausible = found + 1, plausible + (eyes[-1] <= PLAUSIBLE)
            embedded[index, take] = embed(photo.pixels, box)
    error = np.array(turned)
    return {
        "photo_cpu_ms": round(500 * cpu_s / people, 1),
        "detected": found / (2 * people),
        "plausible_landmarks": plausible / (2 * people),
        "pupil_error_p95": round(float(np.quantile(eyes, 0.95)), 3),
        "yaw_error_deg": [round(float(v), 2) for v in (np.median(error[:, 0]), error[:, 0].std())],
        "pitch_error_deg": [round(float(v), 2) for v in (np.median(error[:, 1]), error[:, 1].std())],
        "pose_error_below_5_deg": round(float((np.abs(error).max(axis=1) <= 5.0).mean()), 3),
        "rank1_of_100": first_ranked(embedded[-GALLERY:]),
        "voice_to_face": voice_to_face(embedded[:, 0]),
    }


def first_ranked(pairs: NDArray[np.float64]) -> float:
    """Share of people whose second picture is nearest to their first; a face not found is a miss."""
    distances = np.linalg.norm(pairs[:, None, 0] - pairs[None, :, 1], axis=2)
    distances[np.isnan(distances)] = np.inf
    hit = (distances.argmin(axis=1) == np.arange(len(pairs))) & np.isfinite(np.diagonal(distances))
    return float(hit.mean())


def voice_to_face(embedded: NDArray[np.float64]) -> dict[str, float]:
    """Recall@k of a ridge from voice statistics to the embedding, among the last people, trained on the others."""
    known = ~np.isnan(embedded[:, 0])
    voices = np.array([voice_statistics(index) for index in range(len(embedded))])
    train = np.flatnonzero(known[:-GALLERY])
    mean, scale = voices[train].mean(axis=0), voices[train].std(axis=0)
    x, y = (voices - mean) / scale, embedded - embedded[train].mean(axis=0)
    solved = np.linalg.solve(x[train].T @ x[train] + RIDGE * np.eye(x.shape[1]), x[train].T @ y[train])
    predicted, truth = (x @ solved)[-GALLERY:], np.nan_to_num(y[-GALLERY:])
    cosine = _unit(predicted) @ _unit(truth).T
    return {f"recall_at_{rank}": share for rank, share in recall_at(cosine).items()}


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)


def expressions(people: int) -> dict[str, float]:
    """Share of each drawn expression that mini-XCEPTION calls neutral, among the faces found."""
    judged: dict[Expression, list[bool]] = {kind: [] for kind in EXPRESSIONS}
    for index in range(people):
        scene = draw_scene(np.random.default_rng([SEED + 1, index]))
        for kind in EXPRESSIONS:
            photo = photograph(draw_person(SEED + 1, index), replace(scene, expression=kind))
            if box := find(photo):
                judged[kind].append(expression_of(photo, box) == "neutral")
    return {f"{kind}_called_neutral": round(float(np.mean(seen)), 3) for kind, seen in judged.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=300, help=f"the last {GALLERY} are the gallery")
    parser.add_argument("--expressions", type=int, default=100, help="people whose expressions are judged")
    options = parser.parse_args()
    engine.pin_threads()
    best = {f"recall_at_{rank}": round(share, 3) for rank, share in ceiling().items()}
    measured = faces(options.people) | expressions(options.expressions) | {"ceiling": best}
    print(json.dumps({"people": options.people} | measured))


if __name__ == "__main__":
    main()
