"""Portraits as the finished data set holds them: pupils in place, white ground; drawn straight, no filter needed."""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pipeline import geometry
from pipeline.images import Pixels
from pipeline.warp import warp
from pipeline.world.defects import spoil
from pipeline.world.faces import develop, draw_figure, landmarks_of, photograph
from pipeline.world.scene import Scene, draw_scene
from pipeline.world.traits import Person

_KEPT = ("turned", "nodded", "smile", "surprise", "scowl", "grey", "side_light")  # by a filter for faces alone
_ROOM = 7.0  # side of the picture that the square is cut from, in pupil distances; the square takes 5


@dataclass(frozen=True, slots=True)
class Portrait:
    """An aligned face on white."""

    pixels: Pixels  # (side, side, 3)
    mask: NDArray[np.uint8]  # (side, side), 255 where the person is
    source_side: int  # of the square picture it was cut from, pixels
    transform: geometry.Matrix  # from there to `pixels`
    landmarks: NDArray[np.float64]  # (68, 2), pixels of the picture it was cut from


def portrait(person: Person, number: int, side: int) -> Portrait:
    """Draw portrait `number` of a person: a clean neutral scene, aligned, on pure white; the same bytes each time."""
    rng = _rng(person, number)
    scene = _framed(draw_scene(rng), side)
    figure = draw_figure(person, scene)
    pixels = develop(figure.premultiplied + (1.0 - figure.coverage), scene, rng)
    mask: NDArray[np.uint8] = np.rint(255.0 * figure.coverage).astype(np.uint8)
    drawn = _aligned(person, scene, pixels, mask, figure.pupils, side)
    drawn.pixels[drawn.mask == 0] = 255  # the sensor's noise ends where the person ends
    return drawn


def unfiltered(person: Person, number: int, side: int) -> Portrait:
    """Draw what a filter that asks for a face and nothing else would keep: aligned, but in any pose, light and mood.

    On its own ground. The paper's low-quality data are like that (`params/filtered_vggface.yaml`).
    """
    rng = _rng(person, number)
    scene = draw_scene(rng)
    defect = (None, *_KEPT)[rng.integers(len(_KEPT) + 1)]
    scene = _framed(spoil(scene, defect, rng), side)
    photo = photograph(person, scene)
    return _aligned(person, scene, photo.pixels, photo.mask, photo.pupils, side)


def _rng(person: Person, number: int) -> np.random.Generator:
    return np.random.default_rng([crc32(person.person_id.encode()), number])


def _framed(scene: Scene, side: int) -> Scene:
    """The scene with a square picture in which the pupils are as far apart as in the finished one."""
    pupil_px = geometry.PUPIL_DISTANCE * side
    room = round(_ROOM * pupil_px)
    return replace(scene, pupil_px=pupil_px, width=room, height=room, centre_x=0.5, centre_y=0.45, blur_px=0.0)


def _aligned(
    person: Person, scene: Scene, pixels: Pixels, mask: NDArray[np.uint8], pupils: NDArray[np.float64], side: int
) -> Portrait:
    """A square picture cut to the finished frame."""
    matrix = geometry.similarity(pupils, geometry.pupil_targets(side))
    return Portrait(
        warp(pixels, matrix, side, side, fill=255),
        warp(mask, matrix, side, side, fill=0),
        scene.width,
        matrix,
        landmarks_of(person, scene),
    )
