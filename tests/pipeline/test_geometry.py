"""Similarity transforms, boxes and landmark numbering."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline import geometry
from pipeline.geometry import Matrix

coordinates = st.floats(-1000.0, 1000.0, allow_nan=False)
clouds = arrays(np.float64, st.tuples(st.integers(2, 12), st.just(2)), elements=coordinates)


@st.composite
def similarities(draw: st.DrawFn) -> Matrix:
    """Any rotation, shift, and scale from a tenth to ten."""
    angle, scale = draw(st.floats(-math.pi, math.pi)), draw(st.floats(0.1, 10.0))
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[a, -b, draw(coordinates)], [b, a, draw(coordinates)]])


def spread(points: np.ndarray) -> float:
    return float(np.ptp(points, axis=0).max())


@given(clouds, similarities())
def test_a_similarity_is_recovered_from_the_points_it_moved(points: np.ndarray, matrix: Matrix) -> None:
    assume(spread(points) > 1.0)
    moved = geometry.apply(matrix, points)
    found = geometry.similarity(points, moved)
    assert np.allclose(geometry.apply(found, points), moved, atol=1e-6)


@given(clouds, similarities(), similarities())
def test_composing_is_applying_one_after_the_other(points: np.ndarray, first: Matrix, second: Matrix) -> None:
    both = geometry.compose(second, first)
    assert np.allclose(geometry.apply(both, points), geometry.apply(second, geometry.apply(first, points)), atol=1e-6)
    assert geometry.scale_of(both) == pytest.approx(geometry.scale_of(first) * geometry.scale_of(second))


@given(clouds, similarities())
def test_inverting_undoes(points: np.ndarray, matrix: Matrix) -> None:
    there_and_back = geometry.apply(geometry.invert(matrix), geometry.apply(matrix, points))
    assert np.allclose(there_and_back, points, atol=1e-6)


def test_a_similarity_never_mirrors() -> None:
    """Three corners and their mirror image: the best rotation leaves an error, it does not flip."""
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    found = geometry.similarity(corners, corners * (-1.0, 1.0))
    assert np.linalg.det(found[:, :2]) > 0.0


def test_coinciding_points_have_no_similarity() -> None:
    with pytest.raises(ValueError, match="two different points"):
        geometry.similarity([[3.0, 3.0], [3.0, 3.0]], [[0.0, 0.0], [1.0, 0.0]])


def test_mirroring_is_its_own_inverse_and_swaps_the_eyes() -> None:
    assert sorted(geometry.MIRRORED) == list(range(68))
    assert all(geometry.MIRRORED[geometry.MIRRORED[i]] == i for i in range(68))
    at = np.random.default_rng(0).uniform(0, 100, (68, 2))
    mirrored = geometry.mirror(at, 120)
    assert np.allclose(geometry.mirror(mirrored, 120), at)
    left, right = geometry.eye_centres(at)
    assert np.allclose(geometry.eye_centres(mirrored), [[119 - right[0], right[1]], [119 - left[0], left[1]]])


def test_resizing_keeps_edges_on_edges() -> None:
    """The outer edges of a 10 pixel box are at -0.5 and n - 0.5 of the new picture."""
    matrix = geometry.resizing((5.0, 5.0, 15.0, 15.0), 40, 20)
    assert np.allclose(geometry.apply(matrix, [[4.5, 4.5], [14.5, 14.5]]), [[-0.5, -0.5], [39.5, 19.5]])


def test_landmark_error_is_a_share_of_the_pupil_distance() -> None:
    truth = np.zeros((68, 2))
    truth[geometry.RIGHT_EYE, 0] = 50.0
    assert geometry.landmark_error(truth + np.array([0.0, 5.0]), truth) == pytest.approx(0.1)


boxes = st.tuples(coordinates, coordinates, st.floats(1.0, 500.0), st.floats(1.0, 500.0)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_overlap_is_symmetric_between_nothing_and_all(a: geometry.Box, b: geometry.Box) -> None:
    assert geometry.overlap(a, b) == pytest.approx(geometry.overlap(b, a))
    assert 0.0 <= geometry.overlap(a, b) <= 1.0 + 1e-9
    assert geometry.overlap(a, a) == pytest.approx(1.0)


@given(boxes, st.floats(0.5, 3.0))
def test_a_square_shares_the_centre(box: geometry.Box, factor: float) -> None:
    left, top, right, bottom = geometry.square(box, factor)
    assert right - left == pytest.approx(bottom - top)
    assert right - left == pytest.approx(factor * geometry.longer_side(box))
    assert (left + right) / 2 == pytest.approx((box[0] + box[2]) / 2, abs=1e-6)
