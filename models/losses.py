"""Loss terms shared by the systems: functions of tensors, each a mean over its elements."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.judges import Judge

PERCEPTUAL_WEIGHTS = (1 / 16, 1 / 8, 1 / 4, 1.0)  # of the judge's four states, shallow to deep (SF2F, released code)


def called_real(logits: Tensor) -> Tensor:
    """Binary cross-entropy of logits against the label "real"."""
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def called_fake(logits: Tensor) -> Tensor:
    """Binary cross-entropy of logits against the label "fake"."""
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def l1(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(found, wanted)


def feature_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Weighted mean absolute differences of a face network's four states (SF2F, equation of the perceptual loss)."""
    terms = [
        weight * F.l1_loss(f.float(), w.float()) for weight, f, w in zip(PERCEPTUAL_WEIGHTS, found, wanted, strict=True)
    ]
    return torch.stack(terms).sum()


def contrast(voices: Tensor, faces: Tensor, identity: Tensor, temperature: float = 0.1) -> Tensor:
    """How much nearer each voice (B, D) is to its own person's face (B, D) than to the others of the batch.

    Symmetric InfoNCE of cosines (Radford et al. 2021, "Learning transferable visual models", figure 3): the mean of
    the cross-entropies of finding the face by the voice and the voice by the face. People who occur twice, by
    `identity` (B,), are right both times.
    """
    cosines = F.normalize(voices.float()) @ F.normalize(faces.float()).T / temperature
    same = (identity[:, None] == identity).to(cosines)
    wanted = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(cosines, wanted) + F.cross_entropy(cosines.T, wanted)) / 2


class Perceptual:
    """The distance between generated and real faces in the states of a frozen face network.

    Real faces do not change, so their states are computed once, per face and side, if they fit into `budget` bytes.
    """

    def __init__(self, judge: "Judge", faces: Tensor, sides: Sequence[int], budget: int) -> None:
        self.judge = judge
        self._faces = faces  # (n, 3, S, S) uint8, where the corpus keeps them
        with torch.no_grad():
            per_face = sum(t.nbytes for side in sides for t in self._real(torch.zeros(1, dtype=torch.long), side))
        self._kept = {side: self._all(side) for side in sides} if per_face * len(faces) <= budget else {}

    def __call__(self, generated: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The distance of faces (B, 3, S, S) in 0..1 from the states of `real` faces, and their embeddings (B, D)."""
        found = self.judge.states(generated)
        return feature_distance(found, wanted), found[-1]

    def real(self, face_index: Tensor, side: int) -> list[Tensor]:
        """The states of real faces, shallow to deep; the last is the embedding (B, D)."""
        if side in self._kept:
            return [state[face_index.to(state.device)].to(self.judge.device) for state in self._kept[side]]
        with torch.no_grad():
            return self._real(face_index, side)

    def _real(self, index: Tensor, side: int) -> list[Tensor]:
        chosen = self._faces[index.to(self._faces.device)].to(self.judge.device).float() / 255
        return self.judge.states(every_nth(chosen, side))

    @torch.no_grad()
    def _all(self, side: int, chunk: int = 64) -> list[Tensor]:
        parts = [self._real(index, side) for index in torch.split(torch.arange(len(self._faces)), chunk)]
        return [torch.cat(state) for state in zip(*parts, strict=True)]


def every_nth(faces: Tensor, side: int) -> Tensor:
    """Faces (B, 3, S, S) reduced to `side` by taking every (S / side)-th pixel, as the released code does."""
    step = faces.shape[-1] // side
    return faces[..., ::step, ::step] if step > 1 else faces


@contextmanager
def frozen(*networks: nn.Module) -> "Iterator[None]":
    """Without weight gradients inside: the generator's step must not pay for the discriminators'."""
    weights = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
