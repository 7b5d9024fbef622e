"""Contact sheets: people in rows, each way of listening in a column under its name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_STRIP = 14  # pixels of the captions
_WIDEST = 128  # pixels that small faces are enlarged to, so that captions fit


def contact_sheet(path: Path, columns: Sequence[str], faces: NDArray[np.uint8]) -> None:
    """Write (people, columns, 3, S, S) faces, enlarged by a whole factor, below a strip of captions."""
    people, across, _, side, _ = faces.shape
    scale = max(1, _WIDEST // side)
    body: NDArray[Any] = faces.transpose(0, 3, 1, 4, 2).reshape(people * side, across * side, 3)
    body = body.repeat(scale, axis=0).repeat(scale, axis=1)
    sheet = Image.new("RGB", (body.shape[1], _STRIP + body.shape[0]), "white")
    sheet.paste(Image.fromarray(np.ascontiguousarray(body)), (0, _STRIP))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for column, caption in enumerate(columns):
        pen.text((column * side * scale + 2, 1), caption, fill="black", font=font)
    sheet.save(path)
