"""The measure of copies on a drawn photograph."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages.accuracy import photographs
from stages.accuracy.finding import Finding, Unmeasured
from stages.accuracy.photographs import CROPPED, MIRRORED, WHOLE
from stages.accuracy.scored import Photo, lossless, score


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Photo:
    pixels = photograph(draw_person(7, 0), Scene(seed=3, light_harshness=0.1, pupil_px=75.0)).pixels
    path = tmp_path_factory.mktemp("photo") / "drawn.bmp"
    path.write_bytes(lossless(pixels))
    return Photo(path, "0", score(pixels))


def test_every_change_changes_the_picture(photo: Photo) -> None:
    pixels = photo.pixels()
    for name, change in (WHOLE | CROPPED | MIRRORED).items():
        changed = change(pixels)
        assert changed.dtype == np.uint8
        assert changed.shape != pixels.shape or (changed != pixels).any(), name


def test_whole_and_cropped_copies_of_a_photograph_are_found_and_its_mirror_image_is_not(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PROVENANCE.csv").write_text("file,sha256,category,identity,label\ndrawn.bmp,0,faces,ann,\n")
    monkeypatch.setattr(photographs, "usable", lambda data: [photo])
    found = [finding for finding in photographs.measure(tmp_path) if isinstance(finding, Finding)]
    whole, cropped, mirrored, others = (finding.figure.value for finding in found)
    assert whole == 1.0
    assert cropped >= 0.75
    assert mirrored == others == 0.0


def test_without_photographs_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "usable", lambda data: [])
    assert all(isinstance(finding, Unmeasured) for finding in photographs.measure(Path()))
