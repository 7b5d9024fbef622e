"""The align stage: pupils at the same place in every square, from one warp, white outside, the same bytes again."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.schema import ALIGN_SCORES
from pipeline import geometry, images, warp
from pipeline.stage import Drop
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages.align import Limits, Scoring, decide, render, score


def row(left: tuple[float, float], right: tuple[float, float], width: int = 1000, height: int = 800) -> dict[str, Any]:
    return {"row_id": "r", "pupils": [*left, *right], "source_width": width, "source_height": height}


def dotted(width: int, height: int, *centres: tuple[float, float]) -> np.ndarray:
    """A grey picture with a soft dark dot at each place."""
    y, x = np.mgrid[0:height, 0:width]
    dark = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 4.0**2)) for cx, cy in centres)
    return np.repeat((200 - 180 * dark)[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def darkest(pixels: np.ndarray, left: bool) -> np.ndarray:
    """Centre of the dark dot in the left or right half, by its weight."""
    weight = np.clip(180.0 - pixels[..., 0].astype(float), 0, None)
    half = pixels.shape[1] // 2
    weight[:, half:] *= not left
    weight[:, :half] *= left
    y, x = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


pupils = st.tuples(st.floats(300, 500), st.floats(300, 500), st.floats(35, 250), st.floats(-0.5, 0.5)).map(
    lambda p: ((p[0], p[1]), (p[0] + p[2] * np.cos(p[3]), p[1] + p[2] * np.sin(p[3])))
)


@given(pupils)
def test_both_pupils_land_on_the_same_shares_of_the_side(eyes: tuple[Any, Any]) -> None:
    settings = Scoring()
    scores = score(row(*eyes), settings)
    matrix = np.reshape(scores["transform"], (2, 3))
    shares = (geometry.apply(matrix, eyes) + 0.5) / scores["side"]
    assert shares[:, 1] == pytest.approx([settings.pupils_y] * 2)
    assert shares[:, 0] == pytest.approx([0.5 - settings.pupil_distance / 2, 0.5 + settings.pupil_distance / 2])


@given(pupils, st.floats(0.5, 2.0))
def test_pictures_are_never_enlarged_beyond_the_parameter(eyes: tuple[Any, Any], most: float) -> None:
    scores = score(row(*eyes), Scoring(max_upscale=most))
    assert scores["scale"] <= most * (1 + 1e-9)
    assert scores["side"] <= Scoring().max_side
    assert 0.0 <= scores["outside"] <= 1.0
    assert set(scores) == set(ALIGN_SCORES.names) - {"row_id"}


@pytest.mark.parametrize(
    ("left", "right"), [((400, 300), (500, 300)), ((300, 420), (420, 360)), ((350.5, 250.25), (800.5, 330.75))]
)
def test_the_pixels_go_where_the_numbers_say(left: tuple[float, float], right: tuple[float, float]) -> None:
    """Dots drawn at the pupils are found at the target within a quarter of a pixel, at any scale and tilt."""
    source = row(left, right) | {"image": images.encode_png(dotted(1000, 800, left, right))}
    scores = score(source, Scoring())
    aligned = images.decode(render(source, scores, Limits())["image"], 10**7)
    side = scores["side"]
    assert aligned.shape == (side, side, 3)
    for is_left, share in ((True, 0.4), (False, 0.6)):
        assert darkest(aligned, is_left) == pytest.approx(
            [share * side - 0.5, Scoring().pupils_y * side - 0.5], abs=0.25
        )


def test_outside_the_original_is_white_and_counted() -> None:
    eyes = ((40.0, 30.0), (140.0, 30.0))
    source = row(*eyes, width=180, height=200) | {"image": images.encode_png(np.full((200, 180, 3), 90, np.uint8))}
    scores = score(source, Scoring())
    aligned = images.decode(render(source, scores, Limits())["image"], 10**7)
    assert (aligned[0, 0] == 255).all()
    assert (aligned == 255).all(axis=2).mean() == pytest.approx(scores["outside"], abs=0.01)


def test_limits_drop_coarse_and_cut_off_squares() -> None:
    small = score(row((400, 300), (420, 300)), Scoring())
    edge = score(row((10, 10), (110, 10)), Scoring())
    good = score(row((400, 300), (500, 300)), Scoring())
    for scores, reason in ((small, "too_coarse"), (edge, "cut_off")):
        dropped = decide(row((0, 0), (1, 1)), scores, Limits())
        assert isinstance(dropped, Drop)
        assert dropped.reason == reason
        assert not isinstance(decide(row((0, 0), (1, 1)), scores, Limits(None, None)), Drop)
    kept = decide(row((400, 300), (500, 300)), good, Limits())
    assert not isinstance(kept, Drop)
    assert (kept["row_id"], kept["side"]) == ("r", good["side"])


def test_the_same_picture_gives_the_same_bytes() -> None:
    photo = photograph(draw_person(1, 0), Scene(seed=1, roll_deg=7.0))
    height, width = photo.pixels.shape[:2]
    source = row(*map(tuple, photo.pupils), width=width, height=height) | {"image": images.encode_jpeg(photo.pixels)}
    scores = score(source, Scoring())
    first, second = render(source, scores, Limits()), render(source, scores, Limits())
    assert first == second
    assert (first["width"], first["height"]) == (scores["side"], scores["side"])


@pytest.mark.parametrize("scale", [0.9, 0.5, 0.34, 0.2, 0.07])
def test_shrinking_does_not_alias(scale: float) -> None:
    """A one-pixel chequerboard becomes even grey, not a moire."""
    y, x = np.mgrid[0:600, 0:600]
    board = np.repeat((255 * ((x + y) % 2))[..., None], 3, axis=2).astype(np.uint8)
    side = int(500 * scale)
    matrix = np.array([[scale, 0.0, -20.0 * scale], [0.0, scale, -20.0 * scale]])
    small = warp.warp(board, matrix, side, side)
    limit = 50.0 if scale > 0.5 else 8.0  # between half and full size only the interpolation averages
    assert abs(small.mean() - 127.5) < 3.0
    assert small.std() < limit


def test_a_square_wholly_outside_is_all_fill() -> None:
    matrix = np.array([[1.0, 0.0, 900.0], [0.0, 1.0, 900.0]])
    assert (warp.warp(np.zeros((50, 50, 3), np.uint8), matrix, 64, 64, fill=255) == 255).all()
    assert warp.outside(matrix, 64, 50, 50) == 1.0


def test_a_larger_side_is_a_setting() -> None:
    wide = row((400, 300), (800, 300), 1600, 1600)
    assert score(wide, Scoring())["side"] == 512
    assert score(wide, replace(Scoring(), max_side=1024))["side"] == 1024
