"""The discriminators and identity classifiers: published sizes and counts, and what their heads answer."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from models.discriminators import (
    IdentityClassifier,
    IdentityDiscriminator,
    PatchDiscriminator,
    PooledDiscriminator,
    SharedDiscriminator,
)
from tests.models.networks import (
    check_bfloat16,
    check_captured,
    check_gradients,
    check_rows_alone,
    n_parameters,
    on_meta,
    shapes,
)

PEOPLE = 2_890  # of HQ-VoxCeleb's training split
DISCRIMINATORS: dict[str, Callable[[], nn.Module]] = {
    "patches": lambda: PatchDiscriminator(64, width=4),
    "identity": lambda: IdentityDiscriminator(64, 7, width=4, hidden=16),
    "identity of the baseline": lambda: IdentityDiscriminator(64, 7, width=4, hidden=16, baseline=True),
    "pooled": lambda: PooledDiscriminator(width=4, hidden=16),
    "classifier": lambda: IdentityClassifier(7, width=4, hidden=16),
    "shared trunk": lambda: SharedDiscriminator(7, width=2, embedding=8),
}
every_discriminator = pytest.mark.parametrize("build", DISCRIMINATORS.values(), ids=DISCRIMINATORS)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: PatchDiscriminator(64), 659_521),
        (lambda: PatchDiscriminator(128), 2_757_953),
        (lambda: IdentityDiscriminator(64, PEOPLE), 3_885_707),
        (lambda: IdentityDiscriminator(128, PEOPLE), 6_246_027),
        (lambda: IdentityDiscriminator(64, PEOPLE, baseline=True), 6_274_955),
        (lambda: SharedDiscriminator(924).trunk, 3_310_720),
        (lambda: SharedDiscriminator(924).real, 64),
        (lambda: SharedDiscriminator(924).identity, 59_136),
    ],
    ids=["patches 64", "patches 128", "identity 64", "identity 128", "baseline", "trunk", "D head", "C head"],
)
def test_published_parameter_counts(build: Callable[[], nn.Module], count: int) -> None:
    assert n_parameters(on_meta(build)) == count


def test_parameter_counts_of_the_papers_text() -> None:
    """Layer by layer: weights and biases of a convolution, then two for each channel of its batch norm."""
    widths = (3, 64, 128, 256)
    trunk = sum(16 * i * o + o + 2 * o for i, o in pairwise(widths))
    hidden = 256 * 1024 + 1024
    assert n_parameters(on_meta(PooledDiscriminator)) == trunk + hidden + 1024 + 1 == 923_969
    classifier = on_meta(lambda: IdentityClassifier(PEOPLE))
    assert n_parameters(classifier) == trunk + hidden + 1024 * PEOPLE + PEOPLE == 3_885_194


TRUNK_64 = [(64, 31, 31), (128, 14, 14), (256, 6, 6)]
TRUNK_128 = [(64, 63, 63), (128, 30, 30), (256, 14, 14), (512, 6, 6)]
VOICE2FACE = [(32, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8)]


@pytest.mark.parametrize(
    ("build", "side", "maps"),
    [
        (lambda: PatchDiscriminator(64), 64, [*TRUNK_64, (1, 6, 6)]),
        (lambda: PatchDiscriminator(128), 128, [*TRUNK_128, (1, 6, 6)]),
        (lambda: IdentityDiscriminator(64, PEOPLE), 64, TRUNK_64),
        (lambda: IdentityDiscriminator(128, PEOPLE), 128, TRUNK_128),
        (lambda: IdentityDiscriminator(64, PEOPLE, baseline=True), 64, [*VOICE2FACE, (512, 5, 5)]),
        (PooledDiscriminator, 64, TRUNK_64),
        (lambda: IdentityClassifier(PEOPLE), 64, TRUNK_64),
        (lambda: SharedDiscriminator(924), 64, [*VOICE2FACE, (512, 4, 4), (64, 1, 1)]),
    ],
    ids=["patches 64", "patches 128", "identity 64", "identity 128", "baseline", "pooled", "classifier", "shared"],
)
def test_maps_after_each_convolution(build: Callable[[], nn.Module], side: int, maps: list[tuple[int, ...]]) -> None:
    assert shapes(on_meta(build), nn.Conv2d, torch.empty(2, 3, side, side, device="meta")) == maps


def order(network: nn.Module) -> str:
    """The kinds of a network's layers, in order, a letter each."""
    letters = {nn.Conv2d: "C", nn.BatchNorm2d: "B", nn.LeakyReLU: "L", nn.ReLU: "R", nn.Linear: "F"}
    return "".join(letters[type(layer)] for layer in network.modules() if type(layer) in letters)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("patches", "CBLCBLCC"),  # no activation before the last
        ("identity", "CBLCBLCFFF"),  # none between the linear layers
        ("identity of the baseline", "CLCLCLCLCFFF"),
        ("pooled", "CBRCBRCBRFRF"),
        ("classifier", "CBRCBRCBRFRF"),
        ("shared trunk", "CLCLCLCLCLCFF"),
    ],
)
def test_the_order_of_layers(name: str, expected: str) -> None:
    assert order(DISCRIMINATORS[name]()) == expected


