"""Prior faces of AR-SPM: mean face features of the training people, of all and of each gender."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manifests.errors import DataError
from models.vggface import FEATURES

Ints = NDArray[np.int64]
_SEED = 0


class Priors(nn.Module):
    """Three mean features; zero until `models.ar_spm.begin` fills them."""

    neutral: Tensor
    male: Tensor
    female: Tensor

    def __init__(self, space: int = FEATURES) -> None:
        super().__init__()
        for name in ("neutral", "male", "female"):
            self.register_buffer(name, torch.zeros(space))

    def of(self, male: Tensor) -> Tensor:
        """The priors (B, 4096) of the genders of voices (B,): the male one where true."""
        return torch.where(male[:, None], self.male, self.female)


def order(person: Ints, genders: Sequence[str | None], gender: str) -> Ints:
    """Faces of one gender in the order in which a prior takes them up: a random one of everybody's, then a second, ….

    `person` (n,) says whose each face is, `genders` each person's; the first k are the faces of a prior of k.
    """
    rng = np.random.default_rng(_SEED)
    wanted = np.flatnonzero(np.array([g == gender for g in genders])[person])
    shuffled = rng.permutation(wanted)
    by_person = shuffled[np.argsort(person[shuffled], kind="stable")]
    _, first, count = np.unique(person[by_person], return_index=True, return_counts=True)
    turn = np.arange(len(by_person)) - np.repeat(first, count)  # 0 for a person's first face
    found: Ints = by_person[np.lexsort((rng.random(len(by_person)), turn))]
    return found


def means(features: Tensor, person: Ints, genders: Sequence[str | None], faces: int) -> dict[str, Tensor]:
    """The priors by name, of features (n, 4096) of faces; of at most so many faces each, or all where there are fewer.

    The neutral one is the mean of half as many of either gender: balanced, whatever the faces are. Raises DataError
    where a gender has none.
    """
    orders = {gender: torch.from_numpy(order(person, genders, gender)) for gender in ("m", "f")}
    for gender, found in orders.items():
        if not len(found):
            raise DataError(
                f"no training face is of somebody of gender {gender!r} by the manifest, so there is no balanced prior: "
                "give it genders, or train with --set variant=none"
            )
    male, female, *halves = (
        features[orders[gender][:count]].mean(dim=0) for count in (faces, -(-faces // 2)) for gender in ("m", "f")
    )
    return {"neutral": torch.stack(halves).mean(dim=0), "male": male, "female": female}
