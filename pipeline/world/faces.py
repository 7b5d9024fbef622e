"""Photographs of invented people: a three-dimensional head, lit, seen by a camera, with the exact truth beside it."""

from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.backdrop import backdrop
from pipeline.world.body import clothes_paint, ear_paint, ear_surface, neck_paint, neck_surface, torso_surface
from pipeline.world.canvas import Palette, palette
from pipeline.world.glasses import wear_glasses
from pipeline.world.hair import cut, grows, hair_paint, hair_surface, strand_pattern
from pipeline.world.head import Anatomy, Points, anatomy, head_surface
from pipeline.world.landmarks import landmarks
from pipeline.world.raster import (
    POINTS_PER_PIXEL,
    Camera,
    Colours,
    Light,
    Splats,
    camera_of,
    draw,
    facing,
    fine_shape,
    light_of,
    normals,
    resample,
    rotation,
    shade,
    splats,
    turn,
)
from pipeline.world.scene import Scene
from pipeline.world.skin import paint_face
from pipeline.world.traits import Person

_COLUMNS = 150
_HALF_TURN_DEG = 108.0  # azimuths farther from the camera's direction are never seen
_INSIDE_HAIR = np.float32(0.35)  # factor on its light
_GLASSES_ABOVE = 1.0  # trait
_FRONT = np.radians(np.linspace(-95.0, 95.0, 80)).astype(np.float32)  # azimuths of neck and shoulders
_PIVOT = np.array([0.0, 40.0, -20.0], np.float32)  # mm, head frame: where the neck lets the head turn


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture and the truth about it."""

    pixels: NDArray[np.uint8]  # (height, width, 3) sRGB
    mask: NDArray[np.uint8]  # (height, width), 255 where a person is, soft at the outline
    pupils: NDArray[np.float64]  # (2, 2): x, y of the pupil at the left and at the right of the picture
    pupil_px: float  # their distance


@dataclass(frozen=True, slots=True)
class Figure:
    """One person drawn on transparent ground."""

    premultiplied: Colours  # (3, height, width) linear RGB times coverage
    coverage: NDArray[np.float32]  # (height, width)
    pupils: NDArray[np.float64]  # (2, 2)


def photograph(person: Person | None, scene: Scene, companion: Figure | None = None) -> Photo:
    """Take a picture of a person (None: of nobody), with somebody else behind them if a companion is given."""
    rng = np.random.default_rng([scene.seed, 1])
    light = backdrop(rng, scene.width, scene.height)
    matte = np.zeros((scene.height, scene.width), np.float32)
    pupils = np.full((2, 2), np.nan)
    figures = [figure for figure in (companion, draw_figure(person, scene) if person else None) if figure]
    for figure in figures:
        light = light * (1.0 - figure.coverage) + figure.premultiplied
        matte = matte * (1.0 - figure.coverage) + figure.coverage
        pupils = figure.pupils
    distance = float(np.hypot(*(pupils[1] - pupils[0]))) if person else 0.0
    return Photo(develop(light, scene, rng), np.rint(matte * 255.0).astype(np.uint8), pupils, distance)


def draw_figure(person: Person, scene: Scene) -> Figure:
    """Draw one person as the scene's camera and light see them."""
    sitting = _sit(person, scene)
    camera, head = sitting.camera, sitting.head
    layers = [_face(sitting), _hair(sitting), _ear(sitting, -1.0), _ear(sitting, 1.0), _neck(sitting), _torso(sitting)]
    picture, coverage = draw(layers, camera, scene.width, scene.height)
    if person.face.glasses > _GLASSES_ABOVE:
        picture = wear_glasses(
            picture, coverage, person.face.glasses, sitting.a, lambda points: camera.project(_pose(points, head))
        )
    pupils = np.stack(camera.project(_pose(_pupils_mm(sitting.a), head)), axis=-1)
    return Figure(picture, coverage, pupils.astype(np.float64))


