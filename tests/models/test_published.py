"""Weight files of others: read without executing anything, fitted exactly, and folded without a change."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from manifests.errors import DataError
from models.published import fill, fold
from tests.models.networks import settled


def network() -> nn.Module:
    """Two convolutions and a linear layer, each with its batch norm, and a convolution without one."""
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, bias=False),
        nn.BatchNorm2d(5, eps=1e-3),
        nn.ReLU(),
        nn.Conv2d(5, 4, (1, 3), stride=2),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(),
        nn.Linear(4 * 3 * 2, 6, bias=False),
        nn.BatchNorm1d(6),
    )


def test_folded_computes_the_same_without_any_batch_norm() -> None:
    faces = torch.randn(5, 3, 8, 8)
    whole = settled(network(), faces)
    expected = whole(faces)
    fold(whole)
    assert not any(isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d) for m in whole.modules())
    torch.testing.assert_close(whole(faces), expected, rtol=1e-5, atol=1e-6)


def test_a_norm_that_follows_no_layer_stays() -> None:
    lone = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))
    fold(lone)
    assert isinstance(lone[2], nn.BatchNorm2d)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_loads_in_either_format_of_torch_with_or_without_counters(tmp_path: Path, zipped: bool) -> None:
    source, target = settled(network(), torch.randn(5, 3, 8, 8)), network()
    tensors = source.state_dict()
    if not zipped:  # files of 2018 have neither
        tensors = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    fill(target, tmp_path / "w.pt")
    faces = torch.randn(2, 3, 8, 8)
    assert torch.equal(target.eval()(faces), source(faces))


class Bomb:
    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.fuse), 0o700)


@pytest.mark.parametrize("write", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, 2))])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, write: object) -> None:
    fuse = tmp_path / "went off"
    write({"0.weight": Bomb(fuse)}, tmp_path / "w.pt")  # type: ignore[operator]
    with pytest.raises(DataError, match="no file of tensors"):
        fill(network(), tmp_path / "w.pt")
    assert not fuse.exists()


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"0.weight": 3}, {"0.weight": torch.zeros(1)}, {}])
def test_a_file_of_anything_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"w\.pt"):
        fill(network(), tmp_path / "w.pt")


def test_a_tensor_too_many_or_of_another_shape_is_named(tmp_path: Path) -> None:
    tensors = network().state_dict()
    for wrong in (tensors | {"extra": torch.zeros(1)}, tensors | {"0.weight": torch.zeros(5, 3, 3, 4)}):
        torch.save(wrong, tmp_path / "w.pt")
        with pytest.raises(DataError, match=r"does not fit Sequential.*(extra|0\.weight)"):
            fill(network(), tmp_path / "w.pt")


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 4000), byte=st.integers(0, 255), keep=st.integers(0, 4000))
def test_a_damaged_file_is_a_data_error_or_loads(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, keep: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "w.pt"
    torch.save(nn.Conv2d(3, 4, 3).state_dict(), path)
    whole = bytearray(path.read_bytes())
    whole[at % len(whole)] = byte
    path.write_bytes(whole[: max(1, len(whole) - keep % 50)])
    try:
        fill(nn.Conv2d(3, 4, 3), path)
    except DataError as error:
        assert str(path) in str(error)
