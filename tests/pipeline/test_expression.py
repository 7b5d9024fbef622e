"""Expression from landmarks: pure functions, checked on drawn faces and by their symmetries."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.schema import EMOTIONS
from pipeline import expression, geometry

CALM = [0.02, 0.0, 0.02, 0.01, 0.05, 0.0, 0.9]
PROBABILITIES = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7).map(lambda p: [x / (sum(p) or 1.0) for x in p])


def draw_face(opening=0.0, lift=0.0, brows=0.28, eyes=0.32):
    """68 landmarks of a plain face with eye centres at (0, 0) and (1, 0); lengths as in `Features`."""
    at = np.zeros((68, 2))
    for start, centre in ((36, 0.0), (42, 1.0)):
        width, half = 0.4, 0.4 * eyes / 2
        at[start : start + 6, 0] = centre + width * np.array([-0.5, -0.2, 0.2, 0.5, 0.2, -0.2])
        at[start : start + 6, 1] = [0, -half, -half, 0, half, half]
    at[17:27, 1] = -brows
    at[17:27, 0] = [-0.4, -0.25, -0.1, 0.1, 0.3, 0.7, 0.9, 1.1, 1.25, 1.4]
    middle, mouth = 1.1, [48, 54, 60, 64]
    at[48:68] = (0.5, middle)
    at[[48, 60], 0], at[[54, 64], 0] = 0.1, 0.9
    at[[61, 62, 63], 1] = middle - opening / 2
    at[[67, 66, 65], 1] = middle + opening / 2
    at[[51, 57], 1] = middle + np.array([-1, 1]) * (0.1 + opening / 2)
    at[mouth, 1] = middle - lift
    return at


def test_each_length_is_read_from_the_face_it_was_drawn_into():
    found = expression.features(draw_face(opening=0.15, lift=0.08, brows=0.35, eyes=0.4))
    assert astuple(found) == pytest.approx((0.15, 0.08, 0.35, 0.4))


@given(st.floats(-60, 60), st.floats(0.5, 900), st.floats(-500, 500), st.floats(-500, 500))
def test_size_place_and_tilt_change_nothing(degrees, scale, x, y):
    face = draw_face(0.1, 0.05)
    turn = np.radians(degrees)
    moved = face @ (scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])) + [x, y]
    assert astuple(expression.features(moved)) == pytest.approx(astuple(expression.features(face)), abs=1e-6)
    assert astuple(expression.features(moved.ravel().tolist())) == astuple(expression.features(moved))


@given(st.integers(0, 2**32 - 1))
def test_a_mirrored_face_has_the_same_features(seed):
    face = 100 * (draw_face() + np.random.default_rng(seed).normal(0, 0.02, (68, 2)))
    mirrored = geometry.mirror(face, 640)
    assert astuple(expression.features(mirrored)) == pytest.approx(astuple(expression.features(face)), abs=1e-6)


def test_a_calm_face_is_neutral_and_every_departure_makes_it_less_so():
    def surely(**drawn):
        return expression.neutrality(CALM, expression.features(draw_face(**drawn)))

    assert surely() > 0.9
    for name, *values in (("opening", 0.25), ("brows", 0.42, 0.15), ("eyes", 0.45, 0.18), ("lift", -0.1)):
        for value in values:
            assert surely(**{name: value}) < surely(), (name, value)
    assert surely(opening=0.07, brows=0.33, eyes=0.29, lift=-0.03) == pytest.approx(surely())  # neutral faces differ


@given(PROBABILITIES, st.floats(0.0, 0.3))
def test_neutrality_is_a_probability_that_grows_as_a_smile_turns_neutral(probabilities, opening):
    found = expression.features(draw_face(opening=opening))
    surely = expression.neutrality(probabilities, found)
    assert 0.0 < surely < 1.0
    assert expression.neutrality(expression.without_smile(probabilities), found) >= surely


@given(PROBABILITIES)
def test_without_smile_moves_happy_to_neutral_and_nothing_else(probabilities):
    calm = dict(zip(EMOTIONS, expression.without_smile(probabilities), strict=True))
    before = dict(zip(EMOTIONS, probabilities, strict=True))
    assert calm["happy"] == 0.0
    assert calm["neutral"] == before["neutral"] + before["happy"]
    assert all(calm[name] == before[name] for name in EMOTIONS if name not in ("happy", "neutral"))


def test_an_eye_without_width_is_not_calm_and_no_error():
    face = draw_face()
    face[[36, 39], 0] = 0.0
    assert expression.neutrality(CALM, expression.features(face)) < 0.1
