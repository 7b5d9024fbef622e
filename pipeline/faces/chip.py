"""The small picture of a face that the landmarks stage cuts, so that the emotion stage need not decode the original."""

from pipeline import geometry, images, warp
from pipeline.geometry import Box
from pipeline.images import Pixels

CHIP_PX = 192  # side
CHIP_BOXES = 1.5  # side in face boxes: room for a wider crop than the box


def cut(pixels: Pixels, box: Box) -> bytes:
    """The square around a face box (pixels), JPEG, CHIP_PX on a side."""
    return images.encode_jpeg(warp.crop(pixels, geometry.square(box, CHIP_BOXES), CHIP_PX))
