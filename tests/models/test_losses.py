"""Each loss term against its formula written out; what is frozen while a term is computed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import judges
from models.judges import Judge
from models.losses import (
    PERCEPTUAL_WEIGHTS,
    Perceptual,
    called_fake,
    called_real,
    contrast,
    every_nth,
    feature_distance,
    frozen,
    l1,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(judge: Path) -> Judge:
    return judges.load(str(judge), CPU)


@pytest.fixture
def drawn() -> Iterator[torch.Generator]:
    yield torch.Generator().manual_seed(0)


def test_real_and_fake_are_binary_cross_entropy(drawn: torch.Generator) -> None:
    s = 3 * torch.randn(4, 1, 6, 6, generator=drawn)
    x = s.double().numpy()
    plain = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    assert float(called_real(s)) == pytest.approx((plain - x).mean(), rel=1e-6)
    assert float(called_fake(s)) == pytest.approx(plain.mean(), rel=1e-6)


def test_l1_is_a_mean_over_all_elements(drawn: torch.Generator) -> None:
    a, b = torch.rand(2, 3, 3, 8, 8, generator=drawn)
    assert float(l1(a, b)) == pytest.approx(np.abs(a.numpy() - b.numpy()).sum() / a.numel(), rel=1e-6)


def test_states_are_weighted_from_shallow_to_deep(drawn: torch.Generator) -> None:
    found = [torch.rand(2, 4, n, n, generator=drawn) for n in (8, 4, 2, 1)]
    wanted = [f + d for f, d in zip(found, (1.0, 2.0, 3.0, 4.0), strict=True)]
    assert PERCEPTUAL_WEIGHTS == (0.0625, 0.125, 0.25, 1.0)
    assert float(feature_distance(found, wanted)) == pytest.approx(1 / 16 + 2 / 8 + 3 / 4 + 4, rel=1e-6)


def test_contrast_is_the_mean_of_both_cross_entropies(drawn: torch.Generator) -> None:
    voices, faces = torch.randn(2, 4, 6, generator=drawn)
    identity = torch.tensor([0, 1, 0, 2])  # person 0 twice
    v, f = (x.double().numpy() / np.linalg.norm(x, axis=1, keepdims=True) for x in (voices, faces))
    cosines = v @ f.T / 0.1
    right = {0: [0, 2], 1: [1], 2: [0, 2], 3: [3]}

    def cross_entropy(rows: np.ndarray) -> float:
        told = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
        return -float(np.mean([told[row, places].mean() for row, places in right.items()]))

    wanted = (cross_entropy(cosines) + cross_entropy(cosines.T)) / 2
    assert float(contrast(voices, faces, identity)) == pytest.approx(wanted, rel=1e-5)
    assert float(contrast(3 * voices, faces / 7, identity)) == pytest.approx(wanted, rel=1e-5)  # lengths do not count


def test_real_states_kept_or_not_give_the_same_loss_and_gradient(network: Judge, drawn: torch.Generator) -> None:
    faces = torch.randint(256, (70, 3, 128, 128), generator=drawn, dtype=torch.uint8)  # more than one chunk
    kept, not_kept = Perceptual(network, faces, (64, 128), 1 << 30), Perceptual(network, faces, (64, 128), 0)
    index = torch.tensor([69, 0, 65])
    for side in (64, 128):
        gradients = []
        for perceptual in (kept, not_kept):
            generated = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1)).requires_grad_()
            loss, _ = perceptual(generated, perceptual.real(index, side))
            loss.backward()  # type: ignore[no-untyped-call]
            assert generated.grad is not None
            gradients.append((loss.detach(), generated.grad))
        torch.testing.assert_close(gradients[0], gradients[1])
        real = every_nth(faces[index].float() / 255, side)
        with torch.no_grad():
            states = zip(network.states(generated), network.states(real), strict=True)
            plain = sum(w * (a - b).abs().mean() for w, (a, b) in zip(PERCEPTUAL_WEIGHTS, states, strict=True))
        torch.testing.assert_close(gradients[0][0], plain)


def test_a_face_against_itself_has_no_perceptual_loss(network: Judge, drawn: torch.Generator) -> None:
    faces = torch.randint(256, (4, 3, 64, 64), generator=drawn, dtype=torch.uint8)
    perceptual = Perceptual(network, faces, (64,), 1 << 30)
    index = torch.tensor([2, 1])
    assert float(perceptual(faces[index].float() / 255, perceptual.real(index, 64))[0]) < 1e-6
    assert float(perceptual(faces[index.flip(0)].float() / 255, perceptual.real(index, 64))[0]) > 1e-3


def test_the_gradient_reaches_the_generated_face_alone(network: Judge, drawn: torch.Generator) -> None:
    faces = torch.randint(256, (4, 3, 64, 64), generator=drawn, dtype=torch.uint8)
    for budget in (0, 1 << 30):
        generated = torch.rand(2, 3, 64, 64, generator=drawn).requires_grad_()
        perceptual = Perceptual(network, faces, (64,), budget)
        loss, _ = perceptual(generated, perceptual.real(torch.tensor([0, 3]), 64))
        loss.backward()  # type: ignore[no-untyped-call]
        assert generated.grad is not None and generated.grad.abs().sum() > 0
        assert all(weight.grad is None and not weight.requires_grad for weight in network.network.parameters())


def test_every_second_pixel_and_no_filter() -> None:
    faces = torch.arange(16.0).view(1, 1, 4, 4)
    assert every_nth(faces, 2).tolist() == [[[[0.0, 2.0], [8.0, 10.0]]]]
    assert every_nth(faces, 4) is faces


def test_frozen_networks_pass_gradients_on_and_get_back_what_they_had() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    before = [weight.requires_grad for weight in network.parameters()]
    x = torch.ones(1, 2, requires_grad=True)
    with frozen(network):
        y: Tensor = network(x).sum()
    assert [weight.requires_grad for weight in network.parameters()] == before == [True, False, True, True]
    y.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and all(weight.grad is None for weight in network.parameters())
    with pytest.raises(KeyError), frozen(network):
        raise KeyError
    assert [weight.requires_grad for weight in network.parameters()] == before
