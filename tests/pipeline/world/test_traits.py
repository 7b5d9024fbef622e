"""Invented people: deterministic, unique, and their voices follow their faces as far as the recipe says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.world.ceiling import ceiling, log_likelihoods, recall_at
from pipeline.world.traits import (
    FACE_FIELDS,
    VOICE_FIELDS,
    double_of,
    draw_person,
    listed_person,
    private_noise_sd,
    voice_latent,
    voice_loading_matrix,
)

CROWD = [draw_person(3, index) for index in range(2000)]


@given(st.integers(0, 10**6), st.integers(0, 200_000))
def test_the_same_numbers_give_the_same_person(seed: int, index: int) -> None:
    assert draw_person(seed, index) == draw_person(seed, index)


def test_ids_and_names_are_unique() -> None:
    assert len({person.person_id for person in CROWD}) == len(CROWD)
    assert len({person.name for person in CROWD}) == len(CROWD)


def test_a_person_does_not_depend_on_the_world_being_large() -> None:
    assert draw_person(3, 7) == CROWD[7]
    assert draw_person(4, 7) != CROWD[7]


def test_an_index_beyond_the_last_name_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to 262143"):
        draw_person(0, 262_144)


def test_every_twelfth_looks_like_the_one_before_and_is_somebody_else() -> None:
    doubles = {index: double_of(index) for index in range(36) if double_of(index) is not None}
    assert doubles == {11: 10, 23: 22, 35: 34}
    usual = np.median([np.linalg.norm(CROWD[i].face.vector() - CROWD[i + 1].face.vector()) for i in range(100)])
    for index, other in doubles.items():
        one, two = listed_person(3, index), listed_person(3, other)
        assert two == CROWD[other]
        assert one.gender == two.gender
        assert one.name == CROWD[index].name != two.name
        assert one.voice != two.voice
        assert 0 < np.linalg.norm(one.face.vector() - two.face.vector()) < 0.2 * usual
    assert [listed_person(3, index) for index in range(11)] == CROWD[:11]


def test_voice_traits_are_plausible() -> None:
    for person in CROWD:
        assert 60 < person.voice.f0_hz < 320
        assert 0.85 < person.voice.formant_scale < 1.4
        assert 0 < person.voice.breathiness < 1
        assert 2 < person.voice.tempo < 9
        assert 20 <= person.face.age_years <= 76


def test_women_speak_higher_than_men() -> None:
    pitch = {gender: np.median([p.voice.f0_hz for p in CROWD if p.gender == gender]) for gender in "mf"}
    assert 100 < pitch["m"] < 135
    assert 180 < pitch["f"] < 230


def test_the_face_explains_the_voice_as_far_as_the_loadings_say() -> None:
    """A regression from the traits of 2000 people finds the loadings and the private noise again."""
    faces = np.stack([person.face.vector() for person in CROWD])
    voices = np.stack([voice_latent(person.voice, person.gender) for person in CROWD])
    found, *_ = np.linalg.lstsq(faces, voices, rcond=None)
    assert np.abs(found.T - voice_loading_matrix()).max() < 0.06
    assert np.abs((voices - faces @ found).std(axis=0) - private_noise_sd()).max() < 0.04


def test_no_voice_trait_depends_on_skin_hair_or_eye_colour() -> None:
    matrix = voice_loading_matrix()
    assert matrix.shape == (len(VOICE_FIELDS), len(FACE_FIELDS))
    assert not matrix[:, [FACE_FIELDS.index(name) for name in ("skin", "hair", "eye_colour")]].any()


def test_recall_counts_the_rank_of_the_own_face() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    assert recall_at(scores, (1, 2, 3)) == {1: 2 / 3, 2: 2 / 3, 3: 1.0}


def test_the_ceiling_lies_between_chance_and_certainty() -> None:
    best = ceiling(rounds=5)
    assert 0.5 < best[1] < 0.98
    assert best[1] < best[5] <= best[10]


def test_no_voice_is_likelier_from_a_face_of_the_other_gender_with_equal_traits() -> None:
    person = next(p for p in CROWD if p.gender == "m")
    other = replace(person, gender="f")
    own, foreign = log_likelihoods([person], [person, other])[0]
    assert own > foreign
