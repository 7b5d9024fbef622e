"""Optimisers of phases: the published rules, and that a step left out leaves no trace, not even in the moments."""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import optimisers, state
from models.system import Optimiser, Phase, Step, move

SGD = Optimiser(("one",), 0.1, kind="sgd", momentum=0.9, weight_decay=0.01)
PLAIN = Optimiser(("one",), 0.1, kind="sgd")
ADAM = Optimiser(("one",), 0.1, (0.5, 0.99), weight_decay=0.01, epsilon=1e-2)
START = [1.0, -2.0, 3.0]


class Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(START))


def step_of(chosen: Optimiser) -> tuple[Step, Tensor]:
    network = Weights()
    phase = Phase("one", "paired", 9, 2, (30, 30), {"one": chosen})
    networks = {"one": network}
    made = {"one": optimisers.new(chosen, [network.weights])}
    return Step(None, phase, networks, networks, made, None, torch.Generator(), nullcontext), network.weights


def gradients() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(6):
        yield rng.normal(size=3)


def sgd(momentum: float, decay: float) -> np.ndarray:
    """Sutskever's rule as torch has it: the buffer begins as the first gradient."""
    weights, buffer = np.array(START), np.zeros(3)
    for gradient in gradients():
        buffer = momentum * buffer + gradient + decay * weights
        weights = weights - 0.1 * buffer
    return weights


def adam() -> np.ndarray:
    weights, first, second = np.array(START), np.zeros(3), np.zeros(3)
    for t, given in enumerate(gradients(), 1):
        gradient = given + 0.01 * weights
        first, second = 0.5 * first + 0.5 * gradient, 0.99 * second + 0.01 * gradient**2
        weights = weights - 0.1 * first / (1 - 0.5**t) / (np.sqrt(second / (1 - 0.99**t)) + 1e-2)
    return weights


RULES = {"sgd": (SGD, sgd(0.9, 0.01)), "plain sgd": (PLAIN, sgd(0.0, 0.0)), "adam": (ADAM, adam())}


@pytest.mark.parametrize("case", RULES)
def test_the_rule_is_the_published_one(case: str) -> None:
    chosen, wanted = RULES[case]
    step, weights = step_of(chosen)
    for gradient in gradients():
        assert bool(move(step, "one", (torch.tensor(gradient, dtype=torch.float32) * weights).sum()))
    np.testing.assert_allclose(weights.detach().numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("chosen", [SGD, PLAIN, ADAM], ids=lambda chosen: f"{chosen.kind} {chosen.momentum}")
@pytest.mark.parametrize("first", [True, False])
def test_a_step_that_is_left_out_leaves_no_trace(chosen: Optimiser, first: bool) -> None:
    """The very first one too, where momentum is yet to be filled."""
    step, weights = step_of(chosen)
    other, wanted = step_of(chosen)
    given = [torch.tensor(g, dtype=torch.float32) for g in gradients()]
    for n, gradient in enumerate(given):
        if n == (0 if first else 3):
            assert not bool(move(step, "one", (weights * torch.nan).sum()))
            assert not bool(move(step, "one", weights.sum(), torch.tensor(False)))
        move(step, "one", (gradient * weights).sum())
        move(other, "one", (gradient * wanted).sum())
        assert torch.equal(weights, wanted)


@pytest.mark.parametrize("chosen", [SGD, PLAIN, ADAM], ids=lambda chosen: f"{chosen.kind} {chosen.momentum}")
def test_moments_go_through_a_checkpoint(chosen: Optimiser) -> None:
    step, weights = step_of(chosen)
    given = [torch.tensor(g, dtype=torch.float32) for g in gradients()]
    for gradient in given[:3]:
        move(step, "one", (gradient * weights).sum())
    saved = {
        f"optimiser/one/{place}/{key}": value.clone()
        for place, moments in step.optimisers["one"].state_dict()["state"].items()
        for key, value in moments.items()
    }
    assert bool(saved) == (chosen is not PLAIN)
    again, resumed = step_of(chosen)
    resumed.data.copy_(weights.data)
    state.restore_optimiser("one", again.optimisers["one"], saved)
    for gradient in given[3:]:
        move(step, "one", (gradient * weights).sum())
        move(again, "one", (gradient * resumed).sum())
    assert torch.equal(weights, resumed)


def test_rates_fall_in_steps_or_linearly() -> None:
    falling = Optimiser(("one",), 1.0, decay=0.5, every=10)
    linear = Optimiser(("one",), 1.0, last_rate=0.0)
    phase = Phase("one", "paired", 101, 2, (30, 30), {"steps": falling, "line": linear, "constant": SGD})
    assert [phase.rate("steps", n) for n in (0, 9, 10, 19, 20, 100)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.5**10]
    assert [phase.rate("line", n) for n in (0, 50, 100)] == [1.0, 0.5, 0.0]
    assert {phase.rate("constant", n) for n in range(101)} == {0.1}
