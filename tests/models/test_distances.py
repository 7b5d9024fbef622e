"""Feature distances, QTA 1 and 2, prior convergence, realness, collapse: hand-made data with known answers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance
from scipy.stats import pearsonr

from models import distances, metrics


def test_degrees_of_known_angles() -> None:
    wanted = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 2]])
    found = torch.tensor([[3.0, 0], [0, 5], [-1, 0], [1, 1]])
    assert distances.degrees(found, wanted).tolist() == pytest.approx([0, 90, 180, 45])


def test_degrees_are_averaged_as_angles() -> None:
    """0 and 90 degrees: 45 on average, where the mean cosine is that of 60."""
    found = torch.tensor([[1.0, 0], [0, 1]])
    mean = float(distances.degrees(found, torch.tensor([[1.0, 0], [1, 0]])).mean())
    assert mean == pytest.approx(45)
    assert math.degrees(math.acos(0.5)) == pytest.approx(60)


@given(st.integers(0, 1000))
def test_distances_equal_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, 7))
    found = distances.feature_distances(torch.from_numpy(a), torch.from_numpy(b))
    assert tuple(found) == distances.DISTANCES
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    for name, measure, (x, y) in (
        ("L1", distance.cityblock, (a, b)),
        ("L2", distance.euclidean, (a, b)),
        ("unit L1", distance.cityblock, unit),
        ("unit L2", distance.euclidean, unit),
        ("cosine distance", distance.cosine, (a, b)),
    ):
        assert found[name].numpy() == pytest.approx([measure(p, q) for p, q in zip(x, y, strict=True)], rel=1e-6)


def test_pairs_are_of_different_people() -> None:
    pairs = distances.pairs_of_people(3, 500, seed=1)
    assert pairs.shape == (500, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(pairs.flatten().tolist()) == {0, 1, 2}


def test_faces_that_follow_their_condition_correlate() -> None:
    conditions = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    pairs = distances.pairs_of_people(20, 300, seed=0)
    turned = conditions @ torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    followed = distances.condition_follows(conditions, turned, ["m", "f"] * 10, pairs)
    assert followed["r"] == pytest.approx(1)
    blind = distances.condition_follows(conditions, torch.ones(20, 6) + 0 * turned, ["m", "f"] * 10, pairs)
    assert blind["r"] is None  # all faces are the same: nothing varies


def test_correlation_is_scipys() -> None:
    x, y = torch.randn(2, 40, generator=torch.Generator().manual_seed(3))
    found = distances.correlation(x, y)
    assert (found["r"], found["p"]) == pytest.approx(tuple(pearsonr(x.double(), y.double())))


def test_means_are_told_for_the_same_and_for_different_genders() -> None:
    """Two women at right angles, a man opposite to the first: distances 1, and 2 and 1."""
    conditions = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]])
    told = distances.condition_follows(conditions, conditions, ["f", "f", "m"], pairs)
    assert told["same_gender"] == {"conditions": pytest.approx(1), "faces": pytest.approx(1)}
    assert told["different_gender"]["faces"] == pytest.approx(1.5)


def test_people_of_unknown_gender_are_in_neither_mean() -> None:
    told = distances.condition_follows(torch.eye(2), torch.eye(2), ["f", None], torch.tensor([[0, 1]]))
    assert told["same_gender"] == told["different_gender"] == {"conditions": None, "faces": None}


def test_a_tie_is_no_preference() -> None:
    assert distances.preferred(torch.tensor([1.0, 2, 3]), torch.tensor([0.0, 2, 4])).tolist() == [1, 0, 0]


def test_prior_distance_falls_as_the_published_one_does() -> None:
    """Nested samples of unit noise: E|difference| = sqrt(2 / pi) sqrt(1/n2 - 1/n1) for each of D numbers."""
    features = torch.randn(400, 3000, generator=torch.Generator().manual_seed(0))
    found = distances.prior_convergence(features, (10, 50, 100, 400, 1000), seed=0)
    assert list(found) == ["50 - 10", "100 - 50", "400 - 100"]  # 1,000 there are not
    for name, value in found.items():
        n, m = map(int, name.split(" - "))
        assert value == pytest.approx(3000 * math.sqrt(2 / math.pi) * math.sqrt(1 / m - 1 / n), rel=0.05)


def test_realness_is_of_probabilities() -> None:
    told = distances.realness(torch.tensor([0.0, 0.0, math.log(3)]))
    assert told == {
        "mean": pytest.approx((0.5 + 0.5 + 0.75) / 3),
        "spread": pytest.approx(0.11785, abs=1e-5),
        "items": 3,
    }


def test_collapse_is_alarmed_at_half_way_to_all_the_same() -> None:
    """Real people at right angles (mean cosine 0): faces at 61 degrees are no alarm, at 59 they are."""
    real = torch.eye(2)
    for angle, alarm in ((61, False), (59, True)):
        found = torch.tensor([[1.0, 0], [math.cos(math.radians(angle)), math.sin(math.radians(angle))]])
        assert distances.collapsed(found, real) is alarm


def test_inception_score_of_sure_and_even_classes_is_their_number() -> None:
    """The formula of the VGGFace Score is that of the Inception Score."""
    sure = torch.eye(4).repeat(25, 1)
    assert metrics.face_score(sure, splits=1, seed=0).item() == pytest.approx(4)
    assert metrics.face_score(torch.full((50, 4), 0.25), splits=5, seed=0).tolist() == pytest.approx([1] * 5)
