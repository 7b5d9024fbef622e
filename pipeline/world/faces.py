"""Photographs of invented people: a three-dimensional head, lit, seen by a camera, with the exact truth beside it."""

from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.backdrop import backdrop
from pipeline.world.body import clothes_paint, ear_paint, ear_surface, neck_paint, neck_surface, torso_surface
from pipeline.world.glasses import wear_glasses
from pipeline.world.hair import cut, grows, hair_surface, strand_pattern
from pipeline.world.head import Anatomy, anatomy, head_surface
from pipeline.world.raster import (
    POINTS_PER_PIXEL,
    Camera,
    Colours,
    Light,
    Splats,
    camera_of,
    draw,
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
from pipeline.world.skin import Palette, cloud, paint_face, palette
from pipeline.world.traits import Person

_COLUMNS = 150
_HALF_TURN_DEG = 108.0  # azimuths farther from the camera's direction are never seen
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
    return Photo(_develop(light, scene, rng), np.rint(matte * 255.0).astype(np.uint8), pupils, distance)


def draw_figure(person: Person, scene: Scene) -> Figure:
    """Draw one person as the scene's camera and light see them."""
    a = anatomy(person, scene.expression, scene.intensity, scene.age_offset_years)
    camera, light = camera_of(scene), light_of(scene)
    colours = palette(person.face, a.age_years, a.male)
    # A person's own marks stay; clothes and hair's fall change with the picture.
    own = np.random.default_rng([crc32(person.face.vector().tobytes()), 3])
    today = np.random.default_rng([scene.seed, 2])
    head = rotation(scene.yaw_deg, scene.pitch_deg, scene.roll_deg)
    spacing_mm = 1.0 / (camera.px_per_mm * POINTS_PER_PIXEL)
    azimuth = np.radians(np.linspace(-_HALF_TURN_DEG, _HALF_TURN_DEG, _COLUMNS) - scene.yaw_deg).astype(np.float32)
    layers = [
        _face_layer(person, a, colours, head, light, azimuth, spacing_mm, own),
        _hair_layer(person, a, colours, head, light, azimuth, spacing_mm, today),
        *_ear_layers(a, colours, head, light, spacing_mm),
        *_body_layers(a, colours, camera, scene.height, light, spacing_mm, today),
    ]
    picture, coverage = draw(layers, camera, scene.width, scene.height)
    if person.face.glasses > 1.0:
        picture = wear_glasses(picture, coverage, person.face.glasses, a, lambda p: camera.project(_turn(p, head)))
    return Figure(picture, coverage, _project_pupils(a, camera, head))


def _turn(points: NDArray[np.float32], head: NDArray[np.float32]) -> NDArray[np.float32]:
    """Head frame to camera frame."""
    return turn(head, points - _PIVOT.reshape(3, *[1] * (points.ndim - 1))) + _PIVOT.reshape(3, *[1] * (points.ndim - 1))


def _eye_surface_z(a: Anatomy) -> float:
    surface = head_surface(a, np.radians(np.linspace(0.0, 60.0, 90)).astype(np.float32))
    distance = (surface[0] - a.eye_x) ** 2 + surface[1] ** 2
    return float(surface[2].flat[int(distance.argmin())])


def _project_pupils(a: Anatomy, camera: Camera, head: NDArray[np.float32]) -> NDArray[np.float64]:
    z = _eye_surface_z(a)
    points = np.array([[-a.eye_x, a.eye_x], [0.0, 0.0], [z, z]], np.float32)
    return np.stack(camera.project(_turn(points, head)), axis=-1).astype(np.float64)


def _face_layer(
    person: Person,
    a: Anatomy,
    colours: Palette,
    head: NDArray[np.float32],
    light: Light,
    azimuth: NDArray[np.float32],
    spacing_mm: float,
    rng: np.random.Generator,
) -> Splats:
    coarse = head_surface(a, azimuth)
    rows, columns = fine_shape(coarse, spacing_mm)
    # Hollows see less sky: what lies behind its surroundings is darker.
    hollow = np.clip(cv2.GaussianBlur(coarse[2], (0, 0), 6.0) - coarse[2], 0.0, 12.0)
    shadow = resample((1.0 - 0.055 * hollow).astype(np.float32), rows, columns)
    points = resample(coarse, rows, columns)
    albedo, gloss = paint_face(points, a, person.face, colours, rng, spacing_mm * POINTS_PER_PIXEL)
    normal = turn(head, resample(normals(coarse), rows, columns))
    shaded = shade(albedo * shadow, normal, light, gloss)
    return splats(_turn(points, head), shaded, normal)


def _hair_layer(
    person: Person,
    a: Anatomy,
    colours: Palette,
    head: NDArray[np.float32],
    light: Light,
    azimuth: NDArray[np.float32],
    spacing_mm: float,
    rng: np.random.Generator,
) -> Splats:
    style = cut(person.face, a)
    coarse = hair_surface(a, style, azimuth)
    rows, columns = fine_shape(coarse, spacing_mm)
    points = resample(coarse, rows, columns)
    strands = strand_pattern(rng, rows, columns, style.curl)
    normal = turn(head, resample(normals(coarse), rows, columns))
    parting = np.exp(-(((points[0] - style.parting_x - 0.1 * points[1]) / 1.6) ** 2)) * (points[1] < -80.0)
    depth = np.clip(1.0 + 0.26 * strands, 0.35, 1.8) * (1.0 - 0.5 * parting)
    # Hair under other hair, low at the sides, is darker.
    depth *= np.clip(1.0 - 0.0022 * (points[1] + 60.0), 0.55, 1.1)
    albedo = colours.hair[:, None, None] * depth
    gloss = 0.10 * np.clip(0.6 + 0.5 * strands, 0.0, 1.6) * (0.25 + colours.hair.mean()) ** 0.5
    shaded = shade(albedo, normal, light, gloss)
    return splats(_turn(points, head), shaded, normal, grows(points, a, style, strands))


def _ear_layers(
    a: Anatomy, colours: Palette, head: NDArray[np.float32], light: Light, spacing_mm: float
) -> list[Splats]:
    layers = []
    for sign in (-1.0, 1.0):
        coarse = ear_surface(a, sign)
        shape = fine_shape(coarse, spacing_mm)
        normal = turn(head, resample(normals(coarse), *shape))
        normal *= np.sign((head @ np.array([sign, 0.0, 0.6], np.float32)) @ normal.reshape(3, -1).mean(axis=1))
        points = _turn(resample(coarse, *shape), head)
        paint = shade(ear_paint(shape, colours.skin), normal, light, 0.02)
        layers.append(Splats(points.reshape(3, -1), paint.reshape(3, -1)))
    return layers


def _body_layers(
    a: Anatomy,
    colours: Palette,
    camera: Camera,
    height: int,
    light: Light,
    spacing_mm: float,
    rng: np.random.Generator,
) -> list[Splats]:
    azimuth = np.radians(np.linspace(-95.0, 95.0, 80)).astype(np.float32)
    lowest_mm = max((height - camera.centre_y) / camera.px_per_mm, a.chin_y + 60.0)  # below is out of the picture
    layers = []
    for coarse, torso in ((neck_surface(a, azimuth), False), (torso_surface(a, azimuth), True)):
        rows = slice(0, int(np.searchsorted(coarse[1, :, 0], lowest_mm)) + 2)
        shape = fine_shape(coarse[:, rows], spacing_mm)
        points, normal = resample(coarse[:, rows], *shape), resample(normals(coarse)[:, rows], *shape)
        albedo = clothes_paint(points, a, colours.skin, rng) if torso else neck_paint(points, a, colours.skin)
        layers.append(splats(points, shade(albedo, normal, light), normal))
    return layers


def _develop(light: Colours, scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lens, sensor and tone curve: linear light (3, h, w) to 8-bit sRGB (h, w, 3)."""
    picture = cv2.merge(list(light))
    if scene.blur_px > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), scene.blur_px)
    picture = cv2.pow(np.clip(picture, 0.0, 1.0), 1 / 2.2) * np.float32(255.0)
    if scene.noise > 0:
        picture += np.float32(scene.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    if scene.grey:
        picture = cv2.merge([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)] * 3)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
