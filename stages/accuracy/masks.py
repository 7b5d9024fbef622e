"""Person masks: the network, the refined matte and GrabCut on photographs that were never trained on, and halos."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from manifests import weights
from pipeline import matte
from pipeline.faces import segmenter
from pipeline.faces.segmenter import Segmenter
from pipeline.faces.segmenter_data import Example, held_out, read_cutouts, read_pairs
from pipeline.faces.segmenter_drawing import crop
from pipeline.images import Pixels
from pipeline.matte import Mask, Matte
from stages.accuracy.finding import Aim, Finding, Unmeasured, bootstrap
from stages.whiten import NETWORK

_ON = "squares of 3 face boxes, photographs whose sha256 is divisible by 3"
_BOXES = 3.0  # face boxes: side of the measured square
_MAX_SIDE = 512  # pixels, as the stage's
_MEAN_SIDE = 128  # pixels, of the mean mask
_SURE = 0.95  # GrabCut's seed is fixed where so many of the masks agree
_GRABCUT_ROUNDS = 5
_DARK = (20, 24, 30)  # RGB, the backdrop against which a halo shows most
_BAND_SHARE = 0.03  # of the side: what counts as near the outline


@dataclass(frozen=True, slots=True)
class FaceSquare:
    """The measured square of one photograph."""

    pixels: Pixels
    truth: Mask
    inside: Mask  # which of its pixels the photograph has


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Mean intersection over union of the three methods, their paired difference, and the error at the outline."""
    folder = data / "segmentation"
    if not (folder / "images").is_dir():
        yield Unmeasured("masks", "mean IoU of the person mask", f"no {folder / 'images'} with masks/ beside it")
        return
    network = segmenter.load(weights.path(NETWORK))
    measured: list[FaceSquare] = []
    others: list[FaceSquare] = []
    for content, example in read_pairs(folder):
        if example.faces:
            (measured if held_out(content) else others).append(face_square(example))
    if measured and others:
        yield from overlaps(measured, mean_mask(others), network)
    else:
        yield Unmeasured("masks", "mean IoU of the person mask", "no face in one of the two parts of the photographs")
    cutouts = [example for content, example in read_cutouts(folder) if held_out(content) and example.faces]
    if cutouts:
        yield outline_error(cutouts, network)
    else:
        yield Unmeasured("masks", "colour error at the outline", f"no face in {folder / 'cutouts_rgba'}")


def overlaps(squares: Sequence[FaceSquare], seed: Matte, network: Segmenter) -> Iterator[Finding]:
    """The three methods' mean intersection over union, and how far the refined matte is above GrabCut."""
    ious: dict[str, list[float]] = {"network": [], "refined": [], "GrabCut from the mean mask": []}
    for square in squares:
        seen = matte.extended(square.pixels, square.inside)
        probability = segmenter.person_probability(seen, network)
        refined = matte.refine(seen, probability, middle(len(seen)))
        masks = (probability > 0.5, refined > 0.5, grabcut(square.pixels, seed))
        for values, mask in zip(ious.values(), masks, strict=True):
            values.append(iou(mask[square.inside], square.truth[square.inside]))
    aims = {"network": Aim(">=", 0.86), "refined": Aim(">=", 0.90)}
    for name, values in ious.items():
        note = f"median {np.median(values):.3f}, worst {min(values):.2f}"
        yield Finding("masks", f"mean IoU, {name}", _ON, len(values), bootstrap(values), "IoU", aims.get(name), note)
    ahead = [ours - theirs for ours, theirs in zip(ious["refined"], ious["GrabCut from the mean mask"], strict=True)]
    note = f"above it on {sum(value > 0 for value in ahead)} photographs"
    what = "refined minus GrabCut, mean of the paired differences"
    yield Finding("masks", what, _ON, len(ahead), bootstrap(ahead), "IoU", Aim(">=", 0.0), note)


