"""Turn curved surfaces into pixels: shade every point of dense grids, keep the nearest, average what shares a pixel."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.head import Field, Points
from pipeline.world.scene import Scene

Colours = NDArray[np.float32]  # (3, ...): linear RGB, 0..1

CAMERA_DISTANCE_MM = 1150.0
MEAN_PUPIL_DISTANCE_MM = 63.0
POINTS_PER_PIXEL = 1.2  # along each axis; below 1.1 holes appear where a surface faces the camera
_NEIGHBOURS = np.ones((3, 3), np.uint8)
SAME_SURFACE_MM = 2.0  # points of one pixel this close in depth are averaged, farther ones are hidden


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera looking along -z at the point the head turns about."""

    focal_px: float
    centre_x: float  # pixel column of the head's origin
    centre_y: float

    def project(self, points: Points) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return pixel columns and rows, 0-based, of points in the camera's frame."""
        scale = np.float32(self.focal_px) / (np.float32(CAMERA_DISTANCE_MM) - points[2])
        return points[0] * scale + np.float32(self.centre_x), points[1] * scale + np.float32(self.centre_y)

    @property
    def px_per_mm(self) -> float:
        """Scale at the head's origin."""
        return self.focal_px / CAMERA_DISTANCE_MM


@dataclass(frozen=True, slots=True)
class Light:
    """A key light, a weaker fill from the camera, and the sky."""

    direction: NDArray[np.float32]  # unit vector from the face to the key light
    key: NDArray[np.float32]  # RGB strengths
    fill: float
    ambient: float
    wrap: float  # 0: sharp terminator; 1: light bends all the way round


@dataclass(frozen=True, slots=True)
class Splats:
    """Shaded points ready to be drawn."""

    points: Points  # (3, n)
    colours: Colours  # (3, n)


def camera_of(scene: Scene) -> Camera:
    """Place the camera so that average pupils are `scene.pupil_px` apart."""
    return Camera(
        focal_px=scene.pupil_px / MEAN_PUPIL_DISTANCE_MM * (CAMERA_DISTANCE_MM - 80.0),
        centre_x=scene.centre_x * scene.width,
        centre_y=scene.centre_y * scene.height,
    )


def light_of(scene: Scene) -> Light:
    """Return the light of a scene: the harsher, the less fill and sky."""
    azimuth, elevation = np.radians(scene.light_azimuth_deg), np.radians(scene.light_elevation_deg)
    h, w = scene.light_harshness, scene.light_warmth
    direction = (np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation))
    return Light(
        direction=np.array(direction, np.float32),
        key=np.array([1.0 + 0.07 * w, 1.0, 1.0 - 0.12 * w], np.float32) * np.float32(0.55 + 0.55 * h),
        fill=0.26 * (1.0 - h) ** 1.3,
        ambient=0.34 * (1.0 - h) + 0.015,
        wrap=0.45 * (1.0 - h),
    )


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> NDArray[np.float32]:
    """Return R of p_camera = R p_head: rolled, then turned, then nodded, so that yaw and pitch ignore the roll."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(v), np.sin(v)) for v in (yaw, pitch, roll))
    yawed = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    matrix: NDArray[np.float32] = (nod @ yawed @ lean).astype(np.float32)
    return matrix


def turn(matrix: NDArray[np.float32], vectors: Points) -> Points:
    """Multiply every vector of a (3, ...) array by a 3 x 3 matrix."""
    return (matrix @ vectors.reshape(3, -1)).reshape(vectors.shape)


def fine_shape(points: Points, spacing_mm: float) -> tuple[int, int]:
    """Return the rows and columns that put neighbours `spacing_mm` apart where the grid is widest."""
    down = np.linalg.norm(np.diff(points, axis=1), axis=0).sum(axis=0).max()
    across = np.linalg.norm(np.diff(points, axis=2), axis=0).sum(axis=1).max()
    return max(8, int(down / spacing_mm)), max(8, int(across / spacing_mm))


def resample(grid: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Resample (..., r, c) grids linearly to rows x columns, end points kept."""
    planes = grid.reshape(-1, *grid.shape[-2:])
    r = np.linspace(0.0, grid.shape[-2] - 1.0, rows, dtype=np.float32)
    c = np.linspace(0.0, grid.shape[-1] - 1.0, columns, dtype=np.float32)
    where = cv2.convertMaps(*np.meshgrid(c, r), cv2.CV_32FC1)
    fine: NDArray[np.float32] = np.stack([cv2.remap(plane, where[0], where[1], cv2.INTER_LINEAR) for plane in planes])
    return fine.reshape(*grid.shape[:-2], rows, columns)


