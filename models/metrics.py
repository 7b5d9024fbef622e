"""Every metric, defined once: pure functions of embeddings (N people, D numbers, unit length unless said otherwise)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.data import Corpus
from models.judges import Judge


def references(judge: Judge, corpus: Corpus, renormalised: bool = True) -> Tensor:
    """Each person's real embedding (N, D): the mean over all their faces, of unit length again (SF2F, section 4.2).

    The released evaluator leaves out the last step: `renormalised=False`. Cosine does not change, L1 does.
    """
    owner = torch.from_numpy(corpus.packed.arrays["face_person"].copy())
    found = torch.cat([judge.embed(part.float() / 255).cpu() for part in torch.split(corpus.faces, 64)])
    total = torch.zeros(corpus.n_people, found.shape[1]).index_add_(0, owner, found)
    mean = total / owner.bincount(minlength=corpus.n_people)[:, None]
    return F.normalize(mean) if renormalised else mean


def cosine(found: Tensor, wanted: Tensor) -> Tensor:
    """Cosine similarity of each row with its own reference, (N,)."""
    return F.cosine_similarity(found, wanted.to(found.device))


def l1(found: Tensor, wanted: Tensor) -> Tensor:
    """Sum over the dimensions of absolute differences, (N,); smaller is better."""
    return (found - wanted.to(found.device)).abs().sum(dim=1)


def hits(found: Tensor, gallery: Tensor, k: int) -> Tensor:
    """Whether row n of the gallery is among the `k` nearest to row n of `found` by cosine, (N,) bool; ties miss."""
    scores = F.normalize(found) @ F.normalize(gallery.to(found.device)).T
    own = scores.diagonal()[:, None]
    others = torch.eye(len(found), dtype=torch.bool, device=found.device).logical_not()
    return ((scores >= own) & others).sum(dim=1) < k
