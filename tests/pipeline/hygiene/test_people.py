"""Groups of faces that agree, and pictures held against them, on planted points."""

import numpy as np
import pytest

from pipeline.hygiene.people import Agreement, Fit
from pipeline.hygiene.people import fits as fits_of

STRICT = Agreement(radius=0.5, least=3)


def fits(people: list[str], points: np.ndarray, agreement: Agreement) -> list[Fit]:
    return fits_of(people, points, np.ones(len(people), dtype=bool), agreement)


def around(centre: float, count: int, spread: float = 0.05) -> np.ndarray:
    """Points near (centre, 0, 0, ...)."""
    points = np.random.default_rng(int(100 * centre) + count).normal(0, spread / 11, (count, 128))
    points[:, 0] += centre
    return points


def test_a_stranger_among_a_persons_pictures_lies_far_from_their_centre() -> None:
    found = fits(["a"] * 5, np.concatenate([around(0.0, 4), around(1.0, 1)]), STRICT)
    assert [fit.agreeing for fit in found] == [4] * 5
    assert all(fit.own_distance < 0.2 for fit in found[:4])
    assert found[4].own_distance == pytest.approx(1.0, abs=0.1)


def test_a_picture_under_the_wrong_listed_name_is_nearest_to_whose_it_is() -> None:
    points = np.concatenate([around(0.0, 4), around(1.0, 1), around(1.0, 5)])
    found = fits(["a"] * 5 + ["b"] * 5, points, STRICT)
    assert (found[4].other, found[0].other, found[9].other) == ("b", "b", "a")
    assert found[4].other_distance < 0.2 < 0.8 < found[0].other_distance


@pytest.mark.parametrize(
    "sizes",
    [(2,), (1,), (3, 3), (2, 2, 2), (1, 1, 1, 1)],
    ids=["too few", "alone", "even halves", "thirds", "nobody alike"],
)
def test_a_person_whose_pictures_do_not_agree_is_not_judged_and_judges_nobody(sizes: tuple[int, ...]) -> None:
    unsure = np.concatenate([around(float(place), size) for place, size in enumerate(sizes)])
    found = fits(["a"] * len(unsure) + ["b"] * 3, np.concatenate([unsure, around(9.0, 3)]), STRICT)
    assert {fit.own_distance for fit in found[: len(unsure)]} == {None}
    assert {fit.other for fit in found[: len(unsure)]} == {"b"}
    assert {fit.other for fit in found[len(unsure) :]} == {None}


def test_a_member_does_not_vouch_for_itself() -> None:
    points = np.zeros((3, 128))
    points[2, 0] = 0.3
    assert fits(["a"] * 3, points, STRICT)[2].own_distance == pytest.approx(0.3)


def test_copies_are_judged_but_do_not_vouch_for_a_person() -> None:
    points = np.concatenate([around(0.0, 1), around(0.0, 1), around(0.0, 1), around(1.0, 2)])
    copies = np.array([True, False, False, True, True])
    assert {fit.own_distance for fit in fits_of(["a"] * 5, points, copies, STRICT)} == {None}
    assert all(fit.own_distance is not None for fit in fits(["a"] * 5, points, STRICT))


def test_the_ratio_is_by_what_is_usual_for_the_person() -> None:
    found = fits(["a"] * 7, np.concatenate([around(0.0, 6, spread=0.2), around(0.45, 1)]), STRICT)
    assert max(fit.own_ratio for fit in found[:6]) < 1.5
    assert found[6].own_ratio > 2.0


def test_nobody_at_all() -> None:
    assert fits([], np.empty((0, 128)), STRICT) == []
