"""MS-SSIM + L1 against its formulas in float64 with two-dimensional windows, and the traps of a public port."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray

from models import ms_ssim

Floats = NDArray[np.float64]
DRAWN = torch.Generator().manual_seed(0)
REAL = torch.rand(1, 3, 24, 24, generator=DRAWN, dtype=torch.float64)
FAKE = (REAL + 0.2 * torch.randn(1, 3, 24, 24, generator=DRAWN, dtype=torch.float64)).clamp(0, 1)
SIGMAS = (0.5, 1, 2, 4, 8)


def window(sigma: float) -> Floats:
    y, x = np.mgrid[-16:17, -16:17]
    found = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return found / found.sum()


def written_out(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """MS-SSIM and the blurred difference of one colour of one picture."""

    def blurred(of: Floats, sigma: float) -> Floats:
        return scipy.ndimage.convolve(of, window(sigma), mode="constant")

    c1, c2 = (0.01 * 1.0) ** 2, (0.03 * 1.0) ** 2
    product = np.ones_like(x)
    for sigma in SIGMAS:
        mx, my = blurred(x, sigma), blurred(y, sigma)
        sxx, syy, sxy = blurred(x * x, sigma) - mx**2, blurred(y * y, sigma) - my**2, blurred(x * y, sigma) - mx * my
        product *= (2 * sxy + c2) / (sxx + syy + c2)
    return product * (2 * mx * my + c1) / (mx**2 + my**2 + c1), blurred(np.abs(x - y), 8)


def test_loss_and_map_are_the_formulas() -> None:
    found = ms_ssim.ms_ssim(FAKE, REAL).numpy()
    pairs = [
        [written_out(x, y) for x, y in zip(*both, strict=True)] for both in zip(FAKE.numpy(), REAL.numpy(), strict=True)
    ]
    wanted = np.array([[each[0] for each in row] for row in pairs])
    blurred = np.array([[each[1] for each in row] for row in pairs])
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    expected = 0.84 * (1 - wanted).mean() + 0.16 * blurred.mean()
    assert float(ms_ssim.loss(FAKE, REAL)) == pytest.approx(expected, rel=1e-9)


def test_alpha_is_the_papers_and_nothing_multiplies_the_loss() -> None:
    """A public port has 0.025 and a factor of 200."""
    assert ms_ssim.ALPHA == 0.84
    black, white = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    assert float(ms_ssim.loss(white, black)) <= 1.0
    assert float(ms_ssim.loss(white, black, alpha=0.0)) == pytest.approx(float(ms_ssim._blurred(white, 8.0).mean()))


def test_colours_are_compared_each_by_itself() -> None:
    """A public port multiplies the three with each other: one wrong colour then spoils the right ones."""
    one_wrong = REAL.clone()
    one_wrong[:, 0] = FAKE[:, 0]
    found = ms_ssim.ms_ssim(one_wrong, REAL)
    torch.testing.assert_close(found[:, 1:], torch.ones_like(found[:, 1:]))
    alone = ms_ssim.loss(FAKE[:, :1], REAL[:, :1])
    torch.testing.assert_close(ms_ssim.loss(one_wrong, REAL), alone / 3)


def test_it_runs_where_the_pictures_are_and_has_gradients_there() -> None:
    """A public port moves everything to a GPU."""
    fake = FAKE.float().requires_grad_()
    ms_ssim.loss(fake, REAL.float()).backward()  # type: ignore[no-untyped-call]
    assert fake.grad is not None and fake.grad.device.type == "cpu" and fake.grad.isfinite().all()


def test_the_same_picture_costs_nothing_and_no_scale_reduces_it() -> None:
    assert float(ms_ssim.loss(REAL, REAL)) == pytest.approx(0, abs=1e-12)
    assert ms_ssim.ms_ssim(FAKE, REAL).shape == REAL.shape
    fine = REAL.clone()
    fine[..., ::2, ::2] = 0.0  # gone in a picture of half the size that keeps the other pixels
    assert float(ms_ssim.loss(fine, REAL)) > 0.1


def test_gradients_are_those_of_differences() -> None:
    fake = FAKE[:1, :1, :6, :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ms_ssim.loss(x, REAL[:1, :1, :6, :6]), (fake,), eps=1e-6, atol=1e-5)
