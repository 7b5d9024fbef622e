"""Judges look at the right part of a picture, stay frozen, and say who they are."""

from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from manifests import weights
from manifests.errors import DataError, Missing, UsageError
from models import face_net, judges
from models.face_net import OwnNet, Shape
from models.judges import dlib_window, window
from pipeline import dlib_net, geometry, warp

CPU = torch.device("cpu")
SMALL = Shape(width=4, embedding=8)


@settings(deadline=None)
@given(
    left=st.floats(0.02, 0.4), top=st.floats(0.02, 0.4), size=st.floats(0.2, 0.55), side=st.integers(2, 40),
    slope=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)  # fmt: skip
def test_a_window_reads_a_ramp_exactly_at_the_centres_of_its_pixels(
    left: float, top: float, size: float, side: int, slope: tuple[float, float]
) -> None:
    """Bilinear sampling is exact on a plane, so the value at any place is known: a + b x + c y."""
    pixels, (b, c) = 64, slope
    centre = (torch.arange(pixels) + 0.5) / pixels
    ramp = (0.1 + b * centre[None, :] + c * centre[:, None]).expand(1, 3, pixels, pixels)
    at = (torch.arange(side) + 0.5) / side * size
    expected = 0.1 + b * (left + at)[None, :] + c * (top + at)[:, None]
    found = window(ramp, (left, top, left + size, top + size), side)
    torch.testing.assert_close(found, expected.expand(1, 3, side, side), rtol=0, atol=1e-5)


def test_a_window_of_whole_pixels_at_its_own_size_is_a_slice() -> None:
    faces = torch.rand(2, 3, 32, 32)
    found = window(faces, (8 / 32, 4 / 32, 24 / 32, 20 / 32), 16)
    torch.testing.assert_close(found, faces[:, :, 4:20, 8:24], rtol=0, atol=1e-6)


def test_outside_the_picture_its_border_goes_on() -> None:
    faces = torch.rand(1, 3, 16, 16)
    found = window(faces, (-1.0, 0.0, 1.0, 2.0), 32)
    torch.testing.assert_close(found[..., :16, :16], faces[..., :1].expand(-1, -1, -1, 16), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[..., 16:, 16:], faces[..., -1:, :].expand(-1, -1, 16, -1), rtol=0, atol=1e-6)


def aligned_faces(photographs: Path, wanted: int) -> list[NDArray[np.uint8]]:
    """Photographs turned and scaled as the data set's pictures are, by dlib's five landmarks."""
    detector, points = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(weights.path("dlib-5")))
    found: list[NDArray[np.uint8]] = []
    for path in sorted((photographs / "faces").glob("*/*.jpg")):
        picture = dlib.load_rgb_image(str(path))
        if max(picture.shape) > 600:
            continue
        for box in list(detector(picture, 0))[:1]:
            part = points(picture, box)
            corners = np.array([[part.part(k).x, part.part(k).y] for k in range(4)], float)
            eyes = np.array([corners[2:].mean(axis=0), corners[:2].mean(axis=0)])  # left in the picture first
            found.append(warp.warp(picture, geometry.similarity(eyes, geometry.pupil_targets(256)), 256, 256))
        if len(found) == wanted:
            break
    return found


def test_dlibs_window_shows_what_dlib_would_cut_from_the_same_aligned_face(real_data: Path) -> None:
    """In the middle of several faces: dlib aligns by nose and eye corners, so that single faces turn and shift."""
    detector, points = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(weights.path("dlib-5")))
    edges, alike = [], []
    for face in aligned_faces(real_data, 10):
        found = points(face, detector(face, 0)[0])
        rectangle = dlib.get_face_chip_details(found, dlib_net.SIDE, 0.25).rect
        edges.append([rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()])
        theirs = dlib.get_face_chip(face, found, dlib_net.SIDE, 0.25)
        tensor = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255
        ours = window(tensor, dlib_window(), dlib_net.SIDE)[0].permute(1, 2, 0).numpy()
        alike.append(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    assert len(alike) == 10
    np.testing.assert_allclose(np.median(edges, axis=0) / 256, dlib_window(), atol=0.015)  # 2 pixels of 128
    assert np.median(alike) > 0.9 and min(alike) > 0.75, alike


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    torch.manual_seed(0)
    face_net.write(path, OwnNet(SMALL), SMALL, {"half": "a"})
    return path


LOADERS: dict[str, Callable[[Path], str]] = {"dlib": lambda _: "dlib", "own": str}
every_judge = pytest.mark.parametrize("name", LOADERS.values(), ids=LOADERS)


@every_judge
def test_embeddings_have_unit_length_and_float32_whatever_the_batch_or_the_caller(
    name: Callable[[Path], str], own_file: Path
) -> None:
    judge = judges.load(name(own_file), CPU)
    faces = torch.rand(3, 3, 64, 64)
    whole = judge.embed(faces)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(judge.embed(faces, at_once=2), whole, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(judge.embed(faces), whole)
    assert not whole.requires_grad


@every_judge
def test_states_carry_gradients_to_the_picture_and_none_to_the_weights(
    name: Callable[[Path], str], own_file: Path
) -> None:
    judge = judges.load(name(own_file), CPU)
    faces = torch.rand(2, 3, 64, 64, requires_grad=True)
    states = judge.states(faces)
    assert len(states) == 4 and all(state.requires_grad for state in states)
    torch.stack([state.square().sum() for state in states]).sum().backward()
    assert faces.grad is not None and faces.grad.isfinite().all() and faces.grad.any()
    assert not any(parameter.requires_grad for parameter in judge.network.parameters())
    assert not judge.network.training
    assert not any(isinstance(m, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d) for m in judge.network.modules())


def test_a_judge_is_named_by_its_half_and_the_bytes_of_its_file(own_file: Path) -> None:
    judge = judges.load(str(own_file), CPU)
    assert (judge.name, judge.sha256) == ("own-a", weights.sha256_of(own_file))
    face_net.write(own_file, OwnNet(SMALL), SMALL, {"half": "b"})
    other = judges.load(str(own_file), CPU)
    assert other.name == "own-b" and other.sha256 != judge.sha256


def test_what_is_folded_and_what_was_trained_embed_alike(own_file: Path) -> None:
    network, _ = face_net.read(own_file)
    faces = torch.rand(2, 3, 64, 64)
    expected = network(window(faces, face_net.WINDOW, face_net.SIDE))
    torch.testing.assert_close(judges.load(str(own_file), CPU).embed(faces), expected, rtol=1e-4, atol=1e-5)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules()), "the trained network is left as it was"


def test_a_name_that_is_no_judge_is_an_error_that_lists_them() -> None:
    with pytest.raises(UsageError, match=r"no judge arcface: expected dlib, facenet, or a \.safetensors file"):
        judges.load("arcface", CPU)


def test_weights_that_are_absent_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)
    with pytest.raises(Missing, match="pipeline weights fetch facenet"):
        judges.load("facenet", CPU)
    with pytest.raises(Missing, match="models pretrain-face"):
        judges.load(str(tmp_path / "own-a.safetensors"), CPU)


def test_a_file_that_holds_no_face_network_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"photo\.jpg"):
        judges.load(str(tmp_path / "photo.jpg"), CPU)
