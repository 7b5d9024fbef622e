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
    assert followed["r"]["mean"] == pytest.approx(1) and followed["r"]["interval"] == pytest.approx([1, 1])
    blind = distances.condition_follows(conditions, torch.ones(20, 6) + 0 * turned, ["m", "f"] * 10, pairs)
    assert blind["r"] is None  # all faces are the same: nothing varies


def test_correlation_is_scipys() -> None:
    x, y = torch.randn(2, 40, generator=torch.Generator().manual_seed(3))
    found = distances.correlation(x, y, distances.people_drawn(40))
    assert (found["r"]["mean"], found["p"]) == pytest.approx(tuple(pearsonr(x.double(), y.double())))


def test_an_interval_of_r_covers_the_true_one_as_often_as_it_says() -> None:
    """Of 80 people with r = 0.5, drawn again and again."""
    rng, times, covered = np.random.default_rng(0), distances.people_drawn(80), 0
    for _ in range(200):
        x, noise = torch.from_numpy(rng.standard_normal((2, 80)))
        low, high = distances.correlation(x, x / 2 + 0.75**0.5 * noise, times)["r"]["interval"]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_an_interval_over_pairs_is_over_their_people() -> None:
    """A thousand pairs of ten people are no thousand people: more pairs of the same ones make no smaller interval."""
    conditions, faces = torch.randn(2, 10, 6, generator=torch.Generator().manual_seed(0))
    widths = []
    for count in (1000, 8000):
        pairs = distances.pairs_of_people(10, count, seed=0)
        low, high = distances.condition_follows(conditions, faces, ["m", "f"] * 5, pairs)["r"]["interval"]
        widths.append(high - low)
    assert widths[1] > 0.7 * widths[0] > 0.2


def test_means_are_told_for_the_same_and_for_different_genders() -> None:
    """Two women at right angles, a man opposite to the first: distances 1, and 2 and 1."""
    conditions = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]])
    told = distances.condition_follows(conditions, conditions, ["f", "f", "m"], pairs)
    assert {of: one["mean"] for of, one in told["same_gender"].items()} == pytest.approx({"conditions": 1, "faces": 1})
    assert told["different_gender"]["faces"]["mean"] == pytest.approx(1.5)
    assert told["different_gender"]["faces"]["interval"] == pytest.approx(
        [1, 2]
    )  # of one of the pairs, or of the other


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
    for name, told in found.items():
        n, m = map(int, name.split(" - "))
        assert told["mean"] == pytest.approx(3000 * math.sqrt(2 / math.pi) * math.sqrt(1 / m - 1 / n), rel=0.05)
        assert told["interval"][0] < told["mean"] < told["interval"][1] and told["items"] == n


def test_realness_is_of_probabilities() -> None:
    assert distances.realness(torch.tensor([[0.0], [math.log(3)]])).tolist() == pytest.approx([0.5, 0.75])


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
