"""Photographs of invented people: the same bytes each time, and a truth that the pixels bear out."""

from dataclasses import replace

import numpy as np
import pytest

from manifests import weights
from pipeline import geometry, pose
from pipeline.faces import detect, landmark
from pipeline.geometry import PUPIL_DISTANCE, PUPILS_Y
from pipeline.world.faces import Photo, photograph
from pipeline.world.portrait import portrait
from pipeline.world.scene import EXPRESSIONS, Scene, draw_scene
from pipeline.world.traits import draw_person

PEOPLE = [draw_person(2, index) for index in range(12)]
SMALL = Scene(pupil_px=36.0, width=200, height=220, noise=0.0)


def find(photo: Photo) -> geometry.Points:
    """dlib's 68 landmarks of the one face that its HOG detector must find."""
    weights.path("dlib-68")
    faces = detect.find(photo.pixels, "dlib_hog", max(photo.pixels.shape), None)
    assert len(faces) == 1
    return landmark.place(photo.pixels, faces[0].box, "dlib_hog")


def test_the_same_scene_gives_the_same_photograph() -> None:
    scene = draw_scene(np.random.default_rng(1))
    once, again = photograph(PEOPLE[0], scene), photograph(PEOPLE[0], scene)
    assert np.array_equal(once.pixels, again.pixels)
    assert np.array_equal(once.mask, again.mask)
    assert np.array_equal(once.pupils, again.pupils)


def test_another_seed_changes_clothes_and_background_but_not_the_pose() -> None:
    one, other = photograph(PEOPLE[0], SMALL), photograph(PEOPLE[0], replace(SMALL, seed=9))
    assert not np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.pupils, other.pupils)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_mask_covers_both_pupils_and_no_upper_corner(expression: str) -> None:
    for person in PEOPLE:
        photo = photograph(person, replace(SMALL, expression=expression, yaw_deg=20.0))
        assert photo.pixels.shape == (220, 200, 3)
        assert photo.mask.shape == (220, 200)
        for x, y in np.rint(photo.pupils).astype(int):
            assert photo.mask[y, x] == 255
        assert photo.mask[0, 0] == photo.mask[0, -1] == 0


def test_pupils_are_dark() -> None:
    """The planted pupil is among the darkest spots of its neighbourhood, whatever the pose."""
    for person in PEOPLE[:6]:
        photo = photograph(person, Scene(noise=0.0, yaw_deg=8.0, roll_deg=6.0, pitch_deg=-4.0, light_harshness=0.1))
        for x, y in np.rint(photo.pupils).astype(int):
            around = photo.pixels[y - 8 : y + 9, x - 8 : x + 9].mean(axis=-1)
            assert around[7:10, 7:10].min() <= np.quantile(around, 0.1)  # beside the light's reflection


def test_turning_the_head_moves_the_nearer_pupil_as_a_mirror_image() -> None:
    """Yaw of the opposite sign mirrors the pupils about the middle of the picture."""
    for yaw in (10.0, 30.0):
        right = photograph(PEOPLE[1], replace(SMALL, yaw_deg=yaw)).pupils
        left = photograph(PEOPLE[1], replace(SMALL, yaw_deg=-yaw)).pupils
        mirrored = np.stack([SMALL.width - left[::-1, 0], left[::-1, 1]], axis=-1)
        assert np.allclose(right, mirrored, atol=1e-3)
        assert right.mean(axis=0)[0] > SMALL.width / 2  # positive yaw: towards the right edge


def test_a_raised_face_moves_its_pupils_up_and_a_rolled_one_leans_clockwise() -> None:
    level = photograph(PEOPLE[1], SMALL).pupils
    raised = photograph(PEOPLE[1], replace(SMALL, pitch_deg=15.0)).pupils
    rolled = photograph(PEOPLE[1], replace(SMALL, roll_deg=10.0)).pupils
    assert raised[:, 1].mean() < level[:, 1].mean()
    slope = np.degrees(np.arctan2(*(rolled[1] - rolled[0])[::-1]))
    assert slope == pytest.approx(10.0, abs=0.2)


def test_pupil_distance_follows_the_scale() -> None:
    for pupil_px in (20.0, 60.0):
        photo = photograph(PEOPLE[2], replace(SMALL, pupil_px=pupil_px))
        assert photo.pupil_px == pytest.approx(pupil_px, rel=0.12)


def test_nobody_leaves_an_empty_mask_and_no_pupils() -> None:
    photo = photograph(None, SMALL)
    assert not photo.mask.any()
    assert np.isnan(photo.pupils).all()
    assert photo.pupil_px == 0.0


def test_grey_pictures_have_equal_channels() -> None:
    photo = photograph(PEOPLE[3], replace(SMALL, grey=True, noise=2.0))
    assert np.array_equal(photo.pixels[..., 0], photo.pixels[..., 1])
    assert np.array_equal(photo.pixels[..., 0], photo.pixels[..., 2])


def test_side_light_darkens_the_far_half_of_the_face() -> None:
    scene = replace(SMALL, light_azimuth_deg=80.0, light_elevation_deg=10.0, light_harshness=0.95)
    for person in PEOPLE[:4]:
        photo = photograph(person, scene)
        (left_x, y), (right_x, _) = np.rint(photo.pupils).astype(int)
        below = slice(y + 10, y + 18)
        dark, bright = (photo.pixels[below, x - 3 : x + 4].mean() for x in (left_x, right_x))
        assert bright > 1.5 * dark


def test_a_portrait_is_white_around_and_has_its_pupils_in_place() -> None:
    drawn = portrait(PEOPLE[4], 0, 160)
    assert drawn.pixels.shape == (160, 160, 3)
    assert (drawn.pixels[drawn.mask == 0] == 255).all()
    y = round(PUPILS_Y * 160 - 0.5)
    for share in (0.5 - PUPIL_DISTANCE / 2, 0.5 + PUPIL_DISTANCE / 2):
        x = round(share * 160 - 0.5)
        around = drawn.pixels[y - 4 : y + 5, x - 4 : x + 5].mean(axis=-1)
        assert around[3:6, 3:6].min() <= np.quantile(around, 0.1)
    assert np.array_equal(drawn.pixels, portrait(PEOPLE[4], 0, 160).pixels)
    assert not np.array_equal(drawn.pixels, portrait(PEOPLE[4], 1, 160).pixels)


@pytest.mark.slow
def test_dlib_finds_every_frontal_face_with_its_eyes_and_pose() -> None:
    """One face, eyes within 0.15 pupil distances of the truth, yaw and pitch within 6 degrees."""
    for index, person in enumerate(PEOPLE):
        scene = draw_scene(np.random.default_rng([2, index]))
        photo = photograph(person, scene)
        at = find(photo)
        assert np.abs(geometry.eye_centres(at) - photo.pupils).max() < 0.15 * photo.pupil_px
        head = pose.head_pose(at)
        assert abs(head.yaw_deg - scene.yaw_deg) < 6.0
        assert abs(head.pitch_deg - scene.pitch_deg) < 6.0


@pytest.mark.slow
def test_estimated_yaw_and_pitch_follow_the_planted_ones() -> None:
    for name in ("yaw_deg", "pitch_deg"):
        measured = []
        for angle in (-15.0, 0.0, 15.0):
            poses = [pose.head_pose(find(photograph(p, replace(Scene(), **{name: angle})))) for p in PEOPLE[:6]]
            measured.append(float(np.median([getattr(one, name) for one in poses])))
        assert measured[0] < -9.0
        assert abs(measured[1]) < 4.0
        assert measured[2] > 9.0
