"""dlib's face network in torch: the very numbers dlib computes, and no other file taken for it."""

import struct
from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from manifests import weights
from manifests.errors import DataError
from pipeline import dlib_net
from tests.models.networks import n_parameters, on_meta

WANTED = 8  # photographs


@pytest.fixture(scope="module")
def network() -> dlib_net.DlibResNet:
    return dlib_net.read(weights.path("dlib-face"))


@pytest.fixture(scope="module")
def chips(real_data: Path) -> NDArray[np.uint8]:
    """Faces of photographs as dlib itself finds and cuts them, (n, 150, 150, 3)."""
    detector, points = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(weights.path("dlib-5")))
    found: list[NDArray[np.uint8]] = []
    for path in sorted((real_data / "faces").glob("*/*.jpg")):
        picture = dlib.load_rgb_image(str(path))
        if max(picture.shape) > 600:
            continue
        for box in list(detector(picture, 0))[:1]:
            found.append(dlib.get_face_chip(picture, points(picture, box), dlib_net.SIDE, 0.25))
        if len(found) == WANTED:
            break
    return np.stack(found)


def as_input(chips: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(chips).permute(0, 3, 1, 2).float() / 255


def test_parameters_are_the_published_count_less_what_folding_saves() -> None:
    built = on_meta(dlib_net.DlibResNet)
    scales_and_shifts = sum(2 * m.out_channels for m in built.modules() if isinstance(m, torch.nn.Conv2d))
    assert n_parameters(built) + scales_and_shifts == 5_614_592


def test_descriptors_are_dlibs_own(network: dlib_net.DlibResNet, chips: NDArray[np.uint8]) -> None:
    reference = dlib.face_recognition_model_v1(str(weights.path("dlib-face")))
    expected = np.array([reference.compute_face_descriptor(chip) for chip in chips])
    assert len(expected) == WANTED
    assert np.abs(network(as_input(chips)).numpy() - expected).max() <= 1e-5


def test_states_are_four_and_carry_gradients_to_the_picture(network: dlib_net.DlibResNet) -> None:
    chip = torch.rand(2, 3, dlib_net.SIDE, dlib_net.SIDE, requires_grad=True)
    states = network.states(chip)
    assert [tuple(state.shape[1:]) for state in states] == [(32, 35, 35), (64, 17, 17), (128, 8, 8), (128,)]
    sum(state.square().sum() for state in states).backward()
    assert chip.grad is not None and chip.grad.isfinite().all() and chip.grad.any()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 1, 150, 150), (3, 150, 149)])
def test_a_chip_of_another_size_is_an_error(network: dlib_net.DlibResNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="150"):
        network(torch.rand(shape))


def damaged(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "face.dat"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def published() -> bytes:
    return weights.path("dlib-face").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, published: bytes, share: float) -> None:
    with pytest.raises(DataError, match=r"face\.dat"):
        dlib_net.read(damaged(tmp_path, published[: int(share * len(published))]))


AFFINE = struct.pack("BB", 1, 7) + b"affine_" + bytes([1, 2, 1, 1, 1, 4, 1, 1, 1, 1]) + struct.pack("<4f", 1, 1, 0, 0)


def after_the_last_layer(content: bytes) -> int:
    at = content.rindex(b"fc_2") + len("fc_2")
    for _ in range(2 + 1 + 4):  # sizes of the layer, version, sizes of the tensor
        at += 1 + (content[at] & 0x0F)
    return at + 4 * 256 * 128


@pytest.mark.parametrize("where", [lambda content: content.rindex(b"affine_") - 2, after_the_last_layer])
def test_a_network_with_a_layer_more_is_refused(
    tmp_path: Path, published: bytes, where: Callable[[bytes], int]
) -> None:
    place = where(published)
    with pytest.raises(DataError, match="expected"):
        dlib_net.read(damaged(tmp_path, published[:place] + AFFINE + published[place:]))


def test_a_layer_of_another_size_is_refused(tmp_path: Path, published: bytes) -> None:
    first = published.index(b"con_4") + len("con_4")
    version, size = published[first : first + 2], published[first + 2 : first + 5]
    assert version == bytes([1, 2]), "an integer of one byte: version 2"
    count = int.from_bytes(size[1:], "little")
    shorter = published[: first + 3] + struct.pack("<H", count - 1) + published[first + 5 :]
    with pytest.raises(DataError):
        dlib_net.read(damaged(tmp_path, shorter))


@pytest.mark.parametrize("name", ["dlib-5", "dlib-mmod"])
def test_another_network_of_dlib_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="it is not dlib's face-recognition network"):
        dlib_net.read(weights.path(name))


def test_noise_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
    with pytest.raises(DataError, match="it is not dlib's face-recognition network"):
        dlib_net.read(damaged(tmp_path, noise))
