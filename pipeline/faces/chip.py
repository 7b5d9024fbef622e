"""Close-ups of a face: the one that everything is measured on, and the small one that the emotion stage reads."""

from dataclasses import dataclass
from typing import Final

from pipeline import geometry, images, warp
from pipeline.geometry import Box, Matrix
from pipeline.images import Pixels

CHIP_PX = 192  # side
CHIP_BOXES = 1.5  # side in face boxes: room for a wider crop than the box

_BOX_PX: Final = 200  # side of the face box in a close-up
_CLOSE_PX: Final = 480  # side of a close-up: hair, shoulders, and room for FAN's crop


@dataclass(frozen=True, slots=True)
class CloseUp:
    """A face and what is around it at a fixed size, so that a large picture is read once."""

    pixels: Pixels  # square
    matrix: Matrix  # pixels of the whole picture to these

    def box(self, whole: Box) -> Box:
        """Where a box of the whole picture lies in this one."""
        # Boxes are at pixel edges, the matrix is about pixel centres: half a pixel apart in both pictures.
        corners = geometry.apply(self.matrix, geometry.points(whole) - 0.5) + 0.5
        return geometry.bounds(corners)


def close_up(pixels: Pixels, box: Box) -> CloseUp:
    """The close-up of the face in `box` (pixels); outside the picture its edge pixels repeat."""
    around = geometry.square(box, _CLOSE_PX / _BOX_PX)
    return CloseUp(warp.crop(pixels, around, _CLOSE_PX), geometry.resizing(around, _CLOSE_PX, _CLOSE_PX))


def cut(pixels: Pixels) -> bytes:
    """The middle of a close-up, CHIP_BOXES face boxes wide: JPEG, CHIP_PX on a side."""
    margin = 0.5 * (_CLOSE_PX - CHIP_BOXES * _BOX_PX)
    middle = (margin, margin, _CLOSE_PX - margin, _CLOSE_PX - margin)
    return images.encode_jpeg(warp.crop(pixels, middle, CHIP_PX))
