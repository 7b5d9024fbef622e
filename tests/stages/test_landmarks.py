"""The landmarks stage: what is measured, which rule drops what, and what must not change a decision."""

import io
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manifests import weights
from manifests.schema import FACE_SCORES
from pipeline import images, warp
from pipeline.images import Pixels
from pipeline.stage import Drop
from pipeline.world.faces import draw_figure, photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person
from stages.landmarks import STAGE, Limits, Scoring, decide, score

SCENE = Scene(seed=3, yaw_deg=1.0, light_azimuth_deg=10.0, light_harshness=0.1, pupil_px=75.0)
OFF = Limits(**{field.name: None for field in fields(Limits)})
PROPORTIONAL = ("pupils", "landmarks", "face_box", "pupil_px")


def drawn(scene: Scene = SCENE, index: int = 0) -> Pixels:
    return photograph(draw_person(7, index), scene).pixels


def measure(pixels: Pixels) -> dict[str, Any]:
    return score({"image": images.encode_png(pixels)}, Scoring(second_look_px=None))


@cache
def clean() -> dict[str, Any]:
    return measure(drawn())


def reason(scores: dict[str, Any], limits: Limits = Limits()) -> str | None:  # noqa: B008  # frozen
    result = decide({"row_id": "r"}, scores, limits)
    return result.reason if isinstance(result, Drop) else None


def test_a_clean_portrait_is_kept_with_everything_measured() -> None:
    kept = decide({"row_id": "r"}, clean(), Limits())
    assert not isinstance(kept, Drop)
    assert kept["row_id"] == "r"
    assert set(clean()) == set(FACE_SCORES.names) - {"row_id"}
    assert [name for name, value in clean().items() if value is None] == ["fault", "fault_detail"]
    assert len(kept["landmarks"]) == 136
    assert kept["pupil_px"] == pytest.approx(75.0, rel=0.08)
    assert images.decode(kept["chip"], 10**6).shape == (192, 192, 3)


def test_the_chip_shows_the_face() -> None:
    """Its pupils lie where the face box says."""
    left, top, right, bottom = clean()["face_box"]
    side = 1.5 * max(right - left, bottom - top)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    again = warp.crop(drawn(), (x, y, x + side, y + side), 192)
    difference = np.abs(again.astype(int) - images.decode(clean()["chip"], 10**6)).mean()
    assert difference < 2.0  # JPEG at quality 95


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("turned", {"yaw_deg": 22.0}, "yaw"),
        ("nodded", {"pitch_deg": -20.0}, "pitch"),
        ("tiny", {"pupil_px": 20.0, "width": 200, "height": 240}, "too_small"),
        ("grey", {"grey": True}, "monochrome"),
        (
            "side light",
            {"light_azimuth_deg": 75.0, "light_elevation_deg": 15.0, "light_harshness": 0.85},
            "uneven_light",
        ),
    ],
)
def test_planted_defects_are_dropped_for_their_reason(name: str, change: dict[str, Any], expected: str) -> None:
    assert reason(measure(drawn(replace(SCENE, **change)))) == expected, name


def test_two_people_are_several_faces() -> None:
    wide = replace(SCENE, width=900, centre_x=0.29)
    beside = draw_figure(draw_person(7, 1), replace(wide, seed=4, centre_x=0.71))
    assert reason(measure(photograph(draw_person(7, 0), wide, beside).pixels)) == "several_faces"


