"""Trunks of ResNet-18 and DenseNet-121 against torchvision's, with the same weights."""

import pytest
import torch
import torchvision
from torch import nn

from models.backbones import DenseTrunk, ResidualTrunk

pytestmark = pytest.mark.usefixtures("one_thread")


def same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy in the order of the layers, which is the same; the last layer is theirs alone."""
    held = [value for name, value in theirs.state_dict().items() if not name.startswith(("fc.", "classifier."))]
    own = ours.state_dict()
    assert [value.shape for value in own.values()] == [value.shape for value in held]
    ours.load_state_dict(dict(zip(own, held, strict=True)))


def test_resnet_is_torchvisions() -> None:
    torch.manual_seed(0)
    ours, theirs = ResidualTrunk(3), torchvision.models.resnet18()
    same_weights(ours, theirs)
    stages = nn.Sequential(*list(theirs.children())[:-2])
    x = torch.randn(2, 3, 64, 96)
    for network in (ours, stages):
        network.train()
    torch.testing.assert_close(ours(x), stages(x), rtol=1e-4, atol=1e-5)


def test_densenet_is_torchvisions() -> None:
    torch.manual_seed(0)
    ours, theirs = DenseTrunk(3), torchvision.models.densenet121()
    same_weights(ours, theirs)
    assert ours.width == 1024
    x = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(ours.train()(x), theirs.features.train()(x).relu(), rtol=1e-4, atol=1e-5)


def test_widths_that_cannot_be_are_told() -> None:
    with pytest.raises(ValueError, match="even number"):
        DenseTrunk(2, 3)
    with pytest.raises(ValueError, match="stem and four stages"):
        ResidualTrunk(2, (8, 8))
