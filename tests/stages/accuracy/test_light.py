"""Planted light and lost colour: the changes do what they say, and the measure counts them."""

import numpy as np
import pytest

from pipeline import geometry
from pipeline.images import Pixels
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages.accuracy import light
from stages.accuracy.finding import Finding, Unmeasured
from stages.accuracy.labelled import by_eye
from stages.accuracy.light import Lamp
from stages.accuracy.scored import KEPT, decision, score

FLAT = np.full((100, 200, 3), 180, np.uint8)
PUPILS = [80.0, 50.0, 120.0, 50.0]


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    return photograph(draw_person(7, 0), Scene(seed=3, light_harshness=0.1, pupil_px=75.0)).pixels


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_lamp_plants_the_light_it_names(side: float) -> None:
    """Far from the middle the ratio of light, with the gamma undone, is the lamp's; nothing gets brighter."""
    relit = light.relit(FLAT, PUPILS, Lamp(4.0), side).astype(float)
    left, right = relit[50, 5, 0], relit[50, 195, 0]
    bright, dark = (left, right) if side > 0 else (right, left)
    assert bright == 180.0
    assert (bright / dark) ** 2.2 == pytest.approx(4.0, rel=0.03)
    assert relit.max() <= 180.0


def test_the_shadow_turns_with_the_face_and_aslant() -> None:
    upright = light.relit(FLAT, PUPILS, Lamp(4.0, 0.1), 1.0)
    assert (upright == upright[:1]).all()
    level = light.relit(FLAT, [100.0, 30.0, 100.0, 70.0], Lamp(4.0, 0.1), 1.0)  # a face lying on its side
    assert (level == level[:, :1]).all()
    aslant = light.relit(FLAT, PUPILS, Lamp(4.0, 0.1, 45.0), 1.0)
    assert aslant[10, 110, 0] > aslant[90, 110, 0]


def test_side_light_on_a_drawn_face_is_called_uneven(portrait: Pixels) -> None:
    scores = score(portrait)
    assert decision(scores, light._ONLY_LIGHT) == KEPT
    for side in (-1.0, 1.0):
        relit = score(light.relit(portrait, scores["pupils"], Lamp(4.0), side))
        assert decision(relit, light._ONLY_LIGHT) != KEPT
        assert light._same_face(relit, scores)
    elsewhere = scores | {"pupils": (geometry.points(scores["pupils"]) + 60.0).ravel().tolist()}
    assert not light._same_face(elsewhere, scores)


def test_grey_and_sepia_copies_have_no_colour_of_their_own(portrait: Pixels) -> None:
    assert light.is_coloured(portrait)
    assert not light.is_coloured(light.grey(portrait))
    assert light.is_coloured(light.sepia(portrait))
    for change in (light.grey, light.sepia):
        assert decision(score(change(portrait)), light._ONLY_COLOUR) == "monochrome"
    assert decision(score(portrait), light._ONLY_COLOUR) == KEPT


def test_two_readings_of_sixty_photographs_by_eye() -> None:
    lines = by_eye("light").values()
    for look in ("halves", "plain"):
        read = [line["light"] for line in lines if line["look"] == look]
        assert len(read) == 60
        assert set(read) == {"uniform", "uneven"}


def test_agreement_counts_both_kinds_of_error(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"a": "uniform", "b": "uniform", "c": "uneven", "d": "uneven", "absent": "uneven"}
    monkeypatch.setattr(
        light, "by_eye", lambda name: {key: {"light": value, "look": "plain"} for key, value in labels.items()}
    )
    even, uneven = {"light_imbalance": 0.0}, {"light_imbalance": 0.9}
    names = ("rival_area", "pupil_px", "yaw_deg", "pitch_deg", "landmark_spread", "alignment_residual", "colourfulness")
    nothing: dict[str, float | None] = dict.fromkeys((*names, "light_contrast"), 0.0) | {"fault": None}
    scores = {"a": nothing | even, "b": nothing | uneven, "c": nothing | uneven, "d": nothing | even}
    (found,) = light._agreement("plain", scores)
    assert isinstance(found, Finding)
    assert (found.count, found.figure.value) == (4, 0.5)
    assert found.note == "1 called uneven that the eye passes, 1 the other way round"
    (missing,) = light._agreement("plain", {})
    assert isinstance(missing, Unmeasured)
