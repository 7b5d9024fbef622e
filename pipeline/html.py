"""Self-contained HTML pages: every string escaped, pictures as data, nothing fetched, no script."""

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageDraw

from pipeline.images import decode

THUMBNAIL_SIDE = 224  # pixels
_OUTLINE = (64, 224, 176)


def thumbnail(data: bytes, max_pixels: int, side: int = THUMBNAIL_SIDE, box: Sequence[float] | None = None) -> str:
    """A square JPEG of a picture as base64, the picture centred on white.

    `box` (left, top, right, bottom in pixels of the picture) is outlined. Raises pipeline.images.Unreadable as
    `decode` does.
    """
    small = Image.fromarray(decode(data, max_pixels))
    width = small.width
    small.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    if box is not None:
        left, top, right, bottom = (edge * small.width / width for edge in box)
        ImageDraw.Draw(small).rectangle((left, top, max(left, right), max(top, bottom)), outline=_OUTLINE, width=2)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    out = io.BytesIO()
    square.save(out, "JPEG", quality=82)
    return base64.b64encode(out.getvalue()).decode()


def csp_hash(text: str) -> str:
    """The hash by which a Content-Security-Policy allows one inline style sheet and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def page(template: Path, values: dict[str, Any]) -> str:
    """The HTML of a template, every value escaped; a value the template names and `values` lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csp_hash"] = csp_hash
    return environment.get_template(template.name).render(values)
