"""Read and write the numbers in dlib's model files: whole numbers of variable length, and tensors of float32."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DataError

_TENSOR_VERSION = 2


@dataclass(slots=True)
class Reader:
    """A place in the bytes of a dlib model; every read moves on. Raises DataError where the bytes do not fit."""

    data: bytes
    at: int = 0

    def whole(self) -> int:
        """A whole number: the first byte holds the sign (top bit) and the count of the little-endian bytes after."""
        if self.at >= len(self.data):
            raise DataError(f"dlib model: ends at byte {self.at}, where a number is expected")
        first = self.data[self.at]
        end = self.at + 1 + (first & 0x0F)
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if first & 0x80 else value

    def skip(self, wholes: int) -> None:
        """Pass over this many whole numbers; a real number is two (mantissa, exponent of 2)."""
        for _ in range(wholes):
            self.whole()

    def skip_to(self, tag: str) -> None:
        """Go on to just after the next name of this kind."""
        name = whole(len(tag)) + tag.encode()
        found = self.data.find(name, self.at)
        if found < 0:
            raise DataError(f"dlib model: no {tag!r} after byte {self.at}; this is another model, or a damaged file")
        self.at = found + len(name)

    def tensor(self) -> NDArray[np.float32]:
        """A tensor, flat."""
        version = self.whole()
        size = math.prod(self.whole() for _ in range(4))
        end = self.at + 4 * size
        if version != _TENSOR_VERSION or not 0 <= size <= len(self.data) or end > len(self.data):
            raise DataError(f"dlib model: byte {self.at}: no tensor of version {_TENSOR_VERSION}, or a cut-off one")
        values = np.frombuffer(self.data, "<f4", size, self.at)
        self.at = end
        return values


def whole(value: int) -> bytes:
    """A whole number as dlib writes it."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")
