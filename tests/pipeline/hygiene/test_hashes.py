"""Fingerprints survive resizing, repacking and a change of brightness; other photographs have others."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.hygiene.hashes import differences, perceptual
from pipeline.images import Pixels, decode, encode_jpeg

WANTED = 40  # photographs


@pytest.fixture(scope="module")
def photographs(real_data: Path) -> list[Pixels]:
    files = [path for path in sorted((real_data / "faces").glob("*/*.jpg")) if path.stat().st_size < 100_000]
    return [decode(path.read_bytes(), 10**8) for path in files[:: len(files) // WANTED][:WANTED]]


def copy(pixels: Pixels) -> Pixels:
    """Three quarters of the size, a little darker, packed hard."""
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize((width * 3 // 4, height * 3 // 4))
    return decode(encode_jpeg((np.asarray(small) * 0.93).astype(np.uint8), 60), 10**8)


def bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_a_copy_differs_in_few_bits_and_another_photograph_in_many(photographs: list[Pixels]) -> None:
    for fingerprint, most in ((perceptual, 7), (differences, 12)):
        hashes, copies = ([fingerprint(p) for p in those] for those in (photographs, map(copy, photographs)))
        assert np.mean([bits(*pair) <= most for pair in zip(hashes, copies, strict=True)]) >= 0.95
        others = [bits(hashes[i], hashes[j]) for i in range(len(hashes)) for j in range(i)]
        assert np.median(others) >= 20


def test_hashes_have_64_bits_whatever_the_picture() -> None:
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((5, 900, 3), 255, np.uint8)):
        assert 0 <= perceptual(pixels) < 2**64
        assert differences(pixels) == 0
