"""Self-contained HTML pages: every string escaped, pictures as data, nothing fetched, no script."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from pipeline.images import decode

THUMBNAIL_SIDE = 224  # pixels


def thumbnail(data: bytes, max_pixels: int, side: int = THUMBNAIL_SIDE) -> str:
    """A square JPEG of a picture as base64, the picture centred on white.

    Raises pipeline.images.Unreadable as `decode` does.
    """
    small = Image.fromarray(np.asarray(decode(data, max_pixels)))
    small.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
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
