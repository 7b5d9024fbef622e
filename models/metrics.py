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


def galleries(people: int, size: int, seed: int) -> list[Tensor]:
    """Disjoint random galleries of `size` places, floor(people / size) of them; one of everybody if there are fewer."""
    order = torch.randperm(people, generator=torch.Generator().manual_seed(seed))
    return list(torch.split(order, size))[: max(people // size, 1)]


def consecutive(people: int, size: int = 100, blocks: int = 3) -> list[Tensor]:
    """The released evaluator's galleries: positions 0-99, 100-199, 200-299; later people are never used."""
    return list(torch.split(torch.arange(min(people, size * blocks)), size))


def recall(found: Tensor, gallery: Tensor, places: list[Tensor], k: int) -> Tensor:
    """Hits at `k` of every query within its own gallery; one value per query of all galleries, in their order."""
    return torch.cat([hits(found[place], gallery[place], k) for place in places]).float()


def knows_gender_only(genders: list[str | None], places: list[Tensor], k: int) -> float | None:
    """Recall at `k` of a guess that knows the gender and nothing else: min(1, k / people of that gender).

    None where somebody's gender is not known.
    """
    if any(gender is None for gender in genders):
        return None
    shares = []
    for place in places:
        of = [genders[i] for i in place.tolist()]
        shares += [min(1.0, k / of.count(gender)) for gender in of]
    return sum(shares) / len(shares)


def matching(found: Tensor, wanted: Tensor, pairs: Tensor) -> Tensor:
    """Whether each generated face is nearer to its true face than to an impostor's (voice2face, section 5).

    `pairs` is (T, 2): whose face was generated, and the impostor. Ties are wrong.
    """
    probe, wanted = F.normalize(found[pairs[:, 0]]), F.normalize(wanted)
    return (probe * wanted[pairs[:, 0]]).sum(1) > (probe * wanted[pairs[:, 1]]).sum(1)


def impostors(genders: list[str | None], trials: int, same_gender: bool, seed: int) -> Tensor:
    """Trials (T, 2) of a person and another one, drawn uniformly; with `same_gender` both of one known gender.

    Empty where nobody has such a counterpart.
    """
    generator = torch.Generator().manual_seed(seed)
    people = len(genders)
    if not same_gender:
        if people < 2:
            return torch.empty(0, 2, dtype=torch.long)
        first = torch.randint(people, (trials,), generator=generator)
        step = torch.randint(1, people, (trials,), generator=generator)
        return torch.stack([first, (first + step) % people], dim=1)
    pools = {g: torch.tensor([i for i, other in enumerate(genders) if other == g]) for g in set(genders) - {None}}
    large = torch.cat([torch.empty(0, dtype=torch.long), *(pool for pool in pools.values() if len(pool) > 1)])
    if not len(large):
        return torch.empty(0, 2, dtype=torch.long)
    first = large[torch.randint(len(large), (trials,), generator=generator)]
    second = torch.empty_like(first)
    for gender, pool in pools.items():
        mine = torch.tensor([genders[i] == gender for i in first.tolist()])
        if not mine.any():
            continue
        place = torch.searchsorted(pool, first[mine])
        step = torch.randint(1, len(pool), (int(mine.sum()),), generator=generator)
        second[mine] = pool[(place + step) % len(pool)]
    return torch.stack([first, second], dim=1)


def face_score(probabilities: Tensor, splits: int, seed: int) -> Tensor:
    """VGGFace Score (or Inception Score) of each split: exp of the mean divergence of a face's classes from the mean.

    `probabilities` is (N, classes). Faces are shuffled and cut into `splits` parts; 1e-16 stands in every logarithm.
    """
    order = torch.randperm(len(probabilities), generator=torch.Generator().manual_seed(seed))
    parts = torch.chunk(probabilities.double()[order], splits)
    scores = [(p * ((p + 1e-16).log() - (p.mean(0, keepdim=True) + 1e-16).log())).sum(1).mean().exp() for p in parts]
    return torch.stack(scores)


def collapse(found: Tensor) -> float:
    """Mean cosine between the faces of different people: near 1 where all faces are the same."""
    unit = F.normalize(found)
    people = len(unit)
    return float((unit.sum(0).square().sum() - unit.square().sum()) / (people * (people - 1)))


class LinearGender:
    """Gender from face embeddings: ridge regression to +1 (f) and -1 (m), fitted on real training faces only."""

    def __init__(self, embeddings: Tensor, genders: list[str | None], ridge: float = 1e-2) -> None:
        known = torch.tensor([gender in ("m", "f") for gender in genders])
        x = embeddings[known].double()
        y = torch.tensor([1.0 if g == "f" else -1.0 for g in genders if g in ("m", "f")], dtype=torch.double)
        self._mean, self._offset = x.mean(0), y.mean()
        x, y = x - self._mean, y - self._offset
        self._slopes = torch.linalg.solve(
            x.T @ x / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y / len(x)
        )

    def right(self, embeddings: Tensor, genders: list[str | None]) -> Tensor:
        """Whether each face is called its person's gender; people without a known gender are left out."""
        female = (embeddings.cpu().double() - self._mean) @ self._slopes + self._offset > 0
        known = [i for i, gender in enumerate(genders) if gender in ("m", "f")]
        return torch.tensor([bool(female[i]) == (genders[i] == "f") for i in known])
