"""The planted landmarks: where dlib finds them, mirrored where the head is, on the features that were painted."""

import numpy as np
import pytest

from manifests import weights
from pipeline import geometry
from pipeline.faces import landmark
from pipeline.world.faces import landmarks_of, photograph
from pipeline.world.head import anatomy
from pipeline.world.landmarks import landmarks
from pipeline.world.portrait import portrait
from pipeline.world.scene import EXPRESSIONS, Scene
from pipeline.world.traits import draw_person

PEOPLE = [draw_person(3, index) for index in range(8)]
FACE_TOP, FACE_BOTTOM = 0.6, 1.5  # pupil distances above and below the pupils: dlib's box


def dlib_box(at: geometry.Points) -> geometry.Box:
    """About the box that dlib's detector puts around a face with these pupils."""
    (x, y), distance = at.mean(axis=0), geometry.distance(at[0], at[1])
    half = (FACE_TOP + FACE_BOTTOM) / 2 * distance
    return (x - half, y - FACE_TOP * distance, x + half, y + FACE_BOTTOM * distance)


def test_dlib_finds_them_there() -> None:
    if not weights.verify("dlib-68").ok:
        pytest.skip("weights dlib-68 are not on this machine")
    errors = []
    for person in PEOPLE:
        drawn = portrait(person, 1, 256)
        truth = geometry.apply(drawn.transform, drawn.landmarks)
        found = landmark.place(drawn.pixels, dlib_box(geometry.pupil_targets(256)), "dlib_hog")
        errors.append(geometry.landmark_error(found, truth))
    assert np.mean(errors) < 0.045 and max(errors) < 0.07


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("person", PEOPLE[:4], ids=lambda person: person.person_id)
def test_a_head_is_as_good_as_its_mirror_image(person: object, expression: str) -> None:
    at = landmarks(anatomy(person, expression, 1.0, 0.0)).T.astype(np.float64)
    assert at.shape == (68, 3) and np.isfinite(at).all()
    mirrored = at[list(geometry.MIRRORED)] * [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(mirrored[:, :2], at[:, :2], atol=1e-3)
    np.testing.assert_allclose(mirrored[:, 2], at[:, 2], atol=1.0)  # depth is that of the nearest point of a grid


def test_an_open_mouth_is_open_and_a_closed_one_is_not() -> None:
    for person in PEOPLE:
        shut, smiling = (landmarks(anatomy(person, kind, 1.0, 0.0)) for kind in ("neutral", "smile"))
        assert abs(shut[1, 66] - shut[1, 62]) < 0.01 and smiling[1, 66] - smiling[1, 62] > 5.0
        assert smiling[1, 48] < smiling[1, 66]  # corners up


def test_eyes_lie_around_the_planted_pupils_whatever_the_pose() -> None:
    for person in PEOPLE[:3]:
        scene = Scene(pupil_px=36.0, width=200, height=220, noise=0.0, yaw_deg=8.0, roll_deg=12.0, pitch_deg=-4.0)
        photo = photograph(person, scene)
        eyes = geometry.eye_centres(landmarks_of(person, scene))
        assert np.linalg.norm(eyes - photo.pupils, axis=1).max() < 0.06 * photo.pupil_px


def test_the_jaw_is_the_outline_of_the_face() -> None:
    """From ear to ear, on the person, the chin lowest."""
    for person in PEOPLE[:3]:
        scene = Scene(pupil_px=36.0, width=200, height=220, noise=0.0)
        photo, at = photograph(person, scene), landmarks_of(person, scene)
        x, y = np.rint(at[:17]).astype(int).T
        assert (photo.mask[y, x] > 0).all()
        assert (np.diff(at[:17, 0]) > 0).all() and at[8, 1] == at[:, 1].max()
