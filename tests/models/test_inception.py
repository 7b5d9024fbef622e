"""Inception-v3 equals torchvision's, tensor for tensor; its files are read as strictly as the others."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from manifests.errors import DataError, Missing
from models import inception
from models.inception import InceptionV3

torchvision = pytest.importorskip("torchvision")


def reference() -> torch.nn.Module:
    """With random weights and statistics, so that nothing cancels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.inception_v3(weights=None, init_weights=False)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()  # type: ignore[no-any-return]


def test_it_is_torchvisions_network(tmp_path: Path) -> None:
    wanted = reference()
    torch.save(wanted.state_dict(), tmp_path / "weights.pth")
    found = inception.read(tmp_path / "weights.pth")
    assert sum(weight.numel() for weight in found.parameters()) == 27_161_264
    faces = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    enlarged = F.interpolate(faces, size=(299, 299), mode="bilinear", align_corners=False)
    with torch.no_grad():
        expected = wanted(2 * enlarged - 1).softmax(dim=1)
    assert torch.allclose(inception.probabilities(found, faces, at_once=1), expected, atol=1e-6)


def test_another_networks_file_is_told(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="does not fit InceptionV3"):
        inception.read(tmp_path / "weights.pth")


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)
    with pytest.raises(Missing, match="pipeline weights fetch inception-v3"):
        inception.load(torch.device("cpu"))


def test_the_meta_device_builds_it() -> None:
    with torch.device("meta"):
        assert InceptionV3()(torch.empty(1, 3, 299, 299)).shape == (1, 1000)
