"""What the manifest says of the people trained on, as numbers for losses."""

import torch
from torch import Tensor

from models.pack import Packed

UNKNOWN = -1
GENDERS = ("f", "m")


def nationalities(packed: Packed) -> tuple[str, ...]:
    """Those of the split, in order of the alphabet."""
    return tuple(sorted({name for name in packed.nationalities if name}))


def of(packed: Packed, device: torch.device) -> dict[str, Tensor]:
    """Place of each person's gender and nationality, (n_identities,) int64; UNKNOWN where the manifest has none."""
    columns = {
        "gender": (packed.genders, GENDERS),
        "nationality": (packed.nationalities, nationalities(packed)),
    }
    return {
        name: torch.tensor([_place(one, among) for one in everybody], device=device)
        for name, (everybody, among) in columns.items()
    }


def _place(value: str | None, among: tuple[str, ...]) -> int:
    return among.index(value) if value in among else UNKNOWN
