"""FaceNet: the published counts, shapes and names, and SF2F's way of preparing pictures for it, pixel by pixel."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from manifests.errors import DataError
from models import facenet
from models.facenet import FaceNet, prepared
from models.published import fold
from tests.models.networks import n_parameters, on_meta, settled


def test_published_parameter_counts() -> None:
    assert n_parameters(on_meta(lambda: FaceNet(facenet.CLASSES))) == 27_910_327
    assert n_parameters(on_meta(FaceNet)) == 23_482_624


def test_tensors_are_named_as_in_the_published_file() -> None:
    """Samples of every kind of module of facenet-pytorch's state dict."""
    shapes = {name: tuple(tensor.shape) for name, tensor in on_meta(lambda: FaceNet(8631)).state_dict().items()}
    assert shapes["conv2d_1a.conv.weight"] == (32, 3, 3, 3)
    assert shapes["conv2d_4b.bn.running_mean"] == (256,)
    assert shapes["repeat_1.4.branch2.2.conv.weight"] == (32, 32, 3, 3)
    assert shapes["repeat_1.0.branch0.bn.weight"] == (32,)
    assert shapes["mixed_6a.branch0.conv.weight"] == (384, 256, 3, 3)
    assert shapes["mixed_6a.branch1.2.conv.weight"] == (256, 192, 3, 3)
    assert shapes["repeat_2.9.branch1.1.conv.weight"] == (128, 128, 1, 7)
    assert shapes["repeat_2.9.branch1.2.conv.weight"] == (128, 128, 7, 1)
    assert shapes["mixed_7a.branch2.2.bn.bias"] == (256,)
    assert shapes["repeat_3.0.conv2d.weight"] == (1792, 384, 1, 1)
    assert shapes["block8.branch1.2.conv.weight"] == (192, 192, 3, 1)
    assert shapes["last_linear.weight"] == (512, 1792) and "last_linear.bias" not in shapes
    assert shapes["last_bn.running_var"] == (512,)
    assert shapes["logits.weight"] == (8631, 512)
    assert sum(name.endswith("num_batches_tracked") for name in shapes) == 112  # batch norms
    assert len(shapes) == 112 * 5 + 112 + 21 * 2 + 2  # norms, their layers, the 1 x 1 of residual blocks, logits


@pytest.mark.parametrize("side", [64, 128])
def test_hidden_states_have_the_published_shapes_whatever_the_side(side: int) -> None:
    network = FaceNet().eval()
    with torch.no_grad():
        states = network.states(prepared(torch.rand(1, 3, side, side)))
    assert [tuple(state.shape[1:]) for state in states] == [(256, 15, 15), (896, 7, 7), (1792, 3, 3), (512,)]
    torch.testing.assert_close(states[-1].norm(dim=1), torch.ones(1))


def test_folded_equals_unfolded() -> None:
    crop = prepared(torch.rand(2, 3, 64, 64))
    network = settled(FaceNet(), crop)
    with torch.no_grad():
        expected = network.states(crop)
        fold(network)
        for one, other in zip(network.states(crop), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()))
    assert not any("bn" in name and tensor.numel() for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(("side", "top", "bottom", "left", "right"), [(64, 12, 58, 15, 48), (128, 24, 117, 30, 97)])
def test_the_crop_has_whole_pixels_with_both_ends(side: int, top: int, bottom: int, left: int, right: int) -> None:
    """A picture that tells its places: aligned corners make the crop's corner pixels those of the result."""
    y, x = torch.meshgrid(torch.arange(side) / 255, torch.arange(side) / 255, indexing="ij")
    seen = (prepared(torch.stack([y, x, y])[None])[0] * 128 + 127.5).round(decimals=2)
    assert seen.shape == (3, 140, 140)
    assert (seen[0, 0, 0], seen[0, -1, -1]) == (top, bottom)
    assert (seen[1, 0, 0], seen[1, -1, -1]) == (left, right)
    # SF2F fact: 47 x 34 pixels of 64, 94 x 68 of 128
    assert (bottom - top + 1, right - left + 1) == {64: (47, 34), 128: (94, 68)}[side]


def test_preparation_is_the_written_formula(side: int = 64) -> None:
    faces = torch.rand(2, 3, side, side)
    crop = ((faces * 255 - 127.5) / 128)[:, :, 12:59, 15:49]
    torch.testing.assert_close(prepared(faces), F.interpolate(crop, (140, 140), mode="bilinear", align_corners=True))


def test_what_cannot_be_shown_is_clamped_and_has_no_gradient() -> None:
    faces = torch.full((1, 3, 64, 64), 0.5)
    faces[..., 30, 30], faces[..., 30, 31] = 1.5, -0.2
    faces.requires_grad_()
    found = prepared(faces)
    found.sum().backward()
    assert faces.grad is not None
    gradient: Tensor = faces.grad[0, 0]
    assert not gradient[30, 30:32].any() and gradient[30, 32] > 0
    assert found.max() <= 127.5 / 128 and found.min() >= -127.5 / 128


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the published one: the state dict with logits."""
    path = tmp_path_factory.mktemp("weights") / "vggface2.pt"
    torch.save(FaceNet(facenet.CLASSES).state_dict(), path)
    return path


def test_a_file_with_the_published_layout_loads_without_its_logits(published: Path) -> None:
    network = facenet.read(published)
    assert n_parameters(network) == 23_482_624
    kept = torch.load(published, weights_only=True)
    assert torch.equal(network.last_linear.weight, kept["last_linear.weight"])


def test_a_file_of_another_number_of_people_is_refused(published: Path, tmp_path: Path) -> None:
    tensors = torch.load(published, weights_only=True)
    torch.save(tensors | {"logits.bias": torch.zeros(10_575)}, tmp_path / "casia.pt")
    with pytest.raises(DataError, match=r"casia\.pt does not fit FaceNet.*logits"):
        facenet.read(tmp_path / "casia.pt")
