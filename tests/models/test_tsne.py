"""t-SNE: groups that lie apart stay apart, the same points every time, few points, and no scikit-learn."""

import sys

import numpy as np
import pytest

from manifests.errors import Missing
from models import tsne


def test_groups_stay_apart() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    centres = np.repeat(20 * np.eye(3, 50), 20, axis=0)
    group = np.repeat(np.arange(3), 20)
    points = tsne.placed(centres + rng.normal(size=(60, 50)))
    assert points.shape == (60, 2)
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    nearest = np.where(np.eye(60, dtype=bool), np.inf, apart).argmin(axis=1)
    assert (group[nearest] == group).all()


@pytest.mark.parametrize("count", [4, 10, 40])
def test_the_same_points_every_time_however_few(count: int) -> None:
    pytest.importorskip("sklearn")
    vectors = np.random.default_rng(count).normal(size=(count, 8))
    points = tsne.placed(vectors)
    assert np.isfinite(points).all() and np.abs(points).max() < 50, "nothing flies off"
    assert (points == tsne.placed(vectors.copy())).all()


def test_the_perplexity_is_bounded_by_the_points() -> None:
    assert [tsne.perplexity(count) for count in (4, 16, 91, 5000)] == [1, 5, 30, 30]
    with pytest.raises(Missing, match="3 people: 4 or more"):
        tsne.perplexity(3)


def test_without_scikit_learn_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(Missing, match="pip install scikit-learn"):
        tsne.placed(np.zeros((5, 2)))
