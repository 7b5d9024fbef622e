"""Every metric, defined once: pure functions of embeddings (N people, D numbers, unit length unless said otherwise)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import hypergeom
from torch import Tensor

from models.data import Corpus
from models.judges import Judge

_ROUNDING = 1e-9  # equal references may give scores this far apart: a matrix product sums its columns in any order
_EPSILON = 1e-16  # in the logarithms of `face_score`


def embedded(judge: Judge, corpus: Corpus) -> Tensor:
    """The embedding of every real face (faces, D), on the judge's device."""
    return torch.cat([judge.embed(part.float() / 255) for part in torch.split(corpus.faces, 64)])


def mean_of_each(embeddings: Tensor, owner: Tensor, people: int, renormalised: bool = True) -> Tensor:
    """Each person's reference (people, D): the mean over all their faces, of unit length again (SF2F, section 4.2).

    The released evaluator leaves out the last step: `renormalised=False`. Cosine does not change, L1 does.
    """
    owner = owner.to(embeddings.device)
    total = torch.zeros(people, embeddings.shape[1], device=embeddings.device).index_add_(0, owner, embeddings)
    mean = total / owner.bincount(minlength=people)[:, None]
    return F.normalize(mean) if renormalised else mean


def owners(corpus: Corpus) -> Tensor:
    """Whose each face of a corpus is, (faces,)."""
    return torch.from_numpy(corpus.packed.arrays["face_person"].copy())


def references(judge: Judge, corpus: Corpus) -> Tensor:
    """Each person's reference (N, D), on the CPU."""
    return mean_of_each(embedded(judge, corpus), owners(corpus), corpus.n_people).cpu()


def cosine(found: Tensor, wanted: Tensor) -> Tensor:
    """Cosine similarity of each row with its own reference, (N,)."""
    return F.cosine_similarity(found, wanted.to(found.device))


def l1(found: Tensor, wanted: Tensor, epsilon: float = 0.0) -> Tensor:
    """Sum over the dimensions of absolute differences, (N,); smaller is better.

    The released evaluator adds an `epsilon` of 1e-6 to every difference.
    """
    return (found - wanted.to(found.device) + epsilon).abs().sum(dim=1)


def l2(found: Tensor, wanted: Tensor, epsilon: float = 0.0) -> Tensor:
    """Euclidean distance of each row to its own reference, (N,); smaller is better. `epsilon` as in `l1`."""
    return (found - wanted.to(found.device) + epsilon).square().sum(dim=1).sqrt()


def hits(found: Tensor, gallery: Tensor, k: int) -> Tensor:
    """Whether row n of the gallery is among the `k` nearest to row n of `found` by cosine, (N,) bool.

    Ties miss, and so does an embedding that is not finite.
    """
    scores = F.normalize(found.double()) @ F.normalize(gallery.to(found.device).double()).T
    farther = scores < scores.diagonal()[:, None] - _ROUNDING
    return (~farther).sum(dim=1) - 1 < k  # less the own place, which is never farther than itself