def landmarks_of(person: Person, scene: Scene) -> NDArray[np.float64]:
    """The 68 landmarks (68, 2) of one person, pixels of the picture that `draw_figure` makes of the same scene."""
    sitting = _sit(person, scene)
    at = sitting.camera.project(_pose(landmarks(sitting.a), sitting.head))
    return np.stack(at, axis=-1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Sitting:
    """A person before the camera: all that the layers of a figure share."""

    person: Person
    scene: Scene
    a: Anatomy
    colours: Palette
    camera: Camera
    light: Light
    head: NDArray[np.float32]  # rotation, head to camera
    azimuth: NDArray[np.float32]  # radians, columns of the head's surfaces that the camera can see
    spacing_mm: float  # between points


def _sit(person: Person, scene: Scene) -> _Sitting:
    a = anatomy(person, scene.expression, scene.intensity, scene.age_offset_years)
    camera = camera_of(scene)
    seen_deg = np.linspace(-_HALF_TURN_DEG, _HALF_TURN_DEG, _COLUMNS) - scene.yaw_deg
    return _Sitting(
        person=person,
        scene=scene,
        a=a,
        colours=palette(person.face, a.age_years, a.male),
        camera=camera,
        light=light_of(scene),
        head=rotation(scene.yaw_deg, scene.pitch_deg, scene.roll_deg),
        azimuth=np.radians(seen_deg).astype(np.float32),
        spacing_mm=1.0 / (camera.px_per_mm * POINTS_PER_PIXEL),
    )


def _pose(points: Points, head: NDArray[np.float32]) -> Points:
    """Head frame to camera frame: turned about the neck."""
    pivot = _PIVOT.reshape(3, *[1] * (points.ndim - 1))
    return turn(head, points - pivot) + pivot


def _pupils_mm(a: Anatomy) -> Points:
    """The pupils on the surface of the head, (3, 2)."""
    surface = head_surface(a, np.radians(np.linspace(0.0, 60.0, 90)).astype(np.float32))
    z = surface[2].flat[int(((surface[0] - a.eye_x) ** 2 + surface[1] ** 2).argmin())]
    return np.array([[-a.eye_x, a.eye_x], [0.0, 0.0], [z, z]], np.float32)


def _face(s: _Sitting) -> Splats:
    coarse = head_surface(s.a, s.azimuth)
    rows, columns = fine_shape(coarse, s.spacing_mm)
    # Hollows see less sky: what lies behind its surroundings is darker.
    hollow = np.clip(cv2.GaussianBlur(coarse[2], (0, 0), 6.0) - coarse[2], 0.0, 12.0)
    shadow = resample((1.0 - 0.055 * hollow).astype(np.float32), rows, columns)
    points = resample(coarse, rows, columns)
    marks = np.random.default_rng([crc32(s.person.person_id.encode()), 3])
    albedo, gloss = paint_face(points, s.a, s.person.face, s.colours, marks, s.spacing_mm * POINTS_PER_PIXEL)
    normal = turn(s.head, resample(normals(coarse), rows, columns))
    placed = _pose(points, s.head)
    return splats(placed, shade(albedo * shadow, normal, s.light, gloss), facing(placed, normal))


def _hair(s: _Sitting) -> Splats:
    style = cut(s.person.face, s.a)
    coarse = hair_surface(s.a, style, s.azimuth)
    rows, columns = fine_shape(coarse, s.spacing_mm)
    points = resample(coarse, rows, columns)
    strands = strand_pattern(np.random.default_rng([s.scene.seed, 2]), rows, columns, style.curl)
    albedo, gloss = hair_paint(points, style, s.colours.hair, strands)
    normal = turn(s.head, resample(normals(coarse), rows, columns))
    placed = _pose(points, s.head)
    # The inside of the hair is seen too, between its edge and the far cheek, and lies in its own shadow.
    shaded = shade(albedo, normal, s.light, gloss) * np.where(facing(placed, normal), np.float32(1.0), _INSIDE_HAIR)
    return splats(placed, shaded, grows(points, style, strands))


def _ear(s: _Sitting, sign: float) -> Splats:
    coarse = ear_surface(s.a, sign)
    shape = fine_shape(coarse, s.spacing_mm)
    normal = turn(s.head, resample(normals(coarse), *shape))
    outwards = s.head @ np.array([sign, 0.0, 0.6], np.float32)
    normal *= np.sign(outwards @ normal.reshape(3, -1).mean(axis=1))
    paint = shade(ear_paint(shape, s.colours.skin), normal, s.light, 0.02)
    points = _pose(resample(coarse, *shape), s.head)
    return Splats(points.reshape(3, -1), paint.reshape(3, -1))  # thin: both sides are drawn


def _neck(s: _Sitting) -> Splats:
    points, normal = _below_head(s, neck_surface(s.a, _FRONT))
    return splats(points, shade(neck_paint(points, s.a, s.colours.skin), normal, s.light), facing(points, normal))


def _torso(s: _Sitting) -> Splats:
    points, normal = _below_head(s, torso_surface(s.a, _FRONT))
    today = np.random.default_rng([s.scene.seed, 4])
    clothes = clothes_paint(points, s.a, s.colours.skin, today)
    return splats(points, shade(clothes, normal, s.light), facing(points, normal))


def _below_head(s: _Sitting, surface: Points) -> tuple[Points, Points]:
    """Points and normals of neck or shoulders, which face the camera whatever the head does, as far as seen."""
    below_mm = (s.scene.height - s.camera.centre_y) / s.camera.px_per_mm
    seen = max(2, int(np.searchsorted(surface[1, :, 0], below_mm)) + 2)
    rows, columns = fine_shape(surface[:, :seen], s.spacing_mm)
    return resample(surface[:, :seen], rows, columns), resample(normals(surface)[:, :seen], rows, columns)


def develop(light: Colours, scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lens, sensor and tone curve: linear light (3, h, w) to 8-bit sRGB (h, w, 3)."""
    picture = cv2.merge(list(light))
    if scene.blur_px > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), scene.blur_px)
    picture = cv2.pow(np.clip(picture, 0.0, 1.0), 1 / 2.2) * np.float32(255.0)
    if scene.noise > 0:
        picture += np.float32(scene.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    if scene.grey:
        picture = cv2.merge([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)] * 3)
    pixels: NDArray[np.uint8] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pixels
