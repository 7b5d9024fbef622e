"""Genders and nationalities of the training people as numbers."""

from pathlib import Path

import torch

from manifests import table
from manifests.schema import MANIFEST
from models import traits
from models.pack import pack
from tests.models.drawn import write_manifest


def test_traits_are_those_of_the_manifest(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data")
    told = {"id00000": ("m", "Zet"), "id00001": ("f", "Ada"), "id00002": (None, "Zet"), "id00003": ("f", None)}
    rows = [
        row | dict(zip(("gender", "nationality"), told.get(row["identity_id"], ("x", "Moo")), strict=True))
        for row in table.read_rows(path)
    ]
    table.write_table(path, MANIFEST, rows, {})
    packed = pack(path, "train", "sf2f", 64, tmp_path / "packed")
    assert traits.nationalities(packed) == ("Ada", "Moo", "Zet")
    found = traits.of(packed, torch.device("cpu"))
    assert found["gender"].tolist() == [1, 0, -1, 0, -1, -1]  # of what is neither m nor f nothing is said
    assert found["nationality"].tolist() == [2, 0, 2, -1, 1, 1]
