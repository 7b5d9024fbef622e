"""The classifier of the VGGFace Score: ResNet-50 in Caffe's layout, trained on MS-Celeb-1M, then VGGFace2 (Cao 2018).

Modules are named as in the published weight file (resnet50_ft_dag.pth), so that it loads as it is. Its first
convolution takes RGB: the converter turned Caffe's BGR around.
"""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests import weights
from models.published import fill, fold

SIDE = 224  # pixels
CLASSES = 8631
_MEAN = (131.0912, 103.8827, 91.4953)  # RGB, of 0..255
_BLOCKS = (3, 4, 6, 3)  # of the stages conv2 to conv5

Order = Literal["rgb", "bgr"]


class ResNet50(nn.Module):
    """The network; the stride of a stage lies in the first 1 x 1 convolution of its first block, as Caffe has it."""

    def __init__(self, classes: int = CLASSES, width: int = 64) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", 3, width, kernel=7, stride=2)
        inputs = width
        for stage, blocks in enumerate(_BLOCKS):
            middle, outputs = width << stage, 4 * width << stage
            for block in range(blocks):
                name, stride = f"conv{stage + 2}_{block + 1}", 2 if stage and not block else 1
                self._add(f"{name}_1x1_reduce", inputs, middle, stride=stride)
                self._add(f"{name}_3x3", middle, middle, kernel=3)
                self._add(f"{name}_1x1_increase", middle, outputs)
                if not block:
                    self._add(f"{name}_1x1_proj", inputs, outputs, stride=stride)
                inputs = outputs
        self.classifier = nn.Conv2d(inputs, classes, 1)

    def _add(self, name: str, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))

    def _run(self, name: str, x: Tensor) -> Tensor:
        found: Tensor = getattr(self, f"{name}_bn")(getattr(self, name)(x))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of RGB pictures (B, 3, 224, 224) in 0..255, less their mean."""
        x = F.relu(self._run("conv1_7x7_s2", x))  # 112
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # 56
        for stage, blocks in enumerate(_BLOCKS):  # 56, 28, 14, 7
            for block in range(blocks):
                name = f"conv{stage + 2}_{block + 1}"
                y = F.relu(self._run(f"{name}_1x1_reduce", x))
                y = self._run(f"{name}_1x1_increase", F.relu(self._run(f"{name}_3x3", y)))
                x = F.relu(y + (x if block else self._run(f"{name}_1x1_proj", x)))
        found: Tensor = self.classifier(x.mean(dim=(2, 3), keepdim=True))
        return found.flatten(1)


def read(path: Path) -> ResNet50:
    """The network with the published weights, in eval mode, frozen, batch norms folded.

    Raises DataError for a file that holds anything but exactly this network's tensors.
    """
    network = ResNet50()
    fill(network, path)
    fold(network)
    return network.requires_grad_(False).to(memory_format=torch.channels_last)


def load(device: torch.device) -> ResNet50:
    """The registered weights. Raises Missing naming the command that fetches them."""
    return read(weights.path("vggface2-resnet50")).to(device)


@torch.no_grad()
def probabilities(network: ResNet50, faces: Tensor, order: Order = "rgb", at_once: int = 32) -> Tensor:
    """Softmax over the people of VGGFace2, (B, 8631) float32 on the CPU, of whole frames (B, 3, S, S) in 0..1.

    As SF2F's released script prepares them: cut to 8 bits, less the mean, then resized bilinearly with aligned corners.
    That script feeds `rgb` to Caffe's weights, which were trained on `bgr`; the published scores are of `rgb`, and
    only `bgr` shows the network the colours it knows. Both subtract each colour's own mean.
    """
    device = next(network.parameters()).device
    mean = torch.tensor(_MEAN, device=device).view(3, 1, 1)
    parts = []
    with torch.autocast(device.type, enabled=False):
        for part in torch.split(faces, at_once):
            x = (part.to(device).float() * 255).clamp(0, 255).trunc() - mean
            x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=True)
            # The converted weights take RGB: what the script fed in the wrong order must be turned around here.
            parts.append(network(x.flip(1) if order == "rgb" else x).softmax(dim=1).cpu())
    return torch.cat(parts)
