"""Fingerprints survive resizing, repacking, a change of brightness and cropping; other photographs have others."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.faces import embed
from pipeline.hygiene.hashes import differences, face, perceptual
from pipeline.images import Pixels, decode, encode_jpeg
from pipeline.world.faces import photograph
from pipeline.world.scene import draw_scene
from pipeline.world.traits import draw_person
from stages import landmarks

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


def bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def test_a_copy_differs_in_few_bits_and_another_photograph_in_many(photographs: list[Pixels]) -> None:
    for fingerprint, most in ((perceptual, 7), (differences, 12)):
        hashes, copies = ([fingerprint(p) for p in those] for those in (photographs, map(copy, photographs)))
        assert np.mean([bits(*pair) <= most for pair in zip(hashes, copies, strict=True)]) >= 0.95
        others = [bits(hashes[i], hashes[j]) for i in range(len(hashes)) for j in range(i)]
        assert np.median(others) >= 20


def test_most_cropped_copies_have_the_same_face_and_no_other_photograph_of_the_person_has() -> None:
    """Most: the landmarks, found again on the crop, may lie a little elsewhere."""
    rng = np.random.default_rng(3)
    photos = [photograph(draw_person(3, 0), draw_scene(rng)).pixels for _ in range(4)]
    crops = [np.ascontiguousarray(pixels[: -len(pixels) // 4]) for pixels in photos]
    faces, cropped = ([face(_chip(pixels)) for pixels in those] for those in (photos, crops))
    assert sum(bits(*pair) <= 18 for pair in zip(faces, cropped, strict=True)) >= 3
    assert min(bits(*pair) for pair in combinations(faces, 2)) > 18
    assert min(bits(perceptual(p), perceptual(c)) for p, c in zip(photos, crops, strict=True)) > 7


def _chip(pixels: Pixels) -> Pixels:
    scores = landmarks.score({"image": encode_jpeg(pixels, 95)}, landmarks.Scoring())
    return embed.chip(pixels, scores["landmarks"])


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 900, 3)])
def test_a_flat_picture_of_any_shape_has_hashes_of_eight_bytes(shape: tuple[int, int, int]) -> None:
    flat = np.full(shape, 255, np.uint8)
    assert len(perceptual(flat)) == 8
    assert differences(flat) == bytes(8)
