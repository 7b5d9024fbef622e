"""Portraits before and after the filters: the same people in the same frame, on white or as they were found."""

import numpy as np

from pipeline import geometry
from pipeline.world.portrait import portrait, unfiltered
from pipeline.world.traits import draw_person

PERSON = draw_person(0, 4)
SIDE = 96


def test_the_ground_is_white_only_after_the_filters() -> None:
    clean, raw = portrait(PERSON, 0, SIDE), unfiltered(PERSON, 0, SIDE)
    assert (clean.pixels[clean.mask == 0] == 255).all()
    assert (raw.pixels[raw.mask == 0] < 250).any(axis=1).mean() > 0.9


def test_unfiltered_pictures_are_aligned_too() -> None:
    """The truth's eyes lie where the frame wants the pupils: all faces are cut by the same rule."""
    for number in range(6):
        drawn = unfiltered(PERSON, number, SIDE)
        eyes = np.stack([drawn.landmarks[36:42].mean(axis=0), drawn.landmarks[42:48].mean(axis=0)])
        placed = eyes @ drawn.transform[:, :2].T + drawn.transform[:, 2]
        assert np.abs(placed - geometry.pupil_targets(SIDE)).max() < 0.06 * SIDE


def test_unfiltered_pictures_differ_among_themselves_more() -> None:
    """Pose, mood and light come on top of what differs between filtered ones: seen where the face is."""
    spread = {}
    for draw in (portrait, unfiltered):
        faces = np.stack([draw(PERSON, number, SIDE).pixels[30:70, 30:66] for number in range(10)]).astype(float)
        spread[draw.__name__] = faces.std(axis=0).mean()
    assert spread["unfiltered"] > 1.5 * spread["portrait"]


def test_the_same_number_gives_the_same_picture() -> None:
    assert np.array_equal(unfiltered(PERSON, 2, SIDE).pixels, unfiltered(PERSON, 2, SIDE).pixels)
    assert not np.array_equal(unfiltered(PERSON, 2, SIDE).pixels, unfiltered(PERSON, 3, SIDE).pixels)