def test_nobody_is_no_face() -> None:
    scores = measure(photograph(None, SCENE).pixels)
    assert (reason(scores), scores["n_faces"], scores["chip"]) == ("no_face", 0, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", "empty"), (b"<html>no picture</html>", "not_a_picture"), (b"\xff\xd8\xff\xe0rubbish", "not_a_picture")],
)
def test_what_is_no_picture_is_a_fault_not_an_exception(data: bytes, expected: str) -> None:
    assert reason(score({"image": data}, Scoring()), OFF) == expected


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 1), (1, 9000), (9000, 1), (7, 900), (31, 33)])
@pytest.mark.parametrize("detector", ["dlib_hog", "dlib_cnn"])
def test_the_smallest_and_narrowest_pictures_have_no_face(height: int, width: int, detector: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    scores = score({"image": images.encode_png(pixels)}, Scoring(detector=detector, second_look_px=160))
    assert reason(scores, OFF) == "no_face"


def test_a_truncated_file_says_so() -> None:
    whole = images.encode_jpeg(drawn())
    assert reason(score({"image": whole[: len(whole) // 2]}, Scoring()), OFF) == "truncated"


def test_too_many_pixels_are_not_decoded() -> None:
    scores = score({"image": images.encode_png(drawn())}, Scoring(max_pixels=1000))
    assert reason(scores, OFF) == "too_many_pixels"


GOOD: dict[str, Any] = {
    "fault": None, "fault_detail": None, "rival_area": 0.0, "pupil_px": 80.0, "yaw_deg": 0.0, "pitch_deg": 0.0,
    "landmark_spread": 0.01, "alignment_residual": 0.02, "colourfulness": 30.0, "light_imbalance": 0.1,
    "light_contrast": 0.1,
}  # fmt: skip
RULES = [  # score, a value just too bad, reason, limit: in the order in which they are asked
    ("rival_area", 0.6, "several_faces", "max_rival_area"),
    ("pupil_px", 29.9, "too_small", "min_pupil_px"),
    ("landmark_spread", 0.07, "unsure_landmarks", "max_landmark_spread"),
    ("yaw_deg", -5.1, "yaw", "max_yaw_deg"),
    ("pitch_deg", -5.1, "pitch", "max_pitch_deg"),
    ("alignment_residual", 0.2, "asymmetric", "max_alignment_residual"),
    ("colourfulness", 1.0, "monochrome", "min_colourfulness"),
    ("light_imbalance", 0.9, "uneven_light", "max_light_imbalance"),
    ("light_contrast", 0.9, "shadow", "max_light_contrast"),
]


@pytest.mark.parametrize(("name", "bad", "expected", "limit"), RULES)
def test_each_rule_names_value_and_limit_and_can_be_off(name: str, bad: float, expected: str, limit: str) -> None:
    dropped = decide({}, GOOD | {name: bad}, Limits())
    assert isinstance(dropped, Drop)
    assert (dropped.reason, dropped.value, dropped.limit) == (expected, abs(bad), getattr(Limits(), limit))
    assert reason(GOOD | {name: bad}, replace(Limits(), **{limit: None})) is None


def test_rules_are_asked_in_order_and_a_value_at_its_limit_passes() -> None:
    everything_wrong = GOOD | {name: bad for name, bad, _, _ in RULES}
    limits = Limits()
    for _, _, expected, limit in RULES:
        assert reason(everything_wrong, limits) == expected
        limits = replace(limits, **{limit: None})
    assert reason(everything_wrong, limits) is None
    at_the_limit = {name: getattr(Limits(), limit) for name, _, _, limit in RULES}
    assert reason(GOOD | at_the_limit) is None


@pytest.mark.parametrize("index", range(3))
def test_a_picture_and_its_mirror_image_measure_alike(index: int) -> None:
    """To the last digit, so that no limit can tell them apart."""
    pixels = drawn(replace(SCENE, yaw_deg=4.0, roll_deg=6.0), index)
    here, there = measure(pixels), measure(np.ascontiguousarray(pixels[:, ::-1]))
    for name in ("pupil_px", "pitch_deg", "alignment_residual", "colourfulness", "light_imbalance", "light_contrast"):
        assert there[name] == pytest.approx(here[name], rel=1e-6, abs=1e-4), name
    assert there["yaw_deg"] == pytest.approx(-here["yaw_deg"], abs=1e-4)
    assert there["roll_deg"] == pytest.approx(-here["roll_deg"], abs=1e-4)
    width = pixels.shape[1]
    assert there["pupils"][0] == pytest.approx(width - 1 - here["pupils"][2])


@pytest.mark.parametrize("scale", [0.55, 0.8, 1.6])
def test_resized_copies_measure_alike(scale: float) -> None:
    there = measure(warp.resized(drawn(), scale))
    assert reason(there) is None
    assert there["pupil_px"] == pytest.approx(clean()["pupil_px"] * scale, rel=0.04)
    assert there["yaw_deg"] == pytest.approx(clean()["yaw_deg"], abs=1.5)
    assert there["pitch_deg"] == pytest.approx(clean()["pitch_deg"], abs=2.0)
    assert there["light_imbalance"] == pytest.approx(clean()["light_imbalance"], abs=0.05)


@pytest.mark.parametrize("pupil_px", [24.0, 27.0, 33.0, 40.0])
def test_the_pupil_rule_is_about_the_original_pixels(pupil_px: float) -> None:
    scale = pupil_px / clean()["pupil_px"]
    assert reason(measure(warp.resized(drawn(), scale))) == ("too_small" if pupil_px < 30 else None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_exif_orientations_are_the_same_picture(orientation: int) -> None:
    stored = {
        1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
        5: lambda p: p.transpose(1, 0, 2), 6: np.rot90,
        7: lambda p: np.rot90(p, 2).transpose(1, 0, 2), 8: lambda p: np.rot90(p, 3),
    }[orientation](drawn())  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(out, "PNG", exif=exif)
    assert score({"image": out.getvalue()}, Scoring(second_look_px=None)) == clean()


def test_scoring_twice_gives_the_same_numbers_and_bytes() -> None:
    assert measure(drawn()) == clean()


@pytest.mark.parametrize("detector", ["dlib_hog", "dlib_cnn", "fan"])
def test_the_stage_names_the_weights_it_needs(detector: Any) -> None:
    known = {entry.name for entry in weights.entries()}
    assert set(STAGE.weights(Scoring(detector=detector))) <= known


@pytest.mark.slow
def test_odd_files_are_kept_or_dropped_but_never_raise(real_data: Path) -> None:
    files = sorted((real_data / "faces_odd").iterdir())
    assert len(files) >= 50
    reasons = {path.name: reason(score({"image": path.read_bytes()}, Scoring())) for path in files}
    assert all(reasons[name] for name in reasons if name.startswith("corrupt_"))
    for name in ("no_face_blank.png", "no_face_landscape.jpg", "mask_only_black.jpg", "no_human_dogs.jpg"):
        assert reasons[name] == "no_face"
    for name in (path.name for path in files if "_and_" in path.name or "_with_" in path.name or "two_" in path.name):
        assert reasons[name] == "several_faces"
    relaxed = replace(Limits(), max_yaw_deg=None, max_pitch_deg=None, max_alignment_residual=None)
    grey = [path for path in files if path.name.startswith("monochrome_")]
    found = [reason(score({"image": path.read_bytes()}, Scoring()), relaxed) for path in grey]
    assert set(found) <= {"monochrome", "too_small", "no_face", "several_faces"}
    assert found.count("monochrome") >= 0.5 * len(grey)