@pytest.mark.parametrize(
    ("name", "slope"), [("patches", 0.1), ("identity", 0.1), ("identity of the baseline", 0.2), ("shared trunk", 0.2)]
)
def test_slopes_below_zero(name: str, slope: float) -> None:
    slopes = [layer.negative_slope for layer in DISCRIMINATORS[name]().modules() if isinstance(layer, nn.LeakyReLU)]
    assert slopes
    assert set(slopes) == {slope}


@pytest.mark.parametrize("name", ["identity", "identity of the baseline", "shared trunk"])
def test_two_heads_answer_for_each_picture(name: str) -> None:
    called, identities = DISCRIMINATORS[name]()(torch.randn(5, 3, 64, 64))
    assert called.shape == (5,)
    assert identities.shape == (5, 7)


def test_one_head_answers_in_the_papers_networks() -> None:
    faces = torch.randn(5, 3, 64, 64)
    assert DISCRIMINATORS["pooled"]()(faces).shape == (5, 1)
    called, identities = DISCRIMINATORS["classifier"]()(faces)
    assert called is None
    assert identities.shape == (5, 7)


def test_the_identity_net_averages_over_the_picture() -> None:
    """Its heads are linear in the mean of the trunk's map."""
    torch.manual_seed(0)
    network = IdentityDiscriminator(64, 7, width=4, hidden=16).eval()
    face = torch.randn(2, 3, 64, 64)
    map_ = network.trunk(face)
    mean = map_.reshape(2, map_.shape[1], -1).sum(dim=2) / 36
    hidden = mean @ network.hidden.weight.T + network.hidden.bias
    called, identities = network(face)
    torch.testing.assert_close(called, (hidden @ network.real.weight.T + network.real.bias)[:, 0])
    torch.testing.assert_close(identities, hidden @ network.identity.weight.T + network.identity.bias)


@pytest.mark.parametrize("side", [32, 65, 256])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"a discriminator for {side} pixels: expected 64 or 128"):
        PatchDiscriminator(side)
    with pytest.raises(ValueError, match=f"a discriminator for {side} pixels: expected 64 or 128"):
        IdentityDiscriminator(side, 7)


@every_discriminator
def test_gradients_reach_every_weight(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_gradients(build(), torch.randn(4, 3, 64, 64))


@every_discriminator
def test_faces_of_a_batch_do_not_mix(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_rows_alone(build(), torch.randn(4, 3, 64, 64))


@every_discriminator
def test_one_graph_for_any_batch(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_captured(build(), torch.randn(4, 3, 64, 64), torch.randn(3, 3, 64, 64), {0: torch.export.Dim("batch")})


@every_discriminator
def test_bfloat16(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_bfloat16(build(), torch.randn(4, 3, 64, 64))