def normals(points: Points) -> Points:
    """Return unit normals of a grid (rows downwards, columns to the right), pointing out of the surface."""
    ax, ay, az = np.gradient(points, axis=2)
    dx, dy, dz = np.gradient(points, axis=1)
    normal = np.stack([ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx])
    normal /= np.sqrt((normal**2).sum(axis=0)) + np.float32(1e-9)
    return normal.astype(np.float32)


def shade(albedo: Colours, normal: Points, light: Light, gloss: Field | float = 0.0) -> Colours:
    """Lambert with wrapped light, a fill from the camera, a sky from above, and a soft Blinn-Phong highlight."""
    half_way = light.direction + np.array([0.0, 0.0, 1.0], np.float32)
    half_way /= np.linalg.norm(half_way)
    toward, mirror = np.stack([light.direction, half_way]) @ normal.reshape(3, -1)
    toward, mirror = toward.reshape(normal.shape[1:]), np.maximum(mirror, 0.0).reshape(normal.shape[1:])
    lit = np.maximum((toward + np.float32(light.wrap)) / np.float32(1.0 + light.wrap), 0.0)
    even = np.float32(light.ambient) * (np.float32(0.85) - np.float32(0.15) * normal[1])
    even += np.float32(light.fill) * np.maximum(normal[2], 0.0)
    square = mirror * mirror
    fourth = square * square
    glint = fourth * fourth * fourth * square * gloss * np.clip(toward + np.float32(0.2), 0.0, 1.0)
    return np.stack([albedo[k] * (lit * light.key[k] + even) + glint * light.key[k] for k in range(3)])


def facing(points: Points, normal: Points) -> NDArray[np.bool_]:
    """Return which points of a surface show the camera their outer side."""
    x, y, z = points
    seen: NDArray[np.bool_] = normal[2] * (np.float32(CAMERA_DISTANCE_MM) - z) > normal[0] * x + normal[1] * y
    return seen


def splats(points: Points, colours: Colours, keep: NDArray[np.bool_]) -> Splats:
    """Return the points to be drawn."""
    chosen = np.flatnonzero(keep)
    return Splats(*(np.take(array.reshape(3, -1), chosen, axis=1) for array in (points, colours)))


def draw(layers: list[Splats], camera: Camera, width: int, height: int) -> tuple[Colours, Field]:
    """Draw layers of points; return the picture, premultiplied linear RGB (3, h, w), and its coverage 0..1 (h, w)."""
    points = np.concatenate([layer.points for layer in layers], axis=1)
    colours = np.concatenate([layer.colours for layer in layers], axis=1)
    px, py = camera.project(points)
    column, row = (px + np.float32(0.5)).astype(np.int32), (py + np.float32(0.5)).astype(np.int32)
    inside = np.flatnonzero((px > -0.5) & (column < width) & (py > -0.5) & (row < height))
    cell = (row * np.int32(width) + column)[inside]
    depth = points[2][inside]
    nearest = np.full(width * height, -CAMERA_DISTANCE_MM, np.float32)
    np.maximum.at(nearest, cell, depth)
    # Where a surface is steep its points are sparse: what would be seen through a gap of one pixel is hidden.
    closed = cv2.morphologyEx(nearest.reshape(height, width), cv2.MORPH_CLOSE, _NEIGHBOURS).ravel()
    front = np.flatnonzero(depth > closed[cell] - np.float32(SAME_SURFACE_MM))
    cell, inside = cell[front], inside[front]
    shape = (height, width)
    count = np.bincount(cell, minlength=width * height).reshape(shape).astype(np.float32)
    total = [np.bincount(cell, plane[inside], width * height).reshape(shape).astype(np.float32) for plane in colours]
    return _close(total, count)


def _close(total: list[Field], count: Field) -> tuple[Colours, Field]:
    """Average per pixel, fill the pinholes from their neighbours, soften the outline by one pixel."""
    hit = count > 0
    solid = cv2.morphologyEx(hit.astype(np.uint8), cv2.MORPH_CLOSE, _NEIGHBOURS)
    coverage = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 0.7)
    near, weight = np.maximum(cv2.blur(count, (3, 3)), np.float32(1e-6)), np.maximum(count, 1.0)
    # Outside the outline the colour is that of the nearest neighbours, so that the soft edge has no dark rim.
    planes = [np.where(hit, plane / weight, cv2.blur(plane, (3, 3)) / near) * coverage for plane in total]
    return np.stack(planes).astype(np.float32), coverage.astype(np.float32)
