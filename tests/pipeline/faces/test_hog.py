"""The quick HOG search: what it proposes, what dlib confirms, and how its file is made."""

from pathlib import Path

import dlib
import numpy as np
import pytest

from manifests.errors import DataError
from pipeline import geometry, warp
from pipeline.faces import hog
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person


def grey(index: int) -> np.ndarray:
    scene = Scene(seed=2, pupil_px=80.0, width=480, height=560)
    return np.ascontiguousarray(photograph(draw_person(4, index), scene).pixels[..., 1])


@pytest.fixture(scope="module")
def dlibs(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file: Path = tmp_path_factory.mktemp("dlib") / "detector"
    dlib.get_frontal_face_detector().save(str(file))
    return file.read_bytes()


@pytest.mark.parametrize("index", range(3))
def test_the_face_that_dlib_sees_is_found_in_half_the_pixels(index: int) -> None:
    full = grey(index)
    found = hog.find(warp.resized(full, 0.5), full)
    (whole,) = dlib.get_frontal_face_detector()(full, 0)
    assert len(found) == 1
    assert geometry.overlap(found[0][0], (whole.left(), whole.top(), whole.right() + 1, whole.bottom() + 1)) > 0.5


def test_a_known_face_is_not_found_again() -> None:
    full = grey(0)
    small = warp.resized(full, 0.5)
    ((box, _),) = hog.find(small, full)
    assert hog.find(small, full, [box]) == []


def test_the_halved_detector_has_one_filter_and_half_the_window(dlibs: bytes, tmp_path: Path) -> None:
    file = tmp_path / "halved"
    file.write_bytes(hog.halved(dlibs))
    detector = dlib.fhog_object_detector(str(file))
    assert (detector.num_detectors, detector.detection_window_width) == (1, 40)


def test_another_detector_is_refused(dlibs: bytes) -> None:
    with pytest.raises(DataError, match="dlib"):
        hog.halved(b"\x01\x03" + dlibs[2:])
    with pytest.raises(DataError, match="ends at byte"):
        hog.halved(dlibs[:5000])