def outline_error(cutouts: Sequence[Example], network: Segmenter) -> Finding:
    """How far colours near the outline are from the person on pure white, where the truth is known exactly.

    Cut-out people over a dark backdrop go through network, matte and whitening. The figure is the mean absolute
    difference, in grey levels (0..255), from the same person laid on white by the true alpha, within 3 % of the
    side of the true outline. A dark rim (halo) and a lost edge both count.
    """
    errors, uncorrected = [], []
    for example in cutouts:
        seen, wanted, share = on_dark_and_white(example)
        probability = segmenter.person_probability(seen, network)
        fine = matte.refine(seen, probability, middle(len(seen)))
        mask = np.rint(fine * 255).astype(np.uint8)
        near = near_outline(share > 0.5)
        plain = seen * fine[..., None] + matte.WHITE * (1 - fine[..., None])
        errors.append(float(np.abs(matte.whiten(seen, mask) - wanted)[near].mean()))
        uncorrected.append(float(np.abs(plain - wanted)[near].mean()))
    note = f"grey levels; {np.mean(uncorrected):.1f} without taking the old background out of half-covered pixels"
    on = "cut-outs over a dark backdrop, sha256 divisible by 3, within 3 % of the outline"
    return Finding("masks", "colour error at the outline", on, len(errors), bootstrap(errors), "", None, note)


def face_square(example: Example) -> FaceSquare:
    """Three face boxes around the largest face, at most 512 pixels, white outside the photograph."""
    square, side = _around_face(example)
    pixels = crop(example.pixels, square, side, 255)
    truth = crop(example.alpha, square, side, 0) > 127
    inside = crop(np.full_like(example.alpha, 255), square, side, 0) > 127
    return FaceSquare(pixels, truth, inside)


def on_dark_and_white(cutout: Example) -> tuple[Pixels, Matte, Matte]:
    """The square around a cut-out's face over the dark backdrop, over white (float), and its true alpha (0..1)."""
    square, side = _around_face(cutout)
    share = crop(cutout.alpha, square, side, 0).astype(np.float32)[..., None] / 255
    # Colours where nothing is covered are arbitrary in such files: they must not bleed in when the crop shrinks.
    solid = np.where(cutout.alpha[..., None] > 0, cutout.pixels, np.uint8(0))
    weighted = (solid * (cutout.alpha[..., None] / 255.0)).round().astype(np.uint8)
    person = crop(weighted, square, side, 0).astype(np.float32)
    seen = np.rint(person + np.array(_DARK, np.float32) * (1 - share)).astype(np.uint8)
    return seen, person + matte.WHITE * (1 - share), share[..., 0]


def near_outline(person: Mask) -> Mask:
    """The pixels within 3 % of the side of a mask's outline."""
    reach = round(_BAND_SHARE * max(person.shape))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    values = person.astype(np.uint8)
    near: Mask = cv2.dilate(values, disc) != cv2.erode(values, disc)
    return near


def middle(side: int) -> Mask:
    """Where the face is: half a face box in the middle."""
    mask = np.zeros((side, side), dtype=bool)
    reach = round(side / _BOXES / 4)
    mask[side // 2 - reach : side // 2 + reach, side // 2 - reach : side // 2 + reach] = True
    return mask


def mean_mask(squares: Iterable[FaceSquare]) -> Matte:
    """How often each place of the square is person, over the photographs that are not measured."""
    masks = [cv2.resize(square.truth.astype(np.float32), (_MEAN_SIDE, _MEAN_SIDE)) for square in squares]
    mean: Matte = np.mean(masks, axis=0)
    return mean


def grabcut(pixels: Pixels, seed: Matte) -> Mask:
    """OpenCV's GrabCut (Rother et al. 2004): sure where 95 % of the masks agree, probable elsewhere."""
    p = cv2.resize(seed, pixels.shape[1::-1])
    labels = np.where(p > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[p > _SURE], labels[p < 1 - _SURE] = cv2.GC_FGD, cv2.GC_BGD
    cv2.setRNGSeed(0)  # its colour clusters start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, labels, (0, 0, 0, 0), *models, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    found: Mask = (labels & 1) > 0
    return found


def iou(found: Mask, truth: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    either = (found | truth).sum()
    return float((found & truth).sum() / either) if either else 1.0


def _around_face(example: Example) -> tuple[tuple[float, float, float], int]:
    x, y, box = example.faces[0]
    return (x, y, _BOXES * box), min(_MAX_SIDE, round(_BOXES * box))
