"""The classifier of the VGGFace Score: Caffe's ResNet-50, and the released script's way of feeding it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from manifests.errors import DataError, Missing
from models import vggface2
from models.published import fold
from models.vggface2 import ResNet50, probabilities
from tests.models.networks import n_parameters, on_meta, settled

MEAN = np.array([131.0912, 103.8827, 91.4953], np.float32)


def test_parameter_count_is_resnet_50s_with_8631_classes() -> None:
    assert n_parameters(on_meta(ResNet50)) == 25_557_032 - 1000 * 2049 + 8631 * 2049


def layers(network: nn.Module) -> Iterator[nn.Module]:
    """Convolutions and norms; torchvision registers a block's projection last, as ours does."""
    return (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d))


@pytest.fixture(scope="module")
def pair() -> tuple[ResNet50, nn.Module]:
    """Ours, and torchvision's ResNet-50 with its strides and its pool moved to where Caffe has them, same weights."""
    torch.manual_seed(0)
    ours, theirs = ResNet50(classes=11, width=64), torchvision.models.resnet50(num_classes=11)
    theirs.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    for block in (theirs.layer2[0], theirs.layer3[0], theirs.layer4[0]):
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    settled(ours, torch.randn(2, 3, 64, 64))
    for mine, other in zip(list(layers(ours))[:-1], layers(theirs), strict=True):
        other.load_state_dict(mine.state_dict())
    theirs.fc.weight.data, theirs.fc.bias.data = ours.classifier.weight.data.flatten(1), ours.classifier.bias.data
    return ours.eval(), theirs.eval()


@torch.no_grad()
def test_logits_are_those_of_a_reference_in_caffes_layout(pair: tuple[ResNet50, nn.Module]) -> None:
    ours, theirs = pair
    faces = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(ours(faces), theirs(faces), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_names_are_those_of_the_published_file_and_folding_changes_nothing() -> None:
    network = settled(ResNet50(classes=5, width=4), torch.randn(3, 3, 96, 96))
    names = set(network.state_dict())
    assert {"conv1_7x7_s2.weight", "conv1_7x7_s2_bn.running_var", "conv2_1_1x1_proj_bn.bias"} <= names
    assert {"conv5_3_1x1_increase.weight", "conv4_6_3x3_bn.weight", "classifier.bias"} <= names
    assert not any(name.startswith(("conv2_2_1x1_proj", "conv4_7")) for name in names)
    assert not any("conv" in name and name.endswith("bias") and "_bn" not in name for name in names)
    faces = torch.randn(2, 3, 96, 96)
    expected = network(faces)
    fold(network)
    torch.testing.assert_close(network(faces), expected, rtol=1e-3, atol=1e-5)


def released_script(caffe: nn.Module, faces: Tensor, order: str) -> Tensor:
    """Steps of the fact sheet in numpy; `caffe` has the weights as they were trained, on BGR."""
    pictures = np.clip(faces.numpy() * 255, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)  # truncated
    rgb = torch.from_numpy(pictures.astype(np.float32) - MEAN).permute(0, 3, 1, 2)
    fed = rgb if order == "rgb" else rgb.flip(1)
    return caffe(F.interpolate(fed, size=(224, 224), mode="bilinear", align_corners=True)).softmax(dim=1)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@torch.no_grad()
def test_probabilities_are_the_released_scripts_in_both_orders(order: vggface2.Order) -> None:
    network = settled(ResNet50(classes=7, width=4), torch.randn(3, 3, 96, 96) * 50)
    caffe = ResNet50(classes=7, width=4)
    caffe.load_state_dict(network.state_dict())
    caffe.conv1_7x7_s2.weight.data = network.conv1_7x7_s2.weight.data.flip(1)
    faces = torch.rand(5, 3, 64, 64)
    found = probabilities(network, faces, order, at_once=2)
    torch.testing.assert_close(found, released_script(caffe.eval(), faces, order), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(5))
    other = probabilities(network, faces, "bgr" if order == "rgb" else "rgb")
    assert (found - other).abs().max() > 1e-4, "the orders must differ, or the test shows nothing"


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(ResNet50(classes=5, width=4).state_dict(), tmp_path / "small.pth")
    with pytest.raises(DataError, match=r"small\.pth does not fit ResNet50"):
        vggface2.read(tmp_path / "small.pth")


def test_absent_weights_name_the_command_that_fetches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)
    with pytest.raises(Missing, match="pipeline weights fetch vggface2-resnet50"):
        vggface2.load(torch.device("cpu"))
