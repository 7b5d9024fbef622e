"""What a face network may see of a real picture in training: shifted, turned, mirrored, dimmed, blurred.

Blur matters most: the faces it will judge are generated, hence soft, and small.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.face_net import SIDE, WINDOW

_SMALLEST, _LARGEST = (
    20,
    80,
)  # pixels that a frame is reduced to; a face of the smallest is 7 pixels between the eyes' ends


def seen(frames: Tensor, noise: torch.Generator, pixels: int = SIDE) -> Tensor:
    """Windows (B, 3, pixels, pixels) of frames (B, 3, S, S) in 0..1, each drawn by itself; half of them blurred."""
    half = len(frames) // 2
    side = int(torch.randint(_SMALLEST, _LARGEST + 1, (), generator=noise))
    soft = F.interpolate(frames[:half], size=(side, side), mode="bilinear", antialias=True)
    return _toned(torch.cat([_cut(soft, noise, pixels), _cut(frames[half:], noise, pixels)]), noise)


def _cut(frames: Tensor, noise: torch.Generator, pixels: int) -> Tensor:
    """The window, up to 4 % of the frame away, 8 % larger or smaller, turned by up to 6 degrees, mirrored or not."""
    count = len(frames)

    def uniform(most: float) -> Tensor:
        return (2 * torch.rand(count, generator=noise) - 1) * most

    left, top, right, bottom = WINDOW
    x, y = left + right - 1 + uniform(0.08), top + bottom - 1 + uniform(0.08)  # grid_sample's -1..1
    scale, turn = (right - left) * (1 + uniform(0.08)), uniform(0.1)  # radians
    mirror = torch.where(torch.rand(count, generator=noise) < 0.5, -1.0, 1.0)
    cos, sin = scale * turn.cos(), scale * turn.sin()
    rows = torch.stack([torch.stack([cos * mirror, -sin, x], 1), torch.stack([sin * mirror, cos, y], 1)], 1)
    grid = F.affine_grid(rows.to(frames.device), [count, 3, pixels, pixels], align_corners=False)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=False)


def _toned(faces: Tensor, noise: torch.Generator) -> Tensor:
    """Contrast, brightness and a little colour, as lights and cameras change them."""
    contrast = 1 + 0.4 * (torch.rand(len(faces), 1, 1, 1, generator=noise) - 0.5)
    shift = 0.3 * (torch.rand(len(faces), 1, 1, 1, generator=noise) - 0.5)
    colour = 0.06 * (torch.rand(len(faces), 3, 1, 1, generator=noise) - 0.5)
    return ((faces - 0.5) * contrast.to(faces.device) + 0.5 + (shift + colour).to(faces.device)).clamp(0, 1)
