"""Planted defects: each is what its name says, in the scene or in the bytes."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from pipeline import images
from pipeline.world.defects import DEFECTS, Shot, take
from pipeline.world.demo import plan_defects

MAX_PIXELS = 10**7


@pytest.fixture(scope="module")
def shots() -> dict[str | None, Shot]:
    return {defect: take(5, 3, 1, defect) for defect in (None, *DEFECTS)}


def test_every_defect_is_named_and_repeatable(shots: dict[str | None, Shot]) -> None:
    for defect, shot in shots.items():
        assert shot.defect == defect
    for defect in (None, "two_people", "near_duplicate", "truncated", "exif_rotated"):
        assert take(5, 3, 1, defect).data == shots[defect].data


def test_pictures_decode_to_what_was_photographed(shots: dict[str | None, Shot]) -> None:
    broken = {"truncated", "html_as_jpg", "zero_bytes"}
    for defect, shot in shots.items():
        if defect in broken:
            with pytest.raises(images.Unreadable):
                images.decode(shot.data, MAX_PIXELS)
        else:
            assert shot.photo is not None
            pixels = images.decode(shot.data, MAX_PIXELS)
            assert pixels.shape == shot.photo.pixels.shape
            assert np.abs(pixels.astype(int) - shot.photo.pixels).mean() < 6


def test_mislabelled_files_say_in_their_bytes_what_they_are(shots: dict[str | None, Shot]) -> None:
    assert shots["png_as_jpg"].data.startswith(b"\x89PNG")
    assert shots["html_as_jpg"].data.startswith(b"<!DOCTYPE html>")
    assert shots["zero_bytes"].data == b""
    assert shots[None].data.startswith(b"\xff\xd8")


def test_scenes_carry_their_defect(shots: dict[str | None, Shot]) -> None:
    scene = {defect: shot.scene for defect, shot in shots.items()}
    assert abs(scene["turned"].yaw_deg) >= 12
    assert abs(scene["nodded"].pitch_deg) >= 13
    assert scene["grey"].grey
    assert abs(scene["side_light"].light_azimuth_deg) >= 70
    for kind in ("smile", "surprise", "scowl"):
        assert scene[kind].expression == kind
    tiny, clean = shots["tiny"].photo, shots[None].photo
    assert tiny is not None
    assert clean is not None
    assert tiny.pupil_px < 30 < clean.pupil_px


def test_two_people_cover_more_than_one_and_nobody_nothing(shots: dict[str | None, Shot]) -> None:
    two, nobody = shots["two_people"].photo, shots["nobody"].photo
    assert two is not None
    assert nobody is not None
    half = two.mask.shape[1] // 2
    for side in (two.mask[:, :half], two.mask[:, half:]):
        assert (side > 0).mean() > 0.3
    assert not nobody.mask.any()


def test_the_wrong_person_is_somebody_else() -> None:
    own, wrong = take(5, 3, 1, None), take(5, 3, 1, "wrong_person")
    assert own.scene == wrong.scene
    assert own.data != wrong.data


def test_duplicates_repeat_the_first_picture(shots: dict[str | None, Shot]) -> None:
    first = take(5, 3, 0, None)
    exact, near = shots["exact_duplicate"], shots["near_duplicate"]
    assert exact.data == first.data
    assert exact.duplicate_of == near.duplicate_of == 0
    assert near.data != first.data
    assert near.photo is not None
    assert first.photo is not None
    assert near.photo.pupil_px < first.photo.pupil_px
    large = np.asarray(Image.fromarray(near.photo.pixels).resize(first.photo.pixels.shape[1::-1]), float)
    assert np.abs(large - first.photo.pixels).mean() < 12


def test_a_rotated_file_shows_upright_by_its_exif_tag() -> None:
    shot = take(5, 3, 1, "exif_rotated")
    assert shot.photo is not None
    height, width = shot.photo.pixels.shape[:2]
    header = images.header(shot.data, MAX_PIXELS)
    assert (header.width, header.height) == (width, height)
    assert shot.data != take(5, 3, 1, None).data


def test_clean_pictures_are_the_majority_and_every_defect_is_planted() -> None:
    plans = [plan_defects(1, index, 14) for index in range(12)]
    for plan in plans:
        assert plan[0] is None
        assert sum(defect is None for defect in plan) >= 8
        assert len({d for d in plan if d}) == sum(d is not None for d in plan)
    assert {defect for plan in plans for defect in plan if defect} == set(DEFECTS)


def test_pictures_of_one_person_differ() -> None:
    digests = {hashlib.sha256(take(5, 3, number, None).data).digest() for number in range(4)}
    assert len(digests) == 4
