"""Metrics of matching: by hand, by counting every case, and against scikit-learn and scipy."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from models import matching_metrics as mm
from models import metrics

pytestmark = pytest.mark.usefixtures("one_thread")
EVERYBODY = ["anybody"] * 12


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("scores", "place", "expected"),
    [
        ([0.1, 0.9, 0.3], 1, True),
        ([0.1, 0.9, 0.3], 0, False),
        ([0.5, 0.5], 0, False),  # a tie is wrong
        ([0.5, 0.5], 1, False),
        ([-1.0, -2.0], 0, True),
        ([float("nan"), 0.0], 1, False),
        ([float("nan"), 0.0], 0, False),
        ([float("inf"), 0.0], 0, False),
    ],
)
def test_right_is_strictly_the_largest(scores: list[float], place: int, expected: bool) -> None:
    assert bool(mm.right(torch.tensor(scores), torch.tensor(place))) is expected


def test_blind_scores_are_right_once_in_k() -> None:
    for k in (2, 5, 10):
        scores = torch.rand(200, 100, k, generator=torch.Generator().manual_seed(k))
        place = torch.randint(k, (200, 100), generator=torch.Generator().manual_seed(1))
        assert mm.right(scores, place).float().mean().item() == pytest.approx(1 / k, abs=0.01)


@given(
    groups=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=20),
    candidates=st.integers(2, 6),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_gallery_holds_the_person_and_different_others_of_the_group(
    groups: list[str | None], candidates: int, seed: int
) -> None:
    found = mm.trials(groups, candidates, 30, rng(seed))
    able = [i for i, name in enumerate(groups) if name is not None and groups.count(name) >= candidates]
    assert found.probes.tolist() == able
    if able:
        assert found.people.shape[0] * found.people.shape[1] >= 30
    for probe, of_probe, places in zip(found.probes, found.people, found.place, strict=True):
        for people, place in zip(of_probe, places, strict=True):
            assert people[place] == probe and len(set(people.tolist())) == candidates
            assert {groups[i] for i in people} == {groups[probe]}


def test_impostors_are_uniform_and_stand_anywhere() -> None:
    found = mm.trials(EVERYBODY, 4, 60_000, rng())
    for i, probe in enumerate(found.probes):
        counts = np.bincount(found.people[i].ravel(), minlength=12)
        others = np.delete(counts, probe)
        assert counts[probe] == found.people.shape[1]
        assert abs(others / others.mean() - 1).max() < 0.15
    assert np.bincount(found.place.ravel()) / found.place.size == pytest.approx([0.25] * 4, abs=0.01)


def test_trials_depend_on_the_seed_alone() -> None:
    one, again, other = (mm.trials(EVERYBODY, 3, 100, rng(seed)).people for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


@pytest.mark.parametrize("candidates", [2, 3, 10])
def test_knowing_the_gender_only(candidates: int) -> None:
    """Against trials in which a guess is blind among those of the right gender."""
    genders: list[str | None] = [*("m" * 14), *("f" * 8)]
    found = mm.trials(["anybody"] * len(genders), candidates, 60_000, rng())
    female = np.array([gender == "f" for gender in genders])
    alike = (female[found.people] == female[found.probes][:, None, None]).sum(axis=2)
    expected = metrics.matching_by_gender(genders, candidates)
    assert expected == pytest.approx((1 / alike).mean(), abs=0.005)
    # Impostors of the same gender: only the fourteen men have nine of them.
    assert metrics.matching_by_gender(genders, candidates, genders) == pytest.approx(1 / candidates)
    assert metrics.matching_by_gender([*genders, None], candidates) is None


def pairs(draw: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    scores, same = zip(*draw, strict=True)
    return np.array(scores, float), np.array(same)


labelled = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
    lambda drawn: len({same for _, same in drawn}) == 2
)


@given(labelled)
@settings(max_examples=150, deadline=None)
def test_auc_and_eer_are_those_of_scikit_learn_ties_and_all(drawn: list[tuple[int, bool]]) -> None:
    scores, same = pairs(drawn)
    curve = mm.roc(scores, same)
    assert mm.auc(*curve)[0] == pytest.approx(roc_auc_score(same, scores))
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    expected = np.interp(0.0, false + true - 1, false)  # where the curve meets the falling diagonal
    assert mm.eer(*curve)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("same", "different", "eer", "auc"),
    [
        ([3.0, 4.0], [1.0, 2.0], 0.0, 1.0),
        ([1.0, 2.0], [3.0, 4.0], 1.0, 0.0),
        ([1.0, 1.0], [1.0, 1.0], 0.5, 0.5),
        ([1.0, 3.0, 4.0, 5.0], [0.0, 0.5, 0.7, 2.0], 0.25, 15 / 16),
    ],
)
def test_verification_by_hand(same: list[float], different: list[float], eer: float, auc: float) -> None:
    curve = mm.roc(np.array(same + different), np.array([True] * len(same) + [False] * len(different)))
    assert mm.eer(*curve)[0] == pytest.approx(eer) and mm.auc(*curve)[0] == pytest.approx(auc)


@given(labelled, st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_a_weight_is_a_number_of_copies(drawn: list[tuple[int, bool]], seed: int) -> None:
    scores, same = pairs(drawn)
    times = rng(seed).integers(1, 4, len(scores))
    weighted = mm.roc(scores, same, times[None].astype(float))
    copied = mm.roc(np.repeat(scores, times), np.repeat(same, times))
    for metric in (mm.auc, mm.eer):
        assert metric(*weighted)[0] == pytest.approx(metric(*copied)[0])


def test_resampling_draws_as_many_owners_as_there_are() -> None:
    owners = np.array([7, 7, 3, 9, 9, 9])
    counts = mm.resampled(owners, 4000, rng())
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3] == counts[:, 5]).all()
    assert (counts[:, 0] + counts[:, 2] + counts[:, 3] == 3).all()
    assert counts.mean(axis=0) == pytest.approx([1.0] * 6, abs=0.05)


@given(st.integers(0, 10_000), st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_average_precision_is_that_of_scikit_learn(seed: int, size: int) -> None:
    drawn = rng(seed)
    scores = drawn.permutation(size)[None].astype(float)
    relevant = drawn.random((1, size)) < 0.4
    relevant[0, drawn.integers(size)] = True
    found = mm.average_precision(torch.from_numpy(scores), torch.from_numpy(relevant))
    assert found.item() == pytest.approx(average_precision_score(relevant[0], scores[0]))


def test_average_precision_by_hand() -> None:
    relevant = torch.tensor([[True, False, True, False]] * 3)
    scores = torch.tensor([[4.0, 3, 2, 1], [1.0, 4, 2, 3], [1.0, 1, 1, 1]])
    found = mm.average_precision(scores, relevant)
    # First and third; third and fourth; of equal scores the irrelevant come first.
    assert found.tolist() == pytest.approx([(1 + 2 / 3) / 2, (1 / 3 + 2 / 4) / 2, (1 / 3 + 2 / 4) / 2])


@pytest.mark.parametrize(("relevant", "size"), [(1, 1), (1, 5), (2, 6), (3, 6), (6, 6)])
def test_chance_is_the_mean_over_every_order(relevant: int, size: int) -> None:
    wanted = torch.arange(size) < relevant
    orders = torch.tensor(list(permutations(range(size))), dtype=torch.double)
    everywhere = wanted.expand(len(orders), -1)
    assert mm.chance_precision(relevant, size) == pytest.approx(
        mm.average_precision(orders, everywhere).mean().item(), rel=1e-9
    )
    for k in range(1, size):
        share = mm.found_any(orders, everywhere, k).double().mean().item()
        assert mm.chance_any(relevant, size, k) == pytest.approx(share)


def test_the_published_chance_of_5000_faces_of_100_people() -> None:
    """Speech2Face, Table 3, row "random": 1, 2, 5, 10, which are roundings."""
    found = [100 * mm.chance_any(50, 5000, k) for k in (1, 2, 5, 10)]
    assert found == pytest.approx([1.00, 1.99, 4.90, 9.57], abs=0.005)


def test_any_of_a_persons_media_is_a_hit_and_ties_miss() -> None:
    relevant = torch.tensor([[True, True, False, False]])
    assert mm.found_any(torch.tensor([[0.0, 9, 5, 4]]), relevant, 1).item()
    assert not mm.found_any(torch.tensor([[0.0, 5, 9, 4]]), relevant, 1).item()
    assert mm.found_any(torch.tensor([[0.0, 5, 9, 4]]), relevant, 2).item()
    assert not mm.found_any(torch.tensor([[5.0, 5, 5, 4]]), relevant, 1).item()
    assert not mm.found_any(torch.full((1, 4), float("nan")), relevant, 3).item()


@pytest.mark.parametrize(("distance", "named"), [("l1", "cityblock"), ("l2", "euclidean"), ("cosine", "cosine")])
def test_nearness_is_scipys_distance_reversed(distance: Any, named: str) -> None:
    a, b = (torch.randn(n, 7, generator=torch.Generator().manual_seed(n)) for n in (4, 5))
    expected = cdist(a.double().numpy(), b.double().numpy(), named)
    offset = 1.0 if distance == "cosine" else 0.0
    assert mm.nearness(a, b, distance).numpy() == pytest.approx(offset - expected, abs=1e-9)
