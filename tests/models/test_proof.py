"""The proof of learning, shortened: faces from unseen voices are found far above chance, unless pairs were shuffled."""

from pathlib import Path

import pytest
import torch

from benchmarks import proof
from manifests import weights
from manifests.errors import Missing
from manifests.table import read_rows
from models import judges
from models.judges import Judge
from pipeline.world.manifest import Recipe, write_manifest

pytestmark = pytest.mark.slow
SHORTER = ["perceptual=0", "iterations=350", "settling=150", "fuser_iterations=0"]
UNSEEN = 80  # people, at least: by name, about a third of all


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 drawn people with three faces and three recordings each."""
    recipe = Recipe(320, faces_per_person=3, clips_per_person=3, val_fraction=0.0, test_fraction=0.32)
    return write_manifest(tmp_path_factory.mktemp("proof"), recipe)


@pytest.fixture(scope="module")
def dlib() -> Judge:
    """dlib's network: not in the loss here, as no judge is."""
    torch.set_num_threads(1)
    try:
        weights.path("dlib-face")
    except Missing as error:
        pytest.skip(str(error))
    return judges.load("dlib", proof.CPU)


def _recall(run: Path, manifest: Path, judge: Judge, kind: str = "all") -> float:
    values = torch.tensor(proof.scored(run, manifest, judge)["5 s"][kind])
    assert len(values) >= UNSEEN
    return float(values.mean())


def test_faces_from_unseen_voices_are_found_far_above_chance(manifest: Path, dlib: Judge, tmp_path: Path) -> None:
    run = proof.trained(tmp_path / "sf2f", manifest, "sf2f-small", 0, SHORTER)
    assert _recall(run, manifest, dlib) > 0.2  # chance: 10 of about 100 people


def test_shuffled_pairs_teach_nothing(manifest: Path, dlib: Judge, tmp_path: Path) -> None:
    run = proof.trained(tmp_path / "shuffled", proof.shuffled(manifest), "sf2f-small", 0, SHORTER)
    assert 0.03 < _recall(run, manifest, dlib) < 0.17  # three deviations of a blind guess among 100 people


def test_a_shuffled_manifest_gives_every_voice_to_a_stranger_of_the_same_split(manifest: Path) -> None:
    rows, mixed = ({row["row_id"]: row for row in read_rows(path)} for path in (manifest, proof.shuffled(manifest)))
    assert rows.keys() == mixed.keys()
    gender_of = {row["identity_id"]: row["gender"] for row in rows.values()}
    split_of = {row["identity_id"]: row["split"] for row in rows.values()}
    for key, row in rows.items():
        now = mixed[key]
        same = row["kind"] == "face" or row["split"] == "test"
        assert (now["identity_id"] == row["identity_id"]) == same
        assert (now["split"], now["gender"]) == (split_of[now["identity_id"]], gender_of[now["identity_id"]])
        assert (now["shard"], now["row"]) == (row["shard"], row["row"])
