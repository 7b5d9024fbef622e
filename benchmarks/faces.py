"""How fast photographs are judged: decode, find faces, place landmarks, pose, light, expression.

    python benchmarks/faces.py --data DIR [--workers 2] [--rounds 3]

Measured on the pictures under DIR whose longer side is 1000 to 2000 px, against the plain dlib loop (detector and
predictor on the whole picture, as in dlib's examples, with and without enlarging it once), with as many processes,
in turns. Rates are medians over the rounds; `equal` is the share of pictures that are kept or dropped alike.
Prints one JSON line.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import dlib
import numpy as np

from manifests import weights
from pipeline import engine, images
from pipeline.faces import chip
from pipeline.faces.detect import Face
from pipeline.stage import Drop
from stages import emotion, landmarks

_LONGER_SIDE = range(1000, 2001)  # px
_MAX_PIXELS = 100_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with photographs, searched below")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(pictures(arguments.data), arguments.workers, arguments.rounds), sort_keys=True))


def pictures(folder: Path) -> list[bytes]:
    """The contents of all pictures of the measured size, each content once."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() in (".jpg", ".jpeg", ".jfif", ".png", ".webp"):
            data = path.read_bytes()
            try:
                header = images.header(data, _MAX_PIXELS)
            except images.Unreadable:
                continue
            if max(header.width, header.height) in _LONGER_SIDE:
                found[data] = None
    return list(found)


def measure(files: list[bytes], workers: int, rounds: int) -> dict[str, object]:
    """Images per second of ours and of the plain loops, and how often they decide alike."""
    loops: dict[str, Callable[[bytes], str]] = {
        "ours": ours,
        "plain": partial(plain, enlarge=0),
        "plain_enlarged": partial(plain, enlarge=1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    reasons: dict[str, list[str]] = {}
    with ProcessPoolExecutor(workers, initializer=engine.pin_threads) as pool:
        for loop in loops.values():  # every process loads its networks before the clock starts
            list(pool.map(loop, files[: 4 * workers]))
        for _ in range(rounds):
            for name, loop in loops.items():
                start = time.perf_counter()
                reasons[name] = list(pool.map(loop, files))
                seconds[name].append(time.perf_counter() - start)
    rate = {name: len(files) / statistics.median(taken) for name, taken in seconds.items()}
    alike = [(a == "kept") == (b == "kept") for a, b in zip(reasons["ours"], reasons["plain"], strict=True)]
    return {
        "benchmark": "faces",
        "pictures": len(files),
        "workers": workers,
        "images_per_s": {name: round(value, 2) for name, value in rate.items()},
        "speedup": round(rate["ours"] / rate["plain"], 2),
        "speedup_enlarged": round(rate["ours"] / rate["plain_enlarged"], 2),
        "equal": round(sum(alike) / len(alike), 4),
    }


def ours(data: bytes) -> str:
    """The landmarks and emotion stages as they run."""
    return judged(landmarks.score({"image": data}, landmarks.Scoring()))


def plain(data: bytes, enlarge: int) -> str:
    """Detector and predictor on the whole picture; the same measurements and rules after them."""
    pixels = images.decode(data, _MAX_PIXELS)
    boxes, scores, _ = detector().run(pixels, enlarge, 0.0)
    if not boxes:
        return "no_face"
    found = sorted(zip(boxes, scores, strict=True), key=lambda pair: -pair[0].area() * pair[1])
    at = np.array([(part.x, part.y) for part in predictor()(pixels, found[0][0]).parts()], dtype=np.float64)
    faces = [Face((b.left(), b.top(), b.right() + 1.0, b.bottom() + 1.0), float(s)) for b, s in found]
    return judged(landmarks.measure(pixels, faces, np.stack([at, at])) | {"chip": chip.cut(pixels, faces[0].box)})


def judged(scores: dict[str, Any]) -> str:
    """`kept`, or why not; the expression is scored as the stage does, whatever landmarks decides."""
    emotion.score({"chip": scores["chip"], "fault": scores["fault"]}, emotion.Scoring())
    decision = landmarks.decide({}, scores, landmarks.Limits())
    return decision.reason if isinstance(decision, Drop) else "kept"


@cache
def detector() -> Any:
    return dlib.get_frontal_face_detector()


@cache
def predictor() -> Any:
    return dlib.shape_predictor(str(weights.path("dlib-68")))


if __name__ == "__main__":
    main()
