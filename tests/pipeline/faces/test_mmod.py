"""The CNN detector in torch against dlib's own, and what its reader refuses."""

from pathlib import Path

import dlib
import numpy as np
import pytest

from manifests import weights
from manifests.errors import DataError
from pipeline import geometry
from pipeline.faces import mmod
from pipeline.faces.dlib_file import Reader, whole
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person


@pytest.mark.parametrize("index", range(2))
def test_torch_sees_what_dlib_sees(index: int) -> None:
    scene = Scene(seed=2, pupil_px=45.0, width=270, height=320)
    pixels = photograph(draw_person(4, index), scene).pixels
    (dlibs,) = dlib.cnn_face_detection_model_v1(str(weights.path(mmod.WEIGHTS)))(pixels, 0)
    ((box, confidence),) = mmod.find(pixels)
    there = (dlibs.rect.left(), dlibs.rect.top(), dlibs.rect.right() + 1, dlibs.rect.bottom() + 1)
    assert geometry.overlap(box, there) > 0.5
    assert confidence == pytest.approx(dlibs.confidence, abs=0.1)


def test_nothing_is_seen_in_noise_and_in_tiny_pictures() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 150, 3), dtype=np.uint8)
    assert mmod.find(noise) == []
    assert mmod.find(noise[:1, :1]) == []


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    data = weights.path(mmod.WEIGHTS).read_bytes()
    file = tmp_path / "model.dat"
    file.write_bytes(data[:300_000])
    with pytest.raises(DataError):
        mmod.read(file)


@pytest.mark.parametrize("value", [0, 1, 255, 256, 3100, -1, -3101])
def test_whole_numbers_read_as_written(value: int) -> None:
    reader = Reader(whole(value) + b"rest")
    assert reader.whole() == value
    assert reader.data[reader.at :] == b"rest"
