"""Portraits as the finished data set holds them: pupils in place, white ground; drawn straight, no filter needed."""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pipeline import geometry
from pipeline.images import Pixels
from pipeline.warp import warp
from pipeline.world.faces import develop, draw_figure
from pipeline.world.scene import draw_scene
from pipeline.world.traits import Person

_ROOM = 7.0  # side of the picture that the square is cut from, in pupil distances; the square takes 5


@dataclass(frozen=True, slots=True)
class Portrait:
    """An aligned face on white."""

    pixels: Pixels  # (side, side, 3)
    mask: NDArray[np.uint8]  # (side, side), 255 where the person is
    source_side: int  # of the square picture it was cut from, pixels


def portrait(person: Person, number: int, side: int) -> Portrait:
    """Draw portrait `number` of a person: a clean neutral scene, aligned, on pure white; the same bytes each time."""
    rng = np.random.default_rng([crc32(person.person_id.encode()), number])
    pupil_px = geometry.PUPIL_DISTANCE * side
    room = round(_ROOM * pupil_px)
    scene = replace(
        draw_scene(rng), pupil_px=pupil_px, width=room, height=room, centre_x=0.5, centre_y=0.45, blur_px=0.0
    )
    figure = draw_figure(person, scene)
    pixels = develop(figure.premultiplied + (1.0 - figure.coverage), scene, rng)
    mask: NDArray[np.uint8] = np.rint(255.0 * figure.coverage).astype(np.uint8)
    matrix = geometry.similarity(figure.pupils, geometry.pupil_targets(side))
    aligned, matte = warp(pixels, matrix, side, side, fill=255), warp(mask, matrix, side, side, fill=0)
    aligned[matte == 0] = 255  # the sensor's noise ends where the person ends
    return Portrait(aligned, matte, room)
