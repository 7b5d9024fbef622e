"""Colour, light, sharpness and the ranking number, on drawn faces whose truth is known."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import geometry, images, quality, warp
from pipeline.faces import detect, landmark
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages.landmarks import Limits

LIMITS = Limits()


@cache
def portrait(index: int = 0) -> tuple[np.ndarray, detect.Face, np.ndarray]:
    """A drawn frontal portrait, its face and its landmarks."""
    scene = Scene(seed=3, light_azimuth_deg=0.0, light_harshness=0.1, pupil_px=80.0)
    pixels = photograph(draw_person(7, index), scene).pixels
    face = detect.find(pixels, "dlib_hog", 512, None)[0]
    return pixels, face, landmark.place(pixels, face.box, "dlib_hog")


def tinted(pixels: np.ndarray, tint: tuple[float, float, float]) -> np.ndarray:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    return np.clip(grey * np.array(tint), 0, 255).astype(np.uint8)


def shaded(pixels: np.ndarray, at: np.ndarray, dark: float, width: float) -> np.ndarray:
    """The right half of the face darkened to `dark`, over an edge `width` pupil distances wide."""
    left, right = geometry.eye_centres(at)
    across = (np.arange(pixels.shape[1]) - (left[0] + right[0]) / 2) / (geometry.distance(left, right) * width)
    return (pixels * (1.0 - (1.0 - dark) / (1.0 + np.exp(-4.0 * across)))[None, :, None]).astype(np.uint8)


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.0, 0.85, 0.65), (0.8, 0.9, 1.0)])
@pytest.mark.parametrize("index", range(3))
def test_grey_and_toned_pictures_have_no_colour(index: int, tint: tuple[float, float, float]) -> None:
    """Also after JPEG, whose chroma is never exactly flat."""
    pixels, face, _ = portrait(index)
    around = warp.crop(pixels, geometry.square(face.box, 2.0), 192)
    assert quality.colourfulness(around) > LIMITS.min_colourfulness
    packed = images.decode(images.encode_jpeg(tinted(around, tint), 70), 10**6)
    assert quality.colourfulness(packed) < LIMITS.min_colourfulness


@pytest.mark.parametrize("index", range(3))
def test_even_light_passes_and_side_light_does_not(index: int) -> None:
    pixels, _, at = portrait(index)
    imbalance, contrast = quality.light(pixels, at)
    assert imbalance < LIMITS.max_light_imbalance
    assert contrast < LIMITS.max_light_contrast
    assert quality.light(shaded(pixels, at, 0.4, 1.0), at)[0] > LIMITS.max_light_imbalance


def test_a_sharp_shadow_makes_more_contrast_than_a_soft_one() -> None:
    pixels, _, at = portrait()
    sharp, soft = (quality.light(shaded(pixels, at, 0.4, width), at)[1] for width in (0.1, 2.0))
    assert sharp > LIMITS.max_light_contrast > soft


def test_light_is_the_same_in_the_mirror() -> None:
    pixels, _, at = portrait()
    dark = shaded(pixels, at, 0.6, 0.5)
    here = quality.light(dark, at)
    there = quality.light(np.ascontiguousarray(dark[:, ::-1]), geometry.mirror(at, dark.shape[1]))
    assert here == pytest.approx(there, abs=0.005)


@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_measures_hardly_depend_on_the_pictures_size(scale: float) -> None:
    pixels, face, at = portrait()
    dark = shaded(pixels, at, 0.6, 0.5)
    copy = warp.resized(dark, scale)
    matrix = geometry.resizing((0, 0, dark.shape[1], dark.shape[0]), copy.shape[1], copy.shape[0])
    assert quality.light(copy, geometry.apply(matrix, at)) == pytest.approx(quality.light(dark, at), abs=0.03)
    box = tuple(edge * scale for edge in face.box)
    colours = [
        quality.colourfulness(warp.crop(p, geometry.square(b, 2.0), 192)) for p, b in ((dark, face.box), (copy, box))
    ]
    assert colours[1] == pytest.approx(colours[0], rel=0.05)


def test_blur_lowers_sharpness() -> None:
    pixels, face, _ = portrait()
    values = [quality.sharpness(pixels, face.box)]
    values += [quality.sharpness(cv2.GaussianBlur(pixels, (0, 0), sigma), face.box) for sigma in (1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-1]
    assert all(0.0 <= value <= 1.0 for value in values)


def test_a_flat_face_has_no_sharpness_and_no_shadow() -> None:
    _, face, at = portrait()
    flat = np.full((560, 480, 3), 128, np.uint8)
    assert quality.sharpness(flat, face.box) == pytest.approx(0.0, abs=0.01)
    assert quality.light(flat, at) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert quality.colourfulness(flat) == pytest.approx(0.0, abs=1e-6)


GOOD = {
    "yaw_deg": 1.0, "pitch_deg": -1.0, "pupil_px": 110.0, "sharpness": 0.7, "light_imbalance": 0.05,
    "p_neutral": 0.9, "edge_quality": 0.8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "worse"),
    [("yaw_deg", -9.0), ("pitch_deg", 9.0), ("pupil_px", 40.0), ("sharpness", 0.2), ("light_imbalance", 0.4),
     ("p_neutral", 0.3), ("edge_quality", 0.2)],
)  # fmt: skip
def test_every_part_of_quality_counts(name: str, worse: float) -> None:
    assert quality.quality(GOOD | {name: worse}) < quality.quality(GOOD)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), st.none() | st.floats(0.0, 1e6)))
def test_quality_stays_between_zero_and_one(scores: dict[str, float | None]) -> None:
    assert 0.0 <= quality.quality(scores) <= 1.0


def test_a_measure_that_was_not_taken_favours_nobody() -> None:
    without = {name: value for name, value in GOOD.items() if name != "p_neutral"}
    assert quality.quality(without) == quality.quality(GOOD | {"p_neutral": None}) >= quality.quality(GOOD)


def test_planted_side_light_is_uneven() -> None:
    """The synthetic world's own light model, not our shading."""
    scene = Scene(seed=3, pupil_px=80.0)
    harsh = replace(scene, light_azimuth_deg=80.0, light_elevation_deg=15.0, light_harshness=0.95)
    found = []
    for index in range(4):
        _, _, at = portrait(index)
        found.append(quality.light(photograph(draw_person(7, index), harsh).pixels, at)[0])
    assert min(found) > 2 * LIMITS.max_light_imbalance
