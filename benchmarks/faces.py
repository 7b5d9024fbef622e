"""How fast photographs are judged: decode, find faces, place landmarks, pose, light, expression.

    python benchmarks/faces.py --data DIR [--workers 2] [--rounds 3] [--profile]

Measured on the pictures under DIR whose longer side is 1000 to 2000 px, against the plain loop of dlib's examples with
as many processes, in turns: decode, dlib's HOG detector over the whole picture, dlib's 68 landmarks once on the largest
face, then the same pose, light, colour and expression. `plain` searches the picture as it is, `plain_enlarged` at twice
its size, as the examples do. Rates are medians over the rounds. `equal` is the share of pictures that are kept or
dropped alike, `same_face` the share on which both see no face or the same main face. Prints one JSON line.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import dlib
import numpy as np

from manifests import weights
from pipeline import engine, geometry, images, pose, quality
from pipeline.faces import chip, detect, hog, landmark
from pipeline.faces.detect import Face
from pipeline.stage import Drop
from stages import emotion, landmarks

_LONGER_SIDE = range(1000, 2001)  # px
_MAX_PIXELS = 100_000_000
_SAME = 0.3  # boxes that share more (intersection over union) are the same face

Step = tuple[ModuleType, str, str]  # module, name of the function in it, name of the step
_STEPS: tuple[Step, ...] = (
    (images, "decode", "decode"),
    (landmarks, "_brighter_on_the_right", "mirror rule"),
    (landmarks, "_flipped", "mirror rule"),
    (detect, "find", "search: grey, shrink"),
    (hog, "_run", "search: HOG"),
    (detect, "_mmod", "search: CNN"),
    (landmarks, "close_up", "close-up"),
    (chip, "close_up", "close-up"),
    (landmark, "place_twice", "landmarks"),
    (landmarks, "measure", "colour, sharpness"),
    (pose, "head_pose", "pose"),
    (quality, "light", "light"),
    (landmarks, "cut", "chip"),
    (chip, "cut", "chip"),
    (emotion, "score", "expression"),
    (sys.modules[__name__], "search", "search: HOG"),  # of the plain loop
    (sys.modules[__name__], "place", "landmarks"),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a picture."""

    reason: str  # or "kept"
    box: geometry.Box | None  # of the main face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with photographs, searched below")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="also CPU time by step, in one process")
    arguments = parser.parse_args()
    files = pictures(arguments.data)
    found = measure(files, arguments.workers, arguments.rounds)
    if arguments.profile:
        engine.pin_threads()
        loops = {"ours": ours, "plain": partial(plain, enlarge=0)}
        found["cpu_ms_per_picture"] = {name: profile(loop, files, _STEPS) for name, loop in loops.items()}
    print(json.dumps(found, sort_keys=True))


def pictures(folder: Path) -> list[bytes]:
    """The contents of all pictures of the measured size, each content once."""
    found: dict[bytes, None] = {}
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


