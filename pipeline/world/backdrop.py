"""What is behind people: rooms, shelves, lights and leaves, more or less out of focus."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.world.canvas import linear


def backdrop(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Return a cluttered background as linear RGB, (3, height, width)."""
    short = min(width, height)
    scale = 200.0 / short
    w, h = max(8, int(width * scale)), max(8, int(height * scale))
    top, bottom = rng.uniform(40, 215, 3), rng.uniform(30, 200, 3)
    tone = rng.uniform(0.2, 0.8)
    top, bottom = top * (1 - tone) + top.mean() * tone, bottom * (1 - tone) + bottom.mean() * tone
    ramp = np.linspace(0.0, 1.0, h)[:, None, None]
    picture = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (h, w, 3)).astype(np.uint8).copy()
    kind = rng.integers(4)
    if kind:
        for _ in range(int(rng.integers(8, 40))):
            _thing(picture, rng, int(kind))
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.6, 6.0)))
    large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    light: NDArray[np.float32] = linear(np.arange(256))[large.transpose(2, 0, 1)]
    return light


def _thing(picture: NDArray[np.uint8], rng: np.random.Generator, kind: int) -> None:
    """Draw one box, disc or line into the small picture."""
    h, w = picture.shape[:2]
    colour = tuple(int(v) for v in rng.uniform(20, 235) * 0.6 + rng.uniform(10, 235, 3) * 0.4)
    x, y = int(rng.integers(w)), int(rng.integers(h))
    if kind == 1:  # shelves and frames
        size = rng.integers(6, 60, 2)
        cv2.rectangle(picture, (x, y), (x + int(size[0]), y + int(size[1])), colour, -1)
    elif kind == 2:  # lights and leaves
        cv2.circle(picture, (x, y), int(rng.integers(3, 26)), colour, -1, cv2.LINE_AA)
    else:  # branches, cables, edges
        end = (int(rng.integers(w)), int(rng.integers(h)))
        cv2.line(picture, (x, y), end, colour, int(rng.integers(1, 12)), cv2.LINE_AA)
