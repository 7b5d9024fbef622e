"""`own`: its sizes, its states, and the file it is kept in."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from manifests.errors import DataError, Missing
from models import face_net, state
from models.face_net import SIDE, OwnNet, Shape
from tests.models.networks import check_bfloat16, check_gradients, check_rows_alone, n_parameters, on_meta

SMALL = Shape(width=4, embedding=8)


def test_states_halve_from_24_pixels_and_end_in_a_unit_embedding() -> None:
    states = OwnNet(Shape()).eval().states(torch.rand(2, 3, SIDE, SIDE))
    assert [tuple(state.shape[1:]) for state in states] == [(64, 24, 24), (128, 12, 12), (256, 6, 6), (256,)]
    torch.testing.assert_close(states[-1].norm(dim=1), torch.ones(2))


def test_parameters_are_those_of_six_convolutions_their_norms_and_the_embedding() -> None:
    w, e = 6, 10
    channels = [3, w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w]
    convolutions = sum(9 * a * b + 2 * b for a, b in pairwise(channels))
    assert n_parameters(on_meta(lambda: OwnNet(Shape(w, e)))) == convolutions + 8 * w * 9 * e + 2 * e


def test_it_keeps_the_networks_promises() -> None:
    faces = torch.rand(5, 3, SIDE, SIDE)
    check_gradients(OwnNet(SMALL), faces)
    check_rows_alone(OwnNet(SMALL), faces)
    check_bfloat16(OwnNet(SMALL), faces)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 1, SIDE, SIDE)])
def test_a_picture_of_another_size_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(SIDE)):
        OwnNet(SMALL)(torch.rand(shape))


def test_a_file_holds_the_network_and_how_it_was_made(tmp_path: Path) -> None:
    path, network = tmp_path / "own.safetensors", OwnNet(SMALL).eval()
    face_net.write(path, network, SMALL, {"half": "b", "manifest": "f00d"})
    again, facts = face_net.read(path)
    faces = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(again(faces), network(faces)) and not again.training
    assert (facts["half"], facts["manifest"]) == ("b", "f00d")


def test_an_absent_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="models pretrain-face") as caught:
        face_net.read(tmp_path / "own.safetensors")
    assert caught.value.exit_code == 4


def test_other_files_are_data_errors(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    network = OwnNet(SMALL)
    face_net.write(path, network, SMALL, {})
    whole = path.read_bytes()
    for content in (b"", b"no safetensors", whole[: len(whole) // 2], whole + b"more"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"own\.safetensors") as caught:
            face_net.read(path)
        assert caught.value.exit_code == 3
    state.write(path, state.weights({"face": network}), {"kind": "a run"})
    with pytest.raises(DataError, match="holds no face network"):
        face_net.read(path)
    face_net.write(path, network, Shape(width=5, embedding=8), {"half": "a"})
    with pytest.raises(DataError, match="does not fit network face"):
        face_net.read(path)
    for half in (None, "c", ["a"], 7):
        face_net.write(path, network, SMALL, {"half": half})
        with pytest.raises(DataError, match=r"half .*expected a or b"):
            face_net.read(path)
    state.write(path, state.weights({"face": network}), {"kind": face_net.KIND, "half": "a"})
    with pytest.raises(DataError, match="size"):
        face_net.read(path)
    next(network.parameters()).data[0] = torch.nan
    face_net.write(path, network, SMALL, {"half": "a"})
    with pytest.raises(DataError, match="not finite"):
        face_net.read(path)


def test_a_size_that_no_tensor_has_takes_no_memory(tmp_path: Path) -> None:
    """Of 4,096 channels at first the network would have 40 GB."""
    path = tmp_path / "own.safetensors"
    state.write(path, {}, {"kind": face_net.KIND, "half": "a", "shape": {"width": 4096, "embedding": 8}})
    with pytest.raises(DataError, match="does not fit network face"):
        face_net.read(path)


@pytest.mark.parametrize("width", [-1, 0, 10**9, 2.5, "8", None])
def test_a_shape_that_is_none_is_an_error(tmp_path: Path, width: object) -> None:
    path = tmp_path / "own.safetensors"
    state.write(path, {}, {"kind": face_net.KIND, "shape": {"width": width, "embedding": 8}})
    with pytest.raises(DataError, match="width"):
        face_net.read(path)