def measure(files: Sequence[bytes], workers: int, rounds: int) -> dict[str, object]:
    """Images per second of ours and of the plain loops, and how often they decide alike."""
    loops: dict[str, Callable[[bytes], Judged]] = {
        "ours": ours,
        "plain": partial(plain, enlarge=0),
        "plain_enlarged": partial(plain, enlarge=1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    results: dict[str, list[Judged]] = {}
    with ProcessPoolExecutor(workers, initializer=engine.pin_threads) as pool:
        for loop in loops.values():  # every process loads its networks before the clock starts
            list(pool.map(loop, files[: 4 * workers]))
        for _ in range(rounds):
            for name, loop in loops.items():
                start = time.perf_counter()
                results[name] = list(pool.map(loop, files))
                seconds[name].append(time.perf_counter() - start)
    rate = {name: len(files) / statistics.median(taken) for name, taken in seconds.items()}
    pairs = list(zip(results["ours"], results["plain"], strict=True))
    differ = Counter(f"{a.reason} / {b.reason}" for a, b in pairs if (a.reason == "kept") != (b.reason == "kept"))
    return {
        "benchmark": "faces",
        "pictures": len(files),
        "workers": workers,
        "images_per_s": {name: round(value, 2) for name, value in rate.items()},
        "speedup": round(rate["ours"] / rate["plain"], 2),
        "speedup_enlarged": round(rate["ours"] / rate["plain_enlarged"], 2),
        "equal": round(1.0 - differ.total() / len(pairs), 4),
        "same_face": round(statistics.fmean(_same_face(a, b) for a, b in pairs), 4),
        "differ": dict(differ),  # ours / plain
    }


def _same_face(a: Judged, b: Judged) -> bool:
    if a.box is None or b.box is None:
        return a.box is b.box
    return geometry.overlap(a.box, b.box) > _SAME


def ours(data: bytes) -> Judged:
    """The landmarks and emotion stages as they run."""
    return judged(landmarks.score({"image": data}, landmarks.Scoring()))


def plain(data: bytes, enlarge: int) -> Judged:
    """Detector and predictor on the whole picture; the same measurements and rules after them."""
    pixels = images.decode(data, _MAX_PIXELS)
    found = search(pixels, enlarge)
    if not found:
        return Judged("no_face", None)
    found.sort(key=lambda pair: -pair[0].area() * pair[1])
    at = place(pixels, found[0][0])
    faces = [Face((b.left(), b.top(), b.right() + 1.0, b.bottom() + 1.0), s) for b, s in found]
    close = chip.close_up(pixels, faces[0].box)
    return judged(landmarks.measure(close, faces, np.stack([at, at])) | {"chip": chip.cut(close.pixels)})


def search(pixels: images.Pixels, enlarge: int) -> list[tuple[Any, float]]:
    boxes, scores, _ = detector().run(pixels, enlarge, 0.0)
    return list(zip(boxes, scores, strict=True))


def place(pixels: images.Pixels, box: Any) -> geometry.Points:
    return np.array([(part.x, part.y) for part in predictor()(pixels, box).parts()], dtype=np.float64)


def judged(scores: dict[str, Any]) -> Judged:
    """`kept`, or why not; the expression is scored as the stage does, whatever landmarks decides."""
    emotion.score({"chip": scores["chip"], "fault": scores["fault"]}, emotion.Scoring())
    decision = landmarks.decide({}, scores, landmarks.Limits())
    return Judged(decision.reason if isinstance(decision, Drop) else "kept", scores["face_box"])


@cache
def detector() -> Any:
    return dlib.get_frontal_face_detector()


@cache
def predictor() -> Any:
    return dlib.shape_predictor(str(weights.path("dlib-68")))


def profile(loop: Callable[[bytes], object], files: Sequence[bytes], steps: Iterable[Step]) -> dict[str, float]:
    """CPU milliseconds per file of each step (steps within it not counted again), of all else, and in total."""
    for data in files[:8]:  # networks are loaded before the clock starts
        loop(data)
    seconds: defaultdict[str, float] = defaultdict(float)
    with ExitStack() as patches:
        for module, name, step in steps:
            timed = _timed(getattr(module, name), step, seconds)
            patches.enter_context(patch.object(module, name, timed))
        start = time.process_time()
        for data in files:
            loop(data)
        total = time.process_time() - start
    spent = seconds | {"other": total - sum(seconds.values()), "total": total}
    return {step: round(1000.0 * taken / len(files), 2) for step, taken in spent.items()}


def _timed(function: Callable[..., Any], step: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start, within = time.process_time(), sum(seconds.values())
        result = function(*args, **kwargs)
        # What steps within this one took is already counted as theirs.
        seconds[step] += time.process_time() - start - (sum(seconds.values()) - within)
        return result

    return timed


if __name__ == "__main__":
    main()
