"""From the network's person probability to a soft matte, and from the matte to a person on pure white."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images import Pixels

Matte = NDArray[np.floating[Any]]  # height x width, 0 background .. 1 person
Mask = NDArray[np.bool_]
Colours = NDArray[np.floating[Any]]  # height x width x 3, 0..255

WHITE = 255

_SMALL_SIDE = 256  # pixels: the size at which outlines are settled
_GRABCUT_ROUNDS = 1  # more change nothing that can be measured
_SURE = 0.97  # probability beyond which the network is not doubted
_BAND_SHARE = 0.05  # of the side: how far from the network's outline the true one may lie
_NETWORK_WEIGHT = 0.7  # of the network, against the graph cut
_SETTLE_SHARE = 0.05  # of the side: radius of the guided filter that moves the outline
_SOFT_SHARE = 0.012  # of the side: radius of the guided filter that softens it
_EPSILON = 4e-4  # of squared 0..1 colour: weaker edges than its root are no edges
_GAP_SHARE = 0.02  # of the side: half the gap across which parts still hang together
_HOLE_SHARE = 0.01  # of the person's area: larger holes are true gaps, under an arm
_EDGE_SHARE = 0.03  # of the side: what counts as near the outline
_CUT_OFF = 0.04  # of the matte at both ends: haze is background, almost solid is solid


def extended(pixels: Pixels, inside: Mask) -> Pixels:
    """The picture continued past its border: pixels that are not `inside` repeat the nearest one that is.

    A white frame beside a white shirt misleads the network, the graph cut and the filters alike.
    """
    if inside.all() or not inside.any():
        return pixels
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros(int(nearest.max()) + 1, dtype=np.intp)
    source[nearest[inside]] = np.flatnonzero(inside)
    continued: Pixels = pixels.reshape(-1, 3)[source[nearest]]
    return continued


def refine(pixels: Pixels, probability: Matte, face: Mask) -> Matte:
    """Fit the network's soft outline to the edges of the picture.

    The network and a graph cut (GrabCut, Rother et al. 2004) within a band around its outline are averaged, and a
    guided filter (He et al. 2013) pulls the average onto the picture's edges: that settles who is in. Holes are
    closed, and what does not hang together with `face` (height x width, bool) is left out. A second, narrow guided
    filter makes the outline soft where the picture is.
    """
    guide = pixels.astype(np.float32) / 255
    side = max(probability.shape)
    mixed = _NETWORK_WEIGHT * probability + (1 - _NETWORK_WEIGHT) * _graph_cut(pixels, probability)
    settled = guided_filter(guide, mixed, round(_SETTLE_SHARE * side), _EPSILON) > 0.5
    solid = without_holes(_connected(settled, face), _HOLE_SHARE).astype(np.float32)
    soft = guided_filter(guide, solid, round(_SOFT_SHARE * side), _EPSILON)
    return np.asarray(np.clip((soft - _CUT_OFF) / (1 - 2 * _CUT_OFF), 0.0, 1.0), dtype=np.float32)


def _graph_cut(pixels: Pixels, probability: Matte) -> Matte:
    """Person or not by GrabCut's colour models, 0 or 1, at the picture's size."""
    height, width = probability.shape
    scale = min(1.0, _SMALL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    p = cv2.resize(probability, size, interpolation=cv2.INTER_AREA)
    person = (p > 0.5).astype(np.uint8)
    reach = _disc(_BAND_SHARE * max(size))
    sure_person = (cv2.erode(person, reach) > 0) | (p > _SURE)
    sure_background = cv2.dilate(person, reach) == 0
    labels = np.where(person > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[sure_person], labels[sure_background] = cv2.GC_FGD, cv2.GC_BGD
    if not (labels & 1).any() or (labels & 1).all():
        return (probability > 0.5).astype(np.float32)  # all person or none: there is nothing to cut
    cv2.setRNGSeed(0)  # GrabCut's colour clusters start at random
    cv2.grabCut(
        small, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    return np.asarray(cv2.resize((labels & 1).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)


def _connected(mask: Mask, face: Mask) -> Mask:
    """The parts of a mask that touch the face, or nearly touch what does; the largest part where none does."""
    # A collar or a scarf may cut the head from the shoulders: small gaps do not count.
    joined = cv2.dilate(mask.astype(np.uint8), _disc(_GAP_SHARE * max(mask.shape)))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    if count == 1:
        return mask
    touched = np.zeros(count, dtype=bool)
    touched[np.unique(labels[face & mask])] = True
    if not touched.any():
        touched[1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())] = True
    kept: Mask = mask & touched[labels]
    return kept


def without_holes(mask: Mask, largest_share: float) -> Mask:
    """Fill holes smaller than `largest_share` of the mask's area; a hole touching the picture's edge is none."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    height, width = mask.shape
    x, y, w, h, area = (facts[:, column] for column in range(5))
    inside = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    holes = inside & (area < largest_share * mask.sum())
    holes[0] = False  # label 0 is the mask itself
    filled: Mask = mask | holes[labels]
    return filled


