"""Groups of faces that agree, and pictures held against them, on planted points."""

import numpy as np
import pytest

from pipeline.hygiene.people import NOBODY, Agreement, Embeddings, Fits, fits

STRICT = Agreement(radius=0.5, least=3)


def judged(sizes: list[int], points: Embeddings, counted: list[bool] | None = None) -> Fits:
    """The fits of people with so many pictures each."""
    people = np.repeat(np.arange(len(sizes)), sizes)
    return fits(people, points, np.ones(len(people), dtype=bool) if counted is None else np.array(counted), STRICT)


def around(centre: float, count: int, spread: float = 0.05) -> Embeddings:
    """Points near (centre, 0, 0, ...)."""
    points = np.random.default_rng(int(100 * centre) + count).normal(0, spread / 11, (count, 128))
    points[:, 0] += centre
    return points.astype(np.float32)


def crowd(people: int) -> Embeddings:
    """Three pictures of each of some people who lie 1 to 2 from one another, each along an axis of their own."""
    points = np.repeat(np.eye(128)[2 : 2 + people] * np.linspace(0.8, 1.4, people)[:, None], 3, axis=0)
    return (points + np.random.default_rng(0).normal(0, 0.005, points.shape)).astype(np.float32)


def test_a_stranger_among_a_persons_pictures_lies_far_from_their_centre() -> None:
    found = judged([5], np.concatenate([around(0.0, 4), around(1.0, 1)]))
    assert found.agreeing.tolist() == [4] * 5
    assert (found.own_distance[:4] < 0.2).all()
    assert found.own_distance[4] == pytest.approx(1.0, abs=0.1)


def test_a_picture_under_the_wrong_listed_name_is_nearest_to_whose_it_is() -> None:
    found = judged([5, 5], np.concatenate([around(0.0, 4), around(1.0, 1), around(1.0, 5)]))
    assert found.other.tolist() == [1] * 5 + [0] * 5
    assert found.other_distance[4] < 0.2 < 0.8 < found.other_distance[0]


@pytest.mark.parametrize(
    "sizes",
    [(2,), (1,), (3, 3), (2, 2, 2), (1, 1, 1, 1)],
    ids=["too few", "alone", "even halves", "thirds", "nobody alike"],
)
def test_a_person_whose_pictures_do_not_agree_is_not_judged_and_judges_nobody(sizes: tuple[int, ...]) -> None:
    unsure = np.concatenate([around(float(place), size) for place, size in enumerate(sizes)])
    found = judged([len(unsure), 3], np.concatenate([unsure, around(9.0, 3)]))
    assert np.isnan(found.own_distance[: len(unsure)]).all()
    assert set(found.other[: len(unsure)].tolist()) == {1}
    assert set(found.other[len(unsure) :].tolist()) == {NOBODY}
    assert np.isnan(found.other_distance[len(unsure) :]).all()


def test_a_member_does_not_vouch_for_itself() -> None:
    points = np.zeros((3, 128), dtype=np.float32)
    points[2, 0] = 0.3
    assert judged([3], points).own_distance[2] == pytest.approx(0.3)


def test_copies_are_judged_but_do_not_vouch_for_a_person() -> None:
    points = np.concatenate([around(0.0, 1), around(0.0, 1), around(0.0, 1), around(1.0, 2)])
    assert np.isnan(judged([5], points, [True, False, False, True, True]).own_distance).all()
    assert not np.isnan(judged([5], points).own_distance).any()


def test_the_norm_is_the_distance_in_spreads_of_the_distances_from_everybody_else() -> None:
    """Every picture against a direct reading of the definition; a stranger's lies near 0, a person's own far below."""
    others = crowd(12)
    stranger = np.zeros((1, 128), dtype=np.float32)
    stranger[0, 100] = 1.0
    found = judged([4, *[3] * 12], np.concatenate([around(0.0, 3), stranger, others]))
    centres = others.astype(float).reshape(12, 3, 128).mean(axis=1)
    apart = np.linalg.norm(stranger.astype(float) - centres, axis=1)
    assert found.own_norm[3] == pytest.approx((found.own_distance[3] - apart.mean()) / apart.std())
    assert found.own_norm[:3].max() < -3.0
    assert found.own_norm[4:].max() < -3.0


def test_where_everything_lies_farther_off_the_norm_stays_and_the_distance_grows() -> None:
    """What an odd expression does to a face: it moves away from its own person and from all others alike."""
    odd = np.zeros((1, 128), dtype=np.float32)
    odd[0, 100] = 0.5
    found = judged([4, *[3] * 12], np.concatenate([around(0.0, 3), odd, crowd(12)]))
    assert found.own_distance[3] == pytest.approx(0.5, abs=0.05)
    assert found.own_norm[3] < -1.5


def test_few_others_give_no_norm() -> None:
    found = judged([3, *[3] * 10], np.concatenate([around(0.0, 3), crowd(10)]))
    assert not np.isnan(found.own_norm).any()
    found = judged([3, *[3] * 9], np.concatenate([around(0.0, 3), crowd(9)]))
    assert np.isnan(found.own_norm).all()


def test_distances_from_others_are_right_to_six_places() -> None:
    found = judged([3, 3], np.concatenate([around(0.0, 3), around(1.0, 3)]))
    own = np.concatenate([around(0.0, 3), around(1.0, 3)]).astype(float)
    assert found.other_distance[:3] == pytest.approx(np.linalg.norm(own[:3] - own[3:].mean(axis=0), axis=1), abs=1e-6)


def test_nobody_at_all() -> None:
    assert len(judged([], np.empty((0, 128), dtype=np.float32)).other) == 0
