"""What goes wrong with pictures found on the web, planted on purpose: in the scene, or in the file."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from pipeline.images import Pixels
from pipeline.world.faces import Photo, draw_figure, photograph
from pipeline.world.scene import Scene, draw_scene
from pipeline.world.traits import draw_person, listed_person

STRANGERS = 130_000  # people from this index on never belong to a world: they are who else is in a picture

SCENE_DEFECTS = ("turned", "nodded", "tiny", "smile", "surprise", "scowl", "grey", "side_light")
SUBJECT_DEFECTS = ("two_people", "nobody", "wrong_person")
COPY_DEFECTS = ("exact_duplicate", "near_duplicate")  # of picture 0
FILE_DEFECTS = ("truncated", "html_as_jpg", "zero_bytes")
HARMLESS = ("png_as_jpg", "exif_rotated")  # odd files that a careful reader keeps
DEFECTS = SCENE_DEFECTS + SUBJECT_DEFECTS + COPY_DEFECTS + FILE_DEFECTS + HARMLESS

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Shot:
    """One file of the world's web and the truth about it."""

    data: bytes
    defect: str | None
    scene: Scene
    photo: Photo | None  # what was photographed; None where the file holds no picture
    duplicate_of: int | None  # number of the picture of the same person that this one repeats


def take(seed: int, index: int, number: int, defect: str | None) -> Shot:
    """Take picture `number` of person `index`, with a planted defect or none; the same numbers, the same bytes."""
    rng = np.random.default_rng([seed, index, number])
    scene = spoil(draw_scene(rng), defect, rng)
    if defect == "html_as_jpg":
        return Shot(_HTML, defect, scene, None, None)
    if defect == "zero_bytes":
        return Shot(b"", defect, scene, None, None)
    if defect in COPY_DEFECTS:
        return _copy(take(seed, index, 0, None), defect, rng)
    photo = _expose(seed, index, scene, defect)
    encode = _ENCODERS.get(defect or "", jpeg)
    data = encode(photo.pixels, int(rng.integers(86, 96)))
    if defect == "truncated":
        data = data[: int(len(data) * rng.uniform(0.3, 0.7))]
    return Shot(data, defect, scene, photo, None)


def spoil(scene: Scene, defect: str | None, rng: np.random.Generator) -> Scene:
    """Return the scene with a defect of `SCENE_DEFECTS` (others leave it, but for the room a second person needs)."""
    side = float(rng.choice([-1.0, 1.0]))
    changes: dict[str, Any] = {}
    match defect:
        case "turned":
            changes = {"yaw_deg": side * rng.uniform(12.0, 38.0)}
        case "nodded":
            changes = {"pitch_deg": side * rng.uniform(13.0, 24.0)}
        case "tiny":
            changes = {"pupil_px": rng.uniform(17.0, 25.0), "blur_px": 0.0}
        case "smile" | "surprise" | "scowl":
            changes = {"expression": defect, "intensity": 1.0}
        case "grey":
            changes = {"grey": True}
        case "side_light":
            changes = {"light_azimuth_deg": side * rng.uniform(70.0, 95.0), "light_elevation_deg": 15.0}
            changes["light_harshness"] = rng.uniform(0.85, 1.0)
        case "two_people":
            changes = {"width": int(scene.pupil_px * 8.4), "centre_x": 0.29}
    return replace(scene, **changes)


def _expose(seed: int, index: int, scene: Scene, defect: str | None) -> Photo:
    person, stranger = listed_person(seed, index), draw_person(seed, STRANGERS + index)
    if defect == "nobody":
        return photograph(None, scene)
    if defect == "wrong_person":
        return photograph(stranger, scene)
    if defect == "two_people":
        beside = replace(scene, seed=scene.seed + 1, centre_x=0.71, yaw_deg=-scene.yaw_deg)
        return photograph(person, scene, draw_figure(stranger, beside))
    return photograph(person, scene)


def _copy(first: Shot, defect: str | None, rng: np.random.Generator) -> Shot:
    """The first picture again: byte for byte, or smaller, a little brighter and packed anew."""
    assert first.photo is not None  # picture 0 never has a defect
    if defect == "exact_duplicate":
        return replace(first, defect=defect, duplicate_of=0)
    scale, gain = float(rng.uniform(0.85, 0.97)), float(rng.uniform(0.96, 1.04))
    height, width = (int(side * scale) for side in first.photo.pixels.shape[:2])
    small = Image.fromarray(first.photo.pixels).resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.clip(np.asarray(small, np.float32) * gain, 0, 255).astype(np.uint8)
    mask = np.asarray(Image.fromarray(first.photo.mask).resize((width, height), Image.Resampling.BILINEAR))
    # Pixel centres: x' + 0.5 = (x + 0.5) * width' / width.
    ratio = np.array([width, height]) / first.photo.pixels.shape[1::-1]
    pupils = (first.photo.pupils + 0.5) * ratio - 0.5
    photo = Photo(pixels, mask, pupils, float(np.hypot(*(pupils[1] - pupils[0]))))
    return Shot(jpeg(pixels, 82), defect, first.scene, photo, 0)


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """Encode as JPEG."""
    return _encode(pixels, "JPEG", quality=quality)


def _png(pixels: Pixels, _quality: int) -> bytes:
    return _encode(pixels, "PNG")


def _rotated(pixels: Pixels, quality: int) -> bytes:
    """A JPEG stored on its side, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6  # turn clockwise to show
    return _encode(np.ascontiguousarray(np.rot90(pixels)), "JPEG", quality=quality, exif=exif)


def _encode(pixels: Pixels, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


_ENCODERS: dict[str, Callable[[Pixels, int], bytes]] = {"png_as_jpg": _png, "exif_rotated": _rotated}
_HTML = (
    b"<!DOCTYPE html>\n<html><head><title>Not found</title></head><body><p>This picture has moved.</p></body></html>\n"
)