def galleries(people: int, size: int, seed: int) -> list[Tensor]:
    """Disjoint random galleries of `size` places, floor(people / size) of them; one of everybody if there are fewer."""
    order = torch.randperm(people, generator=torch.Generator().manual_seed(seed))
    return list(torch.split(order, size))[: max(people // size, 1)]


def consecutive(people: int, size: int = 100, blocks: int = 3) -> list[Tensor]:
    """The released evaluator's galleries: positions 0-99, 100-199, 200-299; later people are never used."""
    return list(torch.split(torch.arange(min(people, size * blocks)), size))


def recall(found: Tensor, gallery: Tensor, places: list[Tensor], k: int) -> Tensor:
    """Hits at `k` of every query within its own gallery, one value per query, in the order of the galleries.

    A gallery counts as one whatever its size, as in the released evaluator: its values are scaled so that the mean
    over all queries is the plain mean over the galleries.
    """
    queries = sum(len(place) for place in places)
    return torch.cat(
        [hits(found[place], gallery[place], k).float() * (queries / (len(places) * len(place))) for place in places]
    )


def chance(places: list[Tensor], k: int) -> float:
    """Recall at `k` of a blind guess."""
    return sum(min(1.0, k / len(place)) for place in places) / len(places)


def knows_gender_only(genders: list[str | None], places: list[Tensor], k: int) -> float | None:
    """Recall at `k` of a guess that knows the gender and nothing else: min(1, k / people of that gender).

    None where somebody's gender is not known.
    """
    if None in genders:
        return None
    shares = []
    for place in places:
        of = [genders[i] for i in place.tolist()]
        shares.append(sum(min(1.0, k / of.count(gender)) for gender in of) / len(of))
    return sum(shares) / len(shares)


def impostors(genders: list[str | None], trials: int, same_gender: bool, seed: int) -> tuple[Tensor, Tensor]:
    """At least `trials` trials: probes (P,), and as many impostors of each, drawn uniformly from the others, (P, R).

    With `same_gender` both are of one known gender. Empty where nobody has such a counterpart.
    """
    generator = torch.Generator().manual_seed(seed)
    group = list(genders) if same_gender else ["anybody"] * len(genders)
    pools = {name: torch.tensor([i for i, other in enumerate(group) if other == name]) for name in set(group) - {None}}
    probes = [i for i, name in enumerate(group) if name is not None and len(pools[name]) > 1]
    if not probes:
        return torch.empty(0, dtype=torch.long), torch.empty(0, 0, dtype=torch.long)
    of_each = -(-trials // len(probes))
    drawn = []
    for probe in probes:
        pool = pools[group[probe]]
        step = torch.randint(1, len(pool), (of_each,), generator=generator)
        drawn.append(pool[(torch.searchsorted(pool, probe) + step) % len(pool)])
    return torch.tensor(probes), torch.stack(drawn)


def matching(found: Tensor, wanted: Tensor, probes: Tensor, others: Tensor) -> Tensor:
    """Share of the trials in which a generated face is nearer to its true face than to an impostor's, (P,).

    voice2face, section 5. Ties are wrong.
    """
    found, wanted = F.normalize(found.double()), F.normalize(wanted.to(found.device).double())
    scores = (found @ wanted.T)[probes.to(found.device)].cpu()
    return (scores.gather(1, probes[:, None]) > scores.gather(1, others) + _ROUNDING).float().mean(dim=1)


def matching_by_gender(
    genders: list[str | None], candidates: int = 2, groups: Sequence[str | None] | None = None
) -> float | None:
    """Accuracy among `candidates` that knows the gender and nothing else, with impostors of the same of `groups`.

    Without groups impostors are anybody. None where somebody's gender is not known, or nobody has so many impostors.
    """
    group = ["anybody"] * len(genders) if groups is None else list(groups)
    if None in genders:
        return None
    known, both = Counter(group), Counter(zip(group, genders, strict=True))
    found = []
    for own, gender in zip(group, genders, strict=True):
        others, alike = known[own] - 1, both[own, gender] - 1
        if own is not None and others >= candidates - 1:
            beside = np.arange(candidates)  # impostors of that gender, among whom the guess is blind
            found.append(float((hypergeom(others, alike, candidates - 1).pmf(beside) / (1 + beside)).sum()))
    return sum(found) / len(found) if found else None


def face_score(probabilities: Tensor, splits: int, seed: int) -> Tensor:
    """VGGFace Score (or Inception Score) of each split: exp of the mean divergence of a face's classes from the mean.

    `probabilities` is (N, classes) with N >= `splits`. Faces are shuffled and cut into parts as equal as can be.
    """
    order = torch.randperm(len(probabilities), generator=torch.Generator().manual_seed(seed))
    scores = []
    for part in torch.tensor_split(order, splits):
        p = probabilities[part].double()
        log_mean = (p.mean(dim=0, keepdim=True) + _EPSILON).log()
        scores.append((p * ((p + _EPSILON).log() - log_mean)).sum(dim=1).mean().exp())
    return torch.stack(scores)


def collapse(found: Tensor) -> float:
    """Mean cosine between the faces of different people: near 1 where all faces are the same."""
    return to_others(found, found)


def to_others(found: Tensor, wanted: Tensor) -> float:
    """Mean cosine between the faces of people and the references of other people."""
    found, wanted = F.normalize(found.double()), F.normalize(wanted.to(found.device).double())
    people = len(found)
    return float((found.sum(0) @ wanted.sum(0) - (found * wanted).sum()) / (people * (people - 1)))


def frechet(found: Tensor, real: Tensor) -> float:
    """Squared Frechet distance between normal distributions fitted to embeddings (N, D) and (M, D).

    The formula of FID, in the judge's space. It shrinks as N and M grow: compare at equal numbers only.
    """
    a, b = found.cpu().double(), real.cpu().double()
    spread_a, spread_b = a.T.cov(), b.T.cov()
    size, axes = torch.linalg.eigh(spread_a)
    root = (axes * size.clamp_min(0).sqrt()) @ axes.T
    shared = torch.linalg.eigvalsh(root @ spread_b @ root).clamp_min(0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return float(apart + spread_a.trace() + spread_b.trace() - 2 * shared)


class LinearLabels:
    """Labels from face embeddings: ridge regression to one number for each label, of which the largest wins."""

    def __init__(self, embeddings: Tensor, labels: Sequence[str | None], ridge: float = 1e-2) -> None:
        self.kinds = sorted({label for label in labels if label is not None})
        held = [(row, self.kinds.index(label)) for row, label in enumerate(labels) if label is not None]
        rows, places = (torch.tensor(column) for column in zip(*held, strict=True))
        x = embeddings.cpu()[rows].double()
        y = torch.nn.functional.one_hot(places, len(self.kinds)).double()
        self._mean, self._offset = x.mean(0), y.mean(0)
        self._slopes = _ridge(x - self._mean, y - self._offset, ridge)

    def of(self, embeddings: Tensor) -> list[str]:
        """The label of each face (N, D)."""
        scores = (embeddings.cpu().double() - self._mean) @ self._slopes + self._offset
        return [self.kinds[place] for place in scores.argmax(dim=1).tolist()]


def _ridge(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """The slopes from centred x (n, D) to centred y (n,) or (n, C)."""
    slopes: Tensor = torch.linalg.solve(
        x.T @ x / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y / len(x)
    )
    return slopes


class LinearGender:
    """Gender from face embeddings: ridge regression to +1 (f) and -1 (m), fitted on real training faces only."""

    def __init__(self, embeddings: Tensor, genders: list[str | None], ridge: float = 1e-2) -> None:
        known = torch.tensor([gender in ("m", "f") for gender in genders])
        x = embeddings.cpu()[known].double()
        y = torch.tensor([1.0 if g == "f" else -1.0 for g in genders if g in ("m", "f")], dtype=torch.double)
        self._mean, self._offset = x.mean(0), y.mean()
        x, y = x - self._mean, y - self._offset
        self._slopes = _ridge(x, y, ridge)

    def female(self, embeddings: Tensor) -> Tensor:
        """Whether each face is called a woman's, (N,)."""
        female: Tensor = (embeddings.cpu().double() - self._mean) @ self._slopes + self._offset > 0
        return female

    def right(self, embeddings: Tensor, genders: list[str | None]) -> Tensor:
        """Whether each face is called its person's gender; people without a known gender are left out."""
        female = self.female(embeddings)
        known = [i for i, gender in enumerate(genders) if gender in ("m", "f")]
        return torch.tensor([bool(female[i]) == (genders[i] == "f") for i in known])
