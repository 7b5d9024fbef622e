"""How well the shipped segmenter tells people from background: mean IoU on photographs it was never trained on.

    python benchmarks/segmenter.py --data DIR

DIR holds `images/` and `masks/`. Measured on the third of the photographs whose sha256 is divisible by 3, on the
square of three face boxes around the largest face that dlib finds, pixels outside the photograph left out.
Beside it: the refined matte, and GrabCut seeded by the mean mask of the other two thirds. Prints one JSON line.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from manifests import weights
from pipeline import matte
from pipeline.faces import segmenter
from pipeline.faces.segmenter_data import Example, held_out, read_pairs
from pipeline.faces.segmenter_drawing import crop
from pipeline.images import Pixels

_BOXES = 3.0  # face boxes: side of the measured square
_MAX_SIDE = 512  # pixels, as the stage's
_MEAN_SIDE = 128  # pixels, of the mean mask
_RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--weights", type=Path, help="safetensors file; default: the shipped one")
    arguments = parser.parse_args()
    network = segmenter.load(arguments.weights or weights.path("pspnet-person"))
    measured, others = [], []
    for content, example in read_pairs(arguments.data):
        if example.faces:
            (measured if held_out(content) else others).append(example)
    print(json.dumps(measure(measured, mean_mask(others), network), sort_keys=True))


def measure(examples: list[Example], seed: matte.Matte, network: segmenter.Segmenter) -> dict[str, object]:
    """Mean IoU of the network, of the refined matte and of GrabCut, each with a 95 % interval over photographs."""
    scores: dict[str, list[float]] = {"network": [], "refined": [], "grabcut": []}
    for example in examples:
        pixels, truth, inside = face_crop(example)
        probability = segmenter.person_probability(pixels, network)
        masks = {
            "network": probability > 0.5,
            "refined": matte.refine(pixels, probability, middle(len(pixels))) > 0.5,
            "grabcut": grabcut(pixels, seed),
        }
        for name, mask in masks.items():
            scores[name].append(iou(mask[inside], truth[inside]))
    return {"photos": len(examples)} | {name: summary(values) for name, values in scores.items()}


def face_crop(example: Example) -> tuple[Pixels, matte.Mask, matte.Mask]:
    """The measured square, its true mask, and which of its pixels lie inside the photograph."""
    x, y, box = example.faces[0]
    square, side = (x, y, _BOXES * box), min(_MAX_SIDE, round(_BOXES * box))
    pixels = crop(example.pixels, square, side, 255)
    truth = crop(example.alpha, square, side, 0) > 127
    inside = crop(np.full_like(example.alpha, 255), square, side, 0) > 127
    return pixels, truth, inside


def middle(side: int) -> matte.Mask:
    """Where the face is: half a face box in the middle."""
    mask = np.zeros((side, side), dtype=bool)
    reach = round(side / _BOXES / 4)
    mask[side // 2 - reach : side // 2 + reach, side // 2 - reach : side // 2 + reach] = True
    return mask


def mean_mask(examples: Iterable[Example]) -> matte.Matte:
    """How often each place of the square is person, over the photographs that are not measured."""
    masks = [cv2.resize(face_crop(e)[1].astype(np.float32), (_MEAN_SIDE, _MEAN_SIDE)) for e in examples]
    mean: matte.Matte = np.mean(masks, axis=0)
    return mean


def grabcut(pixels: Pixels, seed: matte.Matte) -> matte.Mask:
    """OpenCV's GrabCut: sure where 95 % of the mean masks agree, probable elsewhere."""
    p = cv2.resize(seed, pixels.shape[1::-1])
    labels = np.where(p > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[p > 0.95], labels[p < 0.05] = cv2.GC_FGD, cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(pixels, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    found: matte.Mask = (labels & 1) > 0
    return found


def iou(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / max((found | truth).sum(), 1))


def summary(values: list[float]) -> dict[str, float | list[float]]:
    """Mean, its bootstrap 95 % interval over photographs, and the worst."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (_RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean_iou": round(float(np.mean(values)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "worst": round(min(values), 4),
    }


if __name__ == "__main__":
    main()
