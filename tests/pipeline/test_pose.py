"""Head pose against known rotations: projected models, annotated photographs, rendered heads."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import geometry, pose
from pipeline.faces import detect, landmark


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """R = Rx(pitch) Ry(yaw) Rz(roll) in camera axes: x right, y down, z away; written out on its own."""
    b, a, c = np.radians([yaw_deg, pitch_deg, roll_deg])
    nod = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    turn = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    lean = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return nod @ turn @ lean


def seen(yaw_deg: float, pitch_deg: float, roll_deg: float, px_per_mm: float = 2.0) -> np.ndarray:
    """68 landmarks of the model head at a known rotation, as a camera 1.5 m away sees them."""
    model = np.zeros((68, 3))
    model[pose.USED] = pose.MODEL_MM
    model[pose._EARS] = pose._EARS_MM
    at = model @ rotation(yaw_deg, pitch_deg, roll_deg).T
    depth = 1.0 + at[:, 2:] / pose.CAMERA_MM
    return at[:, :2] / depth * px_per_mm + [300.0, 200.0]


angles = st.floats(-25.0, 25.0)


@settings(max_examples=40, deadline=None)
@given(angles, angles, angles)
def test_a_projected_head_gives_its_rotation_back(yaw: float, pitch: float, roll: float) -> None:
    found = pose.head_pose(seen(yaw, pitch, roll))
    assert found.yaw_deg == pytest.approx(yaw, abs=1.5)
    assert found.pitch_deg + pose.LEVEL_PITCH_DEG == pytest.approx(pitch, abs=1.5)
    assert found.roll_deg == pytest.approx(roll, abs=1.5)


def test_the_signs_of_the_angles() -> None:
    """Turned to the picture's right, looking up, leaning clockwise: all positive."""
    nose, eyes = 30, slice(36, 48)
    right = seen(20, 0, 0)
    assert right[nose, 0] > right[eyes, 0].mean()
    assert pose.head_pose(right).yaw_deg > 15
    up = seen(0, 20, 0)
    assert up[nose, 1] < seen(0, 0, 0)[nose, 1]
    assert pose.head_pose(up).pitch_deg > 15
    clockwise = geometry.eye_centres(seen(0, 0, 20))
    assert clockwise[1, 1] > clockwise[0, 1]
    assert pose.head_pose(seen(0, 0, 20)).roll_deg > 15


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), angles, angles)
def test_mirrored_landmarks_have_the_mirrored_pose(seed: int, yaw: float, pitch: float) -> None:
    noisy = seen(yaw, pitch, 0.0) + np.random.default_rng(seed).normal(0.0, 1.5, (68, 2))
    here, there = pose.head_pose(noisy), pose.head_pose(geometry.mirror(noisy, 640))
    assert (there.yaw_deg, there.pitch_deg, there.roll_deg) == pytest.approx(
        (-here.yaw_deg, here.pitch_deg, -here.roll_deg), abs=1e-3
    )


@settings(max_examples=25, deadline=None)
@given(angles, angles, st.floats(0.2, 5.0), st.floats(-500.0, 500.0))
def test_size_and_place_do_not_matter(yaw: float, pitch: float, scale: float, shift: float) -> None:
    here, there = pose.head_pose(seen(yaw, pitch, 0.0)), pose.head_pose(seen(yaw, pitch, 0.0) * scale + shift)
    assert (there.yaw_deg, there.pitch_deg) == pytest.approx((here.yaw_deg, here.pitch_deg), abs=1e-2)


def test_a_long_face_is_not_a_turned_face() -> None:
    """A face 10 % longer than the model, turned by 15 degrees: the stretch must not become yaw."""
    long = seen(15, 0, 0)
    long[:, 1] = 200.0 + 1.1 * (long[:, 1] - 200.0)
    assert pose.head_pose(long).yaw_deg == pytest.approx(15, abs=3)


def test_asymmetry_is_zero_for_a_frontal_face_and_grows_with_yaw() -> None:
    residuals = [pose.alignment_residual(seen(yaw, 0, 12)) for yaw in (0, 5, 10, 20)]
    assert residuals[0] == pytest.approx(0.0, abs=0.01)
    assert residuals == sorted(residuals)
    assert residuals[2] > 0.03


def test_asymmetry_is_the_same_for_the_mirror_image() -> None:
    at = seen(8, 3, 5) + np.random.default_rng(1).normal(0, 1, (68, 2))
    assert pose.alignment_residual(geometry.mirror(at, 500)) == pytest.approx(pose.alignment_residual(at))


def landmarks_of(pixels: np.ndarray) -> np.ndarray | None:
    faces = detect.find(pixels, "dlib_hog", 512, None)
    return landmark.place(pixels, faces[0].box, "dlib_hog") if faces else None


def test_rendered_heads_of_known_rotation() -> None:
    """Within 30 degrees the median error is at most 3 degrees in yaw and in pitch."""
    faces, scenes, traits = (pytest.importorskip(f"pipeline.world.{name}") for name in ("faces", "scene", "traits"))
    rng = np.random.default_rng(11)
    errors = []
    for index in range(16):
        scene = replace(
            scenes.draw_scene(rng),
            yaw_deg=float(rng.uniform(-30, 30)),
            pitch_deg=float(rng.uniform(-20, 20)),
        )
        at = landmarks_of(faces.photograph(traits.draw_person(5, index), scene).pixels)
        if at is not None:
            found = pose.head_pose(at)
            errors.append([found.yaw_deg - scene.yaw_deg, found.pitch_deg - scene.pitch_deg])
    assert len(errors) >= 14
    assert (np.median(np.abs(errors), axis=0) <= 3.0).all()


def test_annotated_photographs(real_data: Path) -> None:
    """AFLW2000-3D within 30 degrees of yaw, from the picture alone (its yaw is positive to the left)."""
    folder = real_data / "landmarks"
    errors = []
    with (folder / "aflw2000_pose.csv").open() as lines:
        for row in csv.DictReader(lines):
            at = landmarks_of(np.asarray(Image.open(folder / row["image"]).convert("RGB")))
            if at is not None and abs(float(row["yaw_deg"])) <= 30:
                found = pose.head_pose(at)
                errors.append([found.yaw_deg + float(row["yaw_deg"]), found.pitch_deg - float(row["pitch_deg"])])
    assert len(errors) >= 3
    assert (np.median(np.abs(errors), axis=0) <= 4.0).all()
