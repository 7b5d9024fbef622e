"""The warp against scipy's radial basis interpolation in float64, and what it must leave exactly as it is."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from models.warp import interpolated, warped

RNG = np.random.default_rng(0)
POINTS = torch.from_numpy(RNG.uniform(-0.8, 0.8, (2, 12, 2)))
VALUES = torch.from_numpy(RNG.normal(0, 0.1, (2, 12, 2)))


def picture(side: int = 32) -> torch.Tensor:
    """Smooth, so that bilinear sampling of it is exact to a few per cent."""
    at = torch.linspace(0, 3, side, dtype=torch.float64)
    return torch.stack([torch.sin(at)[:, None] * torch.cos(2 * at), at[:, None] + at, torch.cos(at)[:, None] * at])[
        None
    ]


def test_the_flow_is_that_of_scipy() -> None:
    where = torch.from_numpy(RNG.uniform(-1, 1, (2, 50, 2)))
    found = interpolated(POINTS, VALUES, where)
    for points, values, at, ours in zip(POINTS, VALUES, where, found, strict=True):
        theirs = RBFInterpolator(points, values, smoothing=1e-6, kernel="linear", degree=1)(at)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_every_point_gets_its_value() -> None:
    torch.testing.assert_close(interpolated(POINTS, VALUES, POINTS), VALUES, rtol=0, atol=1e-4)


def test_shifts_and_affine_maps_are_exact_far_from_the_points() -> None:
    matrix, shift = torch.tensor([[0.1, -0.2], [0.3, 0.05]], dtype=torch.float64), torch.tensor([0.4, -0.1])
    where = torch.tensor([[[3.0, -2.0], [-5.0, 1.0]]], dtype=torch.float64).expand(2, -1, -1)
    found = interpolated(POINTS, POINTS @ matrix + shift, where)
    torch.testing.assert_close(found, where @ matrix + shift, rtol=0, atol=1e-3)


def test_the_same_points_leave_the_picture_as_it_is() -> None:
    points = 16 + 10 * POINTS[:1]
    torch.testing.assert_close(warped(picture(), points, points), picture(), rtol=0, atol=1e-9)


def test_half_precision_around_it_moves_no_pixel() -> None:
    """The splines' weights cancel each other: in bfloat16 landmarks that move 1 pixel would do so by half a pixel."""
    points = (16 + 10 * POINTS[:1]).float()
    goal = points + 10 * VALUES[:1].float()
    plain = warped(picture().float(), points, goal)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(warped(picture().float(), points, goal), plain, rtol=0, atol=1e-5)


def test_what_was_at_the_source_is_at_the_target() -> None:
    image, start = picture(), 16 + 10 * POINTS[:1]
    there = warped(image, start, start + torch.tensor([3.0, -2.0], dtype=torch.float64))
    torch.testing.assert_close(there[..., 5:25, 8:30], image[..., 7:27, 5:27], rtol=0, atol=1e-5)
    goal = (start + 15 * VALUES[:1]).round()
    moved = warped(image, start, goal)
    for (x, y), (u, v) in zip(start[0].tolist(), goal[0].tolist(), strict=True):
        around = image[0, :, int(np.floor(y)) : int(np.floor(y)) + 2, int(np.floor(x)) : int(np.floor(x)) + 2]
        found = moved[0, :, int(v), int(u)]
        assert (found > around.amin((1, 2)) - 1e-3).all() and (found < around.amax((1, 2)) + 1e-3).all()


@pytest.mark.parametrize("what", ["picture", "source", "target"])
def test_gradients_are_those_of_differences(what: str) -> None:
    given = {
        "picture": picture(8),
        "source": 4 + 2.3 * POINTS[:1, :5],
        "target": 4 + 2.3 * POINTS[:1, :5] + VALUES[:1, :5],
    }

    def run(value: torch.Tensor) -> torch.Tensor:
        return warped(*(value if name == what else fixed for name, fixed in given.items()))

    assert torch.autograd.gradcheck(run, (given[what].requires_grad_(),), eps=1e-7, atol=1e-4)


def test_points_that_coincide_are_no_error() -> None:
    points = (16 + 10 * POINTS[:1]).float()
    points[:, 1] = points[:, 0]
    points.requires_grad_()
    goal = points.detach() + 1
    found = warped(picture().float(), points, goal)
    found.sum().backward()
    assert found.isfinite().all() and points.grad is not None and points.grad.isfinite().all()


@pytest.mark.parametrize("odd", ["nan", "infinite", "huge", "all equal", "far away"])
def test_points_that_make_no_warp_show_as_nan_in_their_own_picture(odd: str) -> None:
    """In memory too: without a place in the picture, the gradient's would be anywhere."""
    points = (16 + 10 * torch.cat([POINTS[:1]] * 2)).float()
    goal = points.clone()
    goal[0] = {
        "nan": torch.full_like(goal[0], torch.nan),
        "infinite": torch.full_like(goal[0], torch.inf),
        "huge": 1e30 * (goal[0] - 16),
        "all equal": torch.full_like(goal[0], 3.0),
        "far away": torch.full_like(goal[0], 1e30),
    }[odd]
    goal.requires_grad_()
    pictures = torch.cat([picture()] * 2).float().requires_grad_()
    found = warped(pictures, points, goal)
    assert found[0].isnan().all()
    torch.testing.assert_close(found[1], pictures[1], rtol=0, atol=1e-4)
    found.sum().backward()
    assert pictures.grad is not None and goal.grad is not None
    assert pictures.grad.isfinite().all() and goal.grad[1].isfinite().all()


def test_beyond_the_border_the_border_goes_on_however_far() -> None:
    points = 16 + 10 * POINTS[:1]
    near, far = (warped(picture(), points + shift, points) for shift in (100.0, 1e6))
    torch.testing.assert_close(near, far)
    torch.testing.assert_close(far, picture()[..., -1:, -1:].expand(-1, -1, 32, 32))
