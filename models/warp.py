"""Pictures warped by landmarks, differentiably in both.

The spline warp of Cole et al. 2017, "Synthesizing Normalized Faces from Facial Identity Features".
Points are x, y in pixels, whole numbers at pixel centres.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_RIDGE = 1e-6  # with coordinates of -1..1
_BEYOND = 2.0  # of such a coordinate: further out the border goes on just the same


def warped(pictures: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Pictures (B, C, S, S) in which what was at the points `source` (B, N, 2) is at `target` (B, N, 2).

    Bilinear between pixels; outside a picture its border goes on. NaN where no warp can be computed: of points that are
    not finite, beyond float32's squares, or all in one place.
    """
    side = pictures.shape[-1]
    with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
        seen = _flow(source, target, side)  # points come in float32; in half the splines' weights would not cancel
    known = seen.isfinite().all(dim=-1)
    # grid_sample makes places in memory of what it is given: of a NaN, one outside of the picture's.
    grid = torch.where(known[..., None], seen, 0.0).clamp(-_BEYOND, _BEYOND)
    found = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.where(known[:, None], found, torch.nan)


def _flow(source: Tensor, target: Tensor, side: int) -> Tensor:
    """Where each pixel is seen, (B, S, S, 2) in grid_sample's -1..1."""
    start, goal = _shares(source, side), _shares(target, side)
    centre = torch.arange(side, device=start.device, dtype=start.dtype)
    pixels = _shares(torch.stack(torch.meshgrid(centre, centre, indexing="xy"), dim=-1), side)  # (S, S, 2)
    everywhere = pixels.view(1, -1, 2).expand(start.shape[0], -1, -1)
    return (everywhere + interpolated(goal, start - goal, everywhere)).view(-1, side, side, 2)


def _shares(points: Tensor, side: int) -> Tensor:
    """Pixels to grid_sample's -1..1, from border to border."""
    return (2 * points + 1) / side - 1


def interpolated(points: Tensor, values: Tensor, where: Tensor) -> Tensor:
    """The smoothest function with `values` (B, N, 2) at `points` (B, N, 2), at `where` (B, M, 2): (B, M, 2).

    Radial basis phi(r) = r with a linear term, so that shifts and affine maps are exact. The ridge makes points that
    coincide no error; it is taken off the diagonal because this basis is conditionally negative definite. NaN where
    the equations have no solution.
    """
    batch, count = points.shape[:2]
    ones = points.new_ones(batch, count, 1)
    affine = torch.cat([ones, points], dim=2)  # (B, N, 3)
    kernel = _distances(points, points) - _RIDGE * torch.eye(count, device=points.device, dtype=points.dtype)
    corner = points.new_zeros(batch, 3, 3)
    system = torch.cat([torch.cat([kernel, affine], dim=2), torch.cat([affine.mT, corner], dim=2)], dim=1)
    solved, singular = torch.linalg.solve_ex(system, torch.cat([values, values.new_zeros(batch, 3, 2)], dim=1))
    weights = torch.where(singular[:, None, None] == 0, solved, torch.nan)
    linear = torch.cat([where.new_ones(batch, where.shape[1], 1), where], dim=2)
    found: Tensor = _distances(where, points) @ weights[:, :count] + linear @ weights[:, count:]
    return found


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """(B, M, N); exact, and with gradient zero where points coincide."""
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
