"""Safetensors written tensor by tensor: the library's own writer wants all of them in main memory, side by side.

Only writing is here. Files are read by the library, which maps them: nothing takes memory before it is looked at.
"""

import json
from collections.abc import Mapping
from typing import BinaryIO

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNED = 8  # bytes that the header is a multiple of


def write(out: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file of safetensors, byte for byte as the library does. At most one tensor is copied at a time."""
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # wide numbers first: all are aligned
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    told = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    told = told.ljust(-(-len(told) // _ALIGNED) * _ALIGNED)
    out.write(len(told).to_bytes(8, "little") + told)
    for name in names:
        whole = tensors[name].detach().cpu().contiguous()
        out.write(whole.reshape(-1).view(torch.uint8).numpy().data)
