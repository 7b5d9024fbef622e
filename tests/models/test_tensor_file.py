"""The file is the library's, byte for byte, and says what was in it."""

import io

import pytest
import torch
from safetensors.torch import load, save

from models import tensor_file


def some() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "a/weight": torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last),
        "z": torch.randn(5, dtype=torch.float64),
        "half": torch.randn(3).bfloat16(),
        "flag": torch.tensor([True, False, True]),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 4),
        "ä": torch.arange(6, dtype=torch.int32).view(2, 3).T,
        "byte": torch.arange(5, dtype=torch.uint8),
    }


def written(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    out = io.BytesIO()
    tensor_file.write(out, tensors, metadata)
    return out.getvalue()


@pytest.mark.parametrize("told", ["{}", 'quotes " and \\ and \n and é'])
def test_the_bytes_are_the_librarys(told: str) -> None:
    tensors = some()
    wanted = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"hqvox": told})
    assert written(tensors, {"hqvox": told}) == wanted


def test_what_is_read_is_what_was_written() -> None:
    tensors = some()
    again = load(written(tensors, {"k": "v"}))
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype and torch.equal(again[name], tensor)
