"""MS-SSIM + L1, the picture loss of Zhao et al. 2017 ("Loss Functions for Image Restoration").

Its scales are Gaussians of growing width on the picture as it is, which is never reduced.
"""

import torch
from torch import Tensor

SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0)  # pixels
ALPHA = 0.84  # share of MS-SSIM
_REACH = 16  # pixels to each side: windows of 33
_C1, _C2 = 0.01**2, 0.03**2  # of pictures in 0..1


def loss(found: Tensor, wanted: Tensor, alpha: float = ALPHA) -> Tensor:
    """MS-SSIM's distance from 1, times `alpha`, and the blurred absolute difference, times 1 - alpha.

    Of pictures (B, C, S, S) in 0..1, a mean over pixels and colours. The blur is the widest scale's.
    """
    difference = _blurred((found - wanted).abs(), SIGMAS[-1])
    return (alpha * (1 - ms_ssim(found, wanted)) + (1 - alpha) * difference).mean()


def ms_ssim(found: Tensor, wanted: Tensor) -> Tensor:
    """At every pixel and colour: the luminance of the widest scale times contrast and structure of all, (B, C, S, S).

    Colours are compared each by itself, not multiplied with each other. Beyond the border both pictures are black.
    """
    result = torch.ones_like(found)
    for sigma in SIGMAS:
        mean_f, mean_w = _blurred(found, sigma), _blurred(wanted, sigma)
        variance_f = _blurred(found * found, sigma) - mean_f * mean_f
        variance_w = _blurred(wanted * wanted, sigma) - mean_w * mean_w
        covariance = _blurred(found * wanted, sigma) - mean_f * mean_w
        result = result * (2 * covariance + _C2) / (variance_f + variance_w + _C2)
    return result * (2 * mean_f * mean_w + _C1) / (mean_f * mean_f + mean_w * mean_w + _C1)


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Each colour through the Gaussian of 33 x 33 pixels, columns and then rows.

    As products with banded matrices: on a CPU a dozen times as fast as convolutions of one channel.
    """
    down, across = (_band(pictures, side, sigma) for side in pictures.shape[-2:])
    return down @ pictures @ across


def _band(like: Tensor, side: int, sigma: float) -> Tensor:
    """The Gaussian's weight of each place (row) for each other, (side, side); 0 beyond its reach."""
    reach = torch.arange(-_REACH, _REACH + 1, device=like.device, dtype=like.dtype)
    at = torch.arange(side, device=like.device, dtype=like.dtype)
    apart = at[:, None] - at
    weights = torch.exp(-0.5 * (apart / sigma) ** 2) * (apart.abs() <= _REACH)
    return weights / torch.exp(-0.5 * (reach / sigma) ** 2).sum()
