"""The direct manifest: valid, repeatable, and every row points at its payload."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from manifests.validate import validate_file
from pipeline import geometry, images
from pipeline.world.manifest import Recipe, write_manifest

RECIPE = Recipe(people=2, faces_per_person=2, clips_per_person=1, clip_s=2.0, side=64, buckets=2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("direct"), RECIPE)


def test_the_manifest_is_valid(manifest: Path) -> None:
    assert validate_file(manifest) == []


def test_every_row_points_at_its_payload(manifest: Path) -> None:
    rows = pq.read_table(manifest).to_pylist()
    assert sorted(row["kind"] for row in rows) == ["face"] * 4 + ["speech"] * 2
    for row in rows:
        payload = pq.read_table(manifest.parent / row["shard"]).slice(row["row"], 1).to_pylist()[0]
        assert payload["sample_id"] == row["sample_id"]
        if row["kind"] == "face":
            pixels = images.decode(payload["image"], 10**6)
            assert pixels.shape == (64, 64, 3)
            assert (pixels[0, 0] == 255).all()
            eyes = geometry.eye_centres(
                geometry.apply(geometry.points(payload["transform"]).reshape(2, 3), payload["landmarks"])
            )
            assert np.abs(eyes - geometry.pupil_targets(64)).max() < 1.0  # pixels
        else:
            mel = np.frombuffer(payload["mel_sf2f"], "<f2").reshape(-1, 40)
            assert len(mel) == row["n_frames"]


def test_the_same_recipe_gives_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    again = write_manifest(tmp_path, RECIPE, workers=2)
    assert again.read_bytes() == manifest.read_bytes()


def test_the_raw_manifest_has_the_same_people_voices_and_splits_with_other_pictures(
    manifest: Path, tmp_path: Path
) -> None:
    raw = pq.read_table(write_manifest(tmp_path, replace(RECIPE, raw=True))).to_pylist()
    clean = pq.read_table(manifest).to_pylist()
    assert validate_file(tmp_path / "hq_voxceleb.parquet") == []
    who = [[(row["identity_id"], row["split"], row["kind"]) for row in rows] for rows in (clean, raw)]
    assert who[0] == who[1]
    for kind, shared in (("speech", 2), ("face", 0)):
        samples = [{row["sample_id"] for row in rows if row["kind"] == kind} for rows in (clean, raw)]
        assert len(samples[0] & samples[1]) == shared


def test_the_split_is_disjoint_by_person(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, replace(RECIPE, people=8, faces_per_person=1, val_fraction=0.3, test_fraction=0.3))
    rows = pq.read_table(path).to_pylist()
    splits = {row["identity_id"]: set() for row in rows}
    for row in rows:
        splits[row["identity_id"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) > 1
