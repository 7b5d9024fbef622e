"""The pose measure on heads of planted scores, and copies of drawn photographs."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages.accuracy import copies
from stages.accuracy.finding import Finding, Unmeasured
from stages.accuracy.pose import Head, drawn_heads, of_drawn
from stages.accuracy.scored import KEPT, Photo, decision, lossless, only, score
from stages.landmarks import Limits

PLAIN = {
    "fault": None, "rival_area": 0.0, "pupil_px": 80.0, "landmark_spread": 0.01, "alignment_residual": 0.02,
    "colourfulness": 30.0, "light_imbalance": 0.1, "light_contrast": 0.1,
}  # fmt: skip


def head(yaw_deg: float, pitch_deg: float, off_by: tuple[float, float] = (0.0, 0.0)) -> Head:
    measured = {"yaw_deg": yaw_deg + off_by[0], "pitch_deg": pitch_deg + off_by[1]}
    return Head(yaw_deg, pitch_deg, PLAIN | measured)


def figures(wide: list[Head], near: list[Head]) -> dict[str, float]:
    found = [finding.figure.value for finding in of_drawn(wide, near)]
    return dict(zip(("yaw", "pitch", "zero", "right", "recall"), found, strict=True))


def test_perfect_answers() -> None:
    heads = [head(yaw, pitch) for yaw in (-20.0, -3.0, 0.0, 4.0) for pitch in (-20.0, 0.0, 4.0)]
    assert figures(heads, heads) == {"yaw": 0.0, "pitch": 0.0, "zero": 0.0, "right": 1.0, "recall": 1.0}


def test_every_kind_of_error_shows() -> None:
    """Pitch 6 degrees too high: a level head is dropped, one that nods 11 degrees is kept and counts as wrong."""
    near = [head(0.0, 0.0, (0.0, 6.0)), head(0.0, -4.0, (0.0, 6.0)), head(0.0, -11.0, (0.0, 6.0))]
    found = figures([head(20.0, 10.0, (-2.0, 6.0))], near)
    assert (found["yaw"], found["pitch"], found["zero"]) == (2.0, 6.0, 6.0)
    assert found["right"] == found["recall"] == 0.5


def test_a_head_not_found_lowers_the_recall_only() -> None:
    near = [head(0.0, 0.0), Head(1.0, 1.0, dict.fromkeys(PLAIN) | {"fault": "no_face", "fault_detail": ""})]
    found = figures([head(0.0, 0.0)], near)
    assert found["right"] == 1.0
    assert found["recall"] == pytest.approx(2 / 3)


def test_drawn_heads_are_the_same_again_and_near_the_truth() -> None:
    first, again = drawn_heads(3, 3, 10.0), drawn_heads(3, 3, 10.0)
    assert first == again
    assert all(abs(error) < 6.0 for one in first for error in one.errors_deg)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Photo:
    pixels = photograph(draw_person(7, 0), Scene(seed=3, light_harshness=0.1, pupil_px=75.0)).pixels
    path = tmp_path_factory.mktemp("photo") / "drawn.bmp"
    path.write_bytes(lossless(pixels))
    return Photo(path, "0", score(pixels))


def test_copies_of_a_drawn_photograph_are_decided_alike(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "photos", lambda data: (photo,))
    found = [finding for finding in copies.measure(Path()) if isinstance(finding, Finding)]
    assert [finding.figure.value for finding in found] == [1.0, 1.0, 1.0]
    assert [finding.count for finding in found] == [1, 2, 3]  # 60, 41 and 26 px: one is too small by the rule


def test_a_stage_that_favours_one_side_is_found_out(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    def lopsided(pixels: np.ndarray) -> dict[str, object]:
        return photo.scores | {"yaw_deg": 9.0}

    monkeypatch.setattr(copies, "photos", lambda data: (photo,))
    monkeypatch.setattr(copies, "score", lopsided)
    mirrored = next(iter(copies.measure(Path())))
    assert isinstance(mirrored, Finding)
    assert mirrored.figure.value == 0.0


def test_without_photographs_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "photos", lambda data: ())
    assert all(isinstance(finding, Unmeasured) for finding in copies.measure(Path()))


def test_only_the_named_rules_are_on() -> None:
    limits = only("max_yaw_deg")
    assert limits.max_yaw_deg == Limits().max_yaw_deg
    assert decision(PLAIN | {"yaw_deg": 0.0, "pitch_deg": 80.0}, limits) == KEPT
    assert decision(PLAIN | {"yaw_deg": 80.0, "pitch_deg": 0.0}, limits) == "yaw"
