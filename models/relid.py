"""I2G's projection discriminator and its relidGAN losses: real against generated, and right against mismatched."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.residual import FaceEncoder


class Judged(NamedTuple):
    """What the discriminator sees in faces."""

    phi: Tensor  # (B, 128): as F embeds faces
    psi: Tensor  # (B,)


class Discriminator(nn.Module):
    """The face encoder and a linear layer on it; scores with a condition are `critic`'s."""

    def __init__(self, phi: FaceEncoder, embedding: int) -> None:
        super().__init__()
        self.phi = phi
        self.psi = nn.Linear(embedding, 1)

    def forward(self, face: Tensor) -> Judged:
        """Of faces (B, 3, S, S) in -1..1."""
        phi = self.phi(face)
        return Judged(phi, self.psi(phi).squeeze(1))


def critic(judged: Judged, voice: Tensor) -> Tensor:
    """g(f, c) = <c, phi(f)> + psi(phi(f)), one number a face."""
    return (judged.phi.float() * voice.float()).sum(dim=1) + judged.psi.float()


def relid(one: Judged, other: Judged, voice: Tensor, stranger: Tensor) -> Tensor:
    """g_relid: how much more real `one` is than `other`, plus how much more it looks like its voice than a stranger's.

    With `stranger` equal to `voice` it is g_rel, the relativistic difference alone.
    """
    relative = critic(one, voice) - critic(other, voice)
    return relative + (one.phi.float() * (voice - stranger).float()).sum(dim=1)


def penalty(scores: Tensor, face: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018): the squared length of the scores' gradient at real faces, differentiable."""
    (slope,) = torch.autograd.grad(scores.sum(), face, create_graph=True)
    return slope.float().square().sum(dim=(1, 2, 3)).mean()
