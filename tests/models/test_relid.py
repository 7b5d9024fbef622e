"""relidGAN: the losses against the paper's equations in float64, the penalty against finite differences."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.relid import Discriminator, Judged, critic, penalty, relid
from models.residual import FaceEncoder
from tests.models.networks import check_gradients

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plainly(real: Judged, fake: Judged, c: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Section 3.2's losses without the penalty, equation by equation, one item at a time."""
    d, g = [], []
    for n in range(len(c)):

        def score(judged: Judged, condition: Tensor, n: int = n) -> Tensor:
            return torch.dot(condition[n], judged.phi[n]) + judged.psi[n]

        def project(judged: Judged, condition: Tensor, n: int = n) -> Tensor:
            return torch.dot(condition[n], judged.phi[n])

        rel_real, rel_fake = score(real, c) - score(fake, c), score(fake, c) - score(real, c)
        relid_real = rel_real + project(real, c) - project(real, other)
        relid_fake = rel_fake + project(fake, c) - project(fake, other)
        d.append(-torch.log(torch.sigmoid(relid_real)))
        g.append(-torch.log(torch.sigmoid(relid_fake)))
    return torch.stack(d).mean(), torch.stack(g).mean()


def test_relid_losses_are_the_equations_in_float64() -> None:
    real, fake = Judged(numbers(5, 7), numbers(5, seed=1)), Judged(numbers(5, 7, seed=2), numbers(5, seed=3))
    c, other = numbers(5, 7, seed=4), numbers(5, 7, seed=5)
    d, g = plainly(real, fake, c, other)
    found = [F.softplus(-relid(*pair, c, other)).mean() for pair in ((real, fake), (fake, real))]
    assert [float(one) for one in found] == pytest.approx([float(d), float(g)], rel=1e-5)  # losses are float32


def test_without_the_mismatched_voice_it_is_the_relativistic_difference() -> None:
    real, fake = Judged(numbers(5, 7), numbers(5, seed=1)), Judged(numbers(5, 7, seed=2), numbers(5, seed=3))
    c = numbers(5, 7, seed=4)
    torch.testing.assert_close(relid(real, fake, c, c), critic(real, c) - critic(fake, c))


def test_r1_is_the_gradient_that_finite_differences_give() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(FaceEncoder((4, 4), 8), 8).double()
    voice = numbers(2, 8)
    face = numbers(2, 3, 16, 16, seed=1).requires_grad_()
    found = penalty(critic(discriminator.forward(face), voice), face)

    def score(pixels: Tensor) -> Tensor:
        judged: Judged = discriminator(pixels)
        return (voice * judged.phi).sum(dim=1) + judged.psi

    with torch.no_grad():
        slope = torch.zeros_like(face)
        for place in range(3 * 16 * 16):
            nudge = torch.zeros(1, 3 * 16 * 16, dtype=torch.float64)
            nudge[0, place] = 1e-6
            nudge = nudge.view(1, 3, 16, 16)
            slope.flatten(1)[:, place] = (score(face + nudge) - score(face - nudge)) / 2e-6
    assert float(found.detach()) == pytest.approx(float(slope.square().sum(dim=(1, 2, 3)).mean()), rel=1e-4)
    weight = next(discriminator.parameters())
    assert torch.autograd.grad(found, weight)[0].any()  # and it teaches


def test_the_discriminator_is_the_face_encoder_and_a_linear_layer_on_it() -> None:
    torch.manual_seed(0)
    discriminator, face = Discriminator(FaceEncoder((4, 6), 5), 5), torch.rand(3, 3, 16, 16)
    phi, psi = discriminator(face)
    assert phi.shape == (3, 5) and torch.equal(phi, discriminator.phi(face))
    torch.testing.assert_close(psi, phi @ discriminator.psi.weight[0] + discriminator.psi.bias)
    check_gradients(discriminator, face)
