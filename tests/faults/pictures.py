"""Pictures that strangers send: broken, huge, lying or merely unusual, each made from code around one drawn face."""

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pipeline.images import Pixels
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person

_ORIENTATION = 0x0112  # EXIF tag
_FROM_UPRIGHT = {  # EXIF orientation: what turns the upright picture into what such a camera stores
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}


@cache
def face() -> Pixels:
    """A portrait that passes every rule of the landmarks stage."""
    scene = Scene(seed=3, yaw_deg=1.0, light_azimuth_deg=10.0, light_harshness=0.1, pupil_px=75.0)
    return photograph(draw_person(7, 0), scene).pixels


def saved(image: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    """A picture as bytes of one format."""
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def oriented(orientation: int) -> bytes:
    """The face as a camera held that way stores it: upright again once its EXIF is obeyed; lossless."""
    image = Image.fromarray(face())
    for turn in _FROM_UPRIGHT[orientation]:
        image = image.transpose(turn)
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    stored = saved(image, "PNG", exif=exif)
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))), face())
    return stored


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, packed: bytes, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of any claims: `packed` is its zlib stream, `chunks` stand before it."""
    claims = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", claims), *chunks, _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    )


def _frames(kind: str, **options: Any) -> bytes:
    """An animation whose first frame is the face and whose second is black."""
    first, second = Image.fromarray(face()), Image.new("RGB", face().shape[1::-1])
    return saved(first, kind, save_all=True, append_images=[second], duration=100, **options)


def _sixteen_bit_grey() -> bytes:
    grey = np.asarray(Image.fromarray(face()).convert("L"), np.uint16) * 257
    return saved(Image.fromarray(grey), "PNG")


def _sixteen_bit_colour() -> bytes:
    """RGB with 16 bits each, which Pillow reads but cannot write."""
    rows = (face().astype(np.uint16) * 257).astype(">u2")
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 1)
    return png(face().shape[1], face().shape[0], packed, depth=16)


def _cut_out() -> bytes:
    """The face with a transparent corner that hides black."""
    alpha = np.full((*face().shape[:2], 1), 255, np.uint8)
    alpha[:40, :40] = 0
    return saved(np.concatenate([face(), alpha], axis=2), "PNG")


@cache
def usable() -> dict[str, bytes]:
    """Unusual pictures of the face, as `name: bytes`: none is a reason to drop it."""
    image = Image.fromarray(face())
    return {
        "plain": saved(image, "PNG"),
        "cmyk": saved(image.convert("CMYK"), "JPEG", quality=95),
        "sixteen_bit_colour": _sixteen_bit_colour(),
        "animated_png": _frames("PNG"),
        "animated_webp": _frames("WEBP", lossless=True),
        "still_webp": saved(image, "WEBP", lossless=True),
        "bmp": saved(image, "BMP"),
        "tiff": saved(image, "TIFF"),
        "cut_out": _cut_out(),
        "progressive": saved(image, "JPEG", quality=95, progressive=True),
        "long_comment": saved(image, "JPEG", quality=95, comment=b"<script>alert(1)</script>" * 1000),
        **{f"exif_{turn}": oriented(turn) for turn in _FROM_UPRIGHT},
    }


@cache
def grey() -> dict[str, bytes]:
    """Pictures of the face in shades of grey, or in few colours: decoded all the same."""
    image = Image.fromarray(face())
    return {
        "grey": saved(image.convert("L"), "JPEG", quality=95),
        "sixteen_bit_grey": _sixteen_bit_grey(),
        "one_bit": saved(image.convert("1"), "PNG"),
        "palette": saved(image.convert("P"), "PNG"),
        "animated_gif": _frames("GIF"),
        "grey_alpha": saved(image.convert("LA"), "PNG"),
    }


@cache
def broken() -> dict[str, tuple[bytes, set[str]]]:
    """Pictures that cannot be used, as `name: (bytes, drop reasons that name the fault)`."""
    whole_png, whole_jpeg = saved(face(), "PNG"), saved(face(), "JPEG", quality=95)
    nothing = zlib.compress(b"")
    no_picture, unusable = {"not_a_picture"}, {"truncated", "undecodable", "not_a_picture"}
    return {
        "empty": (b"", {"empty"}),
        "one_byte": (b"\xff", no_picture),
        "html": (b"<!DOCTYPE html><html><script>alert(1)</script>" * 20, no_picture),
        "nulls": (b"\0" * 4096, no_picture),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", no_picture),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(%pipe%id) (r) file\n", no_picture),
        "magic_only": (b"\x89PNG\r\n\x1a\n", no_picture),
        "huge_header": (png(50_000, 50_000, nothing), {"too_many_pixels"}),
        "largest_header": (png(2**31 - 1, 2**31 - 1, nothing), {"too_many_pixels", "not_a_picture"}),
        "no_width": (png(0, 100, nothing), unusable),
        "no_pixels": (png(100, 100, nothing), unusable),
        "bad_depth": (png(100, 100, nothing, depth=7), no_picture),
        "half_png": (whole_png[: len(whole_png) // 2], unusable),
        "half_jpeg": (whole_jpeg[: len(whole_jpeg) // 2], unusable),
        "text_bomb": (
            png(64, 64, zlib.compress(bytes(64 * 193)), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26), 9))),
            {*unusable, "no_face"},
        ),
        "profile_bomb": (
            png(64, 64, zlib.compress(bytes(64 * 193)), _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 26), 9))),
            {*unusable, "no_face"},
        ),
        "too_much_data": (png(64, 64, zlib.compress(bytes(1 << 26), 9)), {*unusable, "no_face"}),
    }
