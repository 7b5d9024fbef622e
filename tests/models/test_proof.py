"""What the proof of learning breaks: in its control every voice belongs to a stranger's face."""

import pytest

from benchmarks import matchers, proof
from manifests.table import read_rows
from pipeline.world.manifest import Recipe, write_manifest


def test_a_shuffled_manifest_gives_every_voice_to_a_stranger_of_the_same_split(tmp_path):
    recipe = Recipe(
        14, faces_per_person=1, clips_per_person=1, clip_s=1.5, side=64, val_fraction=0.2, test_fraction=0.3
    )
    manifest = write_manifest(tmp_path, recipe)
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


@pytest.mark.proof
def test_small_sf2f_hears_more_than_the_gender_and_nothing_where_voices_are_strangers(tmp_path):
    """Chance is 10 % of 100 people and 20 % of 50 of one gender; a guess that knows only the gender gets 20 and 20."""
    report = proof.prove(tmp_path, people=1000, seeds=1)
    found = report["judges"]["own-b"]["recall_10"]
    for way in ("1.25 s", "5 s", "5 s, fused"):
        assert found["SF2F"][way]["all"]["interval"][0] > 0.20
        assert found["SF2F"][way]["same_gender"]["interval"][0] > 0.20
        low, high = found[proof.SHUFFLED][way]["all"]["interval"]
        assert low < 0.10 < high


@pytest.mark.proof
@pytest.mark.parametrize("name", matchers.MATCHERS)
def test_small_matchers_tell_unseen_people_apart_and_strangers_pairs_teach_nothing(tmp_path, name):
    """Chance is 50 %. What strangers' pairs happen to share in training may move it a little either way."""
    found = matchers.prove(tmp_path, people=1000, names=(name,))["matchers"][name]
    assert found["true"]["V-F 2-way U"]["interval"][0] > 0.55
    assert abs(found["shuffled"]["V-F 2-way U"]["mean"] - 0.5) < 0.1