def guided_filter(guide: Colours, values: Matte, radius: int, epsilon: float) -> Matte:
    """Smooth `values` so that they step only where the colours of `guide` (0..1) do.

    He et al. 2013, equation 19, with the linear coefficients found on a smaller copy (He and Sun 2015).
    """
    height, width = values.shape
    scale = min(1.0, _SMALL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(guide, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    goal = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    window = (2 * max(1, round(radius * scale)) + 1,) * 2

    def mean(a: Colours) -> Colours:
        return np.asarray(cv2.blur(a, window, borderType=cv2.BORDER_REFLECT_101))

    guide_mean, goal_mean = mean(small), mean(goal)
    squares = mean((small[..., :, None] * small[..., None, :]).reshape(*goal.shape, 9)).reshape(*goal.shape, 3, 3)
    spread = squares - guide_mean[..., :, None] * guide_mean[..., None, :] + epsilon * np.eye(3, dtype=np.float32)
    shared = mean(small * goal[..., None]) - guide_mean * goal_mean[..., None]
    slope = np.linalg.solve(spread, shared[..., None])[..., 0].astype(np.float32)
    offset = goal_mean - (slope * guide_mean).sum(axis=-1)
    lines = mean(np.dstack([slope, offset]).astype(np.float32))
    line = cv2.resize(lines, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray((line[..., :3] * guide).sum(axis=-1) + line[..., 3])


def person_colours(pixels: Pixels, matte: Matte) -> Colours:
    """The person's own colour at half-covered pixels, without what shone through from behind.

    Blur fusion (Forte and Pitie 2021), a wide pass and a narrow one.
    """
    seen = pixels.astype(np.float32)
    share = matte[..., None]
    front, back = seen, seen
    side = max(matte.shape)
    for radius in (max(2, side // 12), max(1, side // 80)):
        window = (2 * radius + 1, 2 * radius + 1)
        front_mean = cv2.blur(front * share, window) / (cv2.blur(matte, window)[..., None] + 1e-5)
        back_mean = cv2.blur(back * (1 - share), window) / (cv2.blur(1 - matte, window)[..., None] + 1e-5)
        front = np.clip(front_mean + share * (seen - share * front_mean - (1 - share) * back_mean), 0, 255)
        back = back_mean
    return front


def whiten(pixels: Pixels, matte: NDArray[np.uint8]) -> Pixels:
    """The person on pure white: 255 where the 8-bit matte is 0, the picture's own values where it is 255."""
    share = matte.astype(np.float32) / 255
    front = person_colours(pixels, share)
    mixed = front * share[..., None] + WHITE * (1 - share[..., None])
    out = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    out[matte == 0] = WHITE
    out[matte == 255] = pixels[matte == 255]
    return out


def coverage(probability: Matte) -> float:
    """Share of the picture that is person."""
    return float((probability > 0.5).mean())


def edge_quality(probability: Matte) -> float:
    """How surely the probability falls from person to background, 0 (all is doubt) .. 1 (a clean step).

    The mean of |2 p - 1| within 3 % of the side around the outline p = 0.5; 0 where there is no outline.
    """
    person = (probability > 0.5).astype(np.uint8)
    reach = _disc(_EDGE_SHARE * max(probability.shape))
    near = cv2.dilate(person, reach) != cv2.erode(person, reach)
    return float(np.abs(2 * probability[near] - 1).mean()) if near.any() else 0.0
