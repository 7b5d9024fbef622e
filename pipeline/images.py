"""Decode pictures from strangers safely, and encode our own deterministically."""

import io
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # what may be decoded: Pillow knows many more


class Unreadable(Exception):
    """A picture that cannot be used; `reason` is a drop reason, the message says what was found."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture says of itself before any pixel is decoded."""

    format: str
    width: int  # pixels, EXIF-upright
    height: int


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise Unreadable("empty", "zero bytes")
    try:
        with warnings.catch_warnings():
            # Pillow warns of big pictures; our own cap below decides, from the header alone.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Unreadable("too_many_pixels", str(error)) from error
    except Exception as error:  # Pillow's parsers raise many kinds on hostile bytes
        raise Unreadable("not_a_picture", f"{type(error).__name__}: first bytes {data[:8]!r}") from error
    if image.width * image.height > max_pixels:
        raise Unreadable("too_many_pixels", f"{image.width} x {image.height} pixels; at most {max_pixels}")
    return image


_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 swap width and height


def header(data: bytes, max_pixels: int) -> Header:
    """Format and upright size, from the header alone.

    Raises Unreadable: `empty`, `not_a_picture`, `too_many_pixels`.
    """
    image = _open(data, max_pixels)
    width, height = image.size
    try:
        turned = int(image.getexif().get(_ORIENTATION, 1)) in (5, 6, 7, 8)
    except Exception:  # noqa: BLE001  # damaged EXIF says nothing about the pixels: treat as absent
        turned = False
    return Header(image.format or "", height if turned else width, width if turned else height)


def decode(data: bytes, max_pixels: int) -> Pixels:
    """Decode the first frame to RGB, height x width x 3 uint8, upright by EXIF; transparency becomes white.

    Raises Unreadable: those of `header`, and `truncated` or `undecodable`.
    """
    image = _open(data, max_pixels)
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode in ("I", "I;16", "I;16B", "F"):
            image = _eight_bits(image)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # convert would copy all the same
    except Exception as error:
        reason = "truncated" if "truncated" in str(error).lower() else "undecodable"
        raise Unreadable(reason, f"{type(error).__name__}: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and float grey to 8 bits; Pillow's own conversion would clip instead of scale."""
    values = np.array(image, dtype=np.float32)
    values *= 255.0 / (65535.0 if values.max(initial=0.0) > 255.0 else 255.0)
    np.clip(np.rint(values, out=values), 0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8))


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of an RGB or grey picture; the same pixels give the same bytes."""
    out = io.BytesIO()
    # Run-length matching: on photographs smaller than zlib's default at level 3, and almost twice as fast.
    Image.fromarray(pixels).save(out, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return out.getvalue()


def encode_jpeg(pixels: Pixels, quality: int = 95) -> bytes:
    """JPEG bytes without chroma subsampling."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()
