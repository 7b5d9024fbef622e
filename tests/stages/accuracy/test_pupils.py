"""Where annotated eyes land: against drawn faces whose pupils are known to a fraction of a pixel."""

import numpy as np
import pytest

from pipeline import geometry, images
from pipeline.world.faces import Photo, photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages import align
from stages.accuracy import pupils
from stages.accuracy.scored import lossless, score


@pytest.fixture(scope="module")
def photo() -> Photo:
    return photograph(draw_person(7, 0), Scene(seed=3, light_harshness=0.1, pupil_px=80.0, roll_deg=8.0))


def with_eyes_at(eyes: np.ndarray) -> np.ndarray:
    """68 points whose eye centres are these."""
    at = np.zeros((68, 2))
    at[geometry.LEFT_EYE], at[geometry.RIGHT_EYE] = eyes[0], eyes[1]
    return at


def test_points_count_from_zero_and_ignore_the_header() -> None:
    text = "version: 1\nn_points: 2\n{\n1.0 1.0\n11.5 21\n}\n"
    assert pupils.read_points(text).tolist() == [[0.0, 0.0], [10.5, 20.0]]


@pytest.mark.parametrize("text", ["", "{ 1 2 3 }", "{ 1 x }"])
def test_damaged_points_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # the message is Python's
        pupils.read_points(text)


def test_drawn_pupils_land_where_they_should(photo: Photo) -> None:
    errors = pupils.pupil_errors(photo.pixels, with_eyes_at(photo.pupils))
    assert len(errors) == 2
    assert max(errors) < 0.06


def test_a_shifted_annotation_is_seen(photo: Photo) -> None:
    """Ten pixels to the right of where dlib sees the eyes are an eighth of the pupil distance."""
    seen = geometry.points(score(photo.pixels)["pupils"])
    errors = pupils.pupil_errors(photo.pixels, with_eyes_at(seen + np.array([10.0, 0.0])))
    assert errors == pytest.approx([10.0 / geometry.distance(*seen)] * 2, rel=0.01)


def test_another_face_or_none_gives_nothing(photo: Photo) -> None:
    assert pupils.pupil_errors(photo.pixels, with_eyes_at(photo.pupils + 100.0)) == []
    assert pupils.pupil_errors(np.full((200, 200, 3), 128, np.uint8), with_eyes_at(photo.pupils)) == []


def test_the_rendered_picture_agrees_with_the_transform(photo: Photo) -> None:
    """A red spot painted where the landmarks see each pupil lies on the target in the rendered square."""
    scores = score(photo.pixels)
    painted = photo.pixels.copy()
    spots = np.rint(geometry.points(scores["pupils"])).astype(int)
    for x, y in spots:
        painted[y - 2 : y + 3, x - 2 : x + 3] = (255, 0, 0)
    height, width = painted.shape[:2]
    row = scores | {"image": lossless(painted), "source_width": width, "source_height": height}
    aligned = align.score(row, align.Scoring())
    square = images.decode(align.render(row, aligned, align.Limits())["image"], 10**7).astype(int)
    y, x = np.nonzero((square[..., 0] > 200) & (square[..., 1:].max(axis=2) < 80))
    middle = square.shape[1] / 2
    found = [[x[side].mean(), y[side].mean()] for side in (x < middle, x >= middle)]
    assert np.abs(np.array(found) - geometry.pupil_targets(aligned["side"])).max() < 1.0
