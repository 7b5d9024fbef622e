"""The training of `own`: it learns, it resumes to the bit, and its halves share nobody."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import DataError, Missing, UsageError
from models import face_net, pretrain_face, state
from models.augment import seen
from models.config import assigned
from models.judges import Judge
from models.pack import pack
from models.pretrain_face import Settings, half_of, real_against_real, train
from pipeline.world.manifest import Recipe, write_manifest

CPU = torch.device("cpu")
TINY = Settings(width=4, embedding=16, epochs=2, batch=8)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen drawn people with three faces and a short recording each, all in split `train`."""
    recipe = Recipe(people=16, faces_per_person=3, clips_per_person=1, clip_s=2.0, buckets=1)
    return write_manifest(tmp_path_factory.mktemp("world"), replace(recipe, val_fraction=0.0, test_fraction=0.0))


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=50, unique=True))
def test_every_person_is_in_one_half_whoever_else_there_is(people: list[str]) -> None:
    assert {half_of(person) for person in people} <= {"a", "b"}
    assert [half_of(person) for person in people] == [half_of(person) for person in reversed(people)][::-1]


def test_the_readme_makes_the_features_that_small_presets_fit() -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    command = text[text.index("models pretrain-face --manifest") :].split("\nmodels train", 1)[0]
    assert assigned(Settings(), re.findall(r"--set (\S+)", command), "pretrain-face") == pretrain_face.SMALL_VGG


def test_the_halves_are_halves() -> None:
    share = np.mean([half_of(f"id{10001 + k}") == "a" for k in range(4000)])
    assert abs(share - 0.5) < 0.04  # five deviations of a fair coin


@torch.no_grad()
def told_apart(network: face_net.OwnNet, views: torch.Tensor, person: torch.Tensor) -> float:
    """The chance that two views of one person are more alike than two of different people."""
    embedded = network(views)
    alike, same = embedded @ embedded.T, person[:, None] == person
    pairs = torch.ones_like(same).triu(1)
    other = alike[pairs & ~same].sort().values
    return float(torch.searchsorted(other, alike[pairs & same]).float().mean() / len(other))


def test_it_learns_to_tell_people_apart_and_says_what_it_is(manifest: Path, tmp_path: Path) -> None:
    """On the people it trained on; that it generalises takes hundreds of people, and is measured in the README."""
    said: list[str] = []
    longer = replace(TINY, width=8, epochs=40, margin=0.0)
    out = train(tmp_path / "own-a.safetensors", manifest, "a", longer, CPU, say=said.append)
    losses = [float(line.rsplit(" ", 1)[1]) for line in said if line.startswith("epoch")]
    assert len(losses) == 40 and losses[-1] < 0.4 * losses[0], losses
    packed = pack(manifest, "train", "sf2f", pretrain_face.FRAME, tmp_path / "packed")
    owner = packed.arrays["face_person"]
    mine = np.flatnonzero([half_of(packed.people[person]) == "a" for person in owner])
    frames = torch.from_numpy(packed.arrays["faces"][mine]).float() / 255
    # Drawn faces are told apart by their colours alone; shifted, toned and blurred ones are not.
    views = torch.cat([seen(frames, torch.Generator().manual_seed(seed)) for seed in range(4)])
    person = torch.from_numpy(np.tile(owner[mine], 4))
    torch.manual_seed(0)
    learnt, guessed = (
        told_apart(network.eval(), views, person)
        for network in (face_net.read(out)[0], face_net.OwnNet(face_net.Shape(8, 16)))
    )
    assert learnt > 0.9 and learnt > guessed + 0.08, (learnt, guessed)
    _, facts = face_net.read(out)
    assert (facts["half"], facts["manifest"], facts["people"]) == ("a", packed.digest, len(mine) // 3)
    assert facts["other_half"]["people"] == len(packed.people) - len(mine) // 3
    assert not list(tmp_path.glob("*.unfinished")), "what was only for resuming is gone"


class Killed(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_very_same_bytes(manifest: Path, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole" / "own.safetensors", manifest, "b", TINY, CPU)
    out = tmp_path / "stopped" / "own.safetensors"

    def stop(text: str) -> None:
        if text.startswith("epoch 2 of 2"):
            raise Killed

    with pytest.raises(Killed):
        train(out, manifest, "b", TINY, CPU, say=stop)  # before the second epoch is saved
    assert not out.exists()
    said: list[str] = []
    train(out, manifest, "b", TINY, CPU, say=said.append)
    assert sum(line.startswith("epoch") for line in said) == 1, "only the second epoch was run again"
    assert out.read_bytes() == whole.read_bytes()
    before = out.stat().st_mtime_ns
    train(out, manifest, "b", TINY, CPU, say=said.append)
    assert out.stat().st_mtime_ns == before and "finished" in said[-1]


def test_a_file_of_other_settings_or_another_half_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    out = train(tmp_path / "own.safetensors", manifest, "a", TINY, CPU)
    before = out.read_bytes()
    for half, other, what in (("b", TINY, "half"), ("a", replace(TINY, seed=1), "settings")):
        with pytest.raises(UsageError, match=f"is of another {what}: remove it, or choose another --out") as caught:
            train(out, manifest, half, other, CPU)  # type: ignore[arg-type]
        assert caught.value.exit_code == 2
    assert out.read_bytes() == before


def test_a_file_of_before_there_was_a_choice_of_layout_is_finished(manifest: Path, tmp_path: Path) -> None:
    out = train(tmp_path / "own.safetensors", manifest, "a", TINY, CPU)
    tensors, facts = state.read(out)
    del facts["settings"]["layout"], facts["settings"]["features"], facts["format"]
    state.write(out, tensors, facts)
    said: list[str] = []
    train(out, manifest, "a", TINY, CPU, say=said.append)
    assert said == [f"{out} is finished"]
    with pytest.raises(UsageError, match="is of another settings"):
        train(out, manifest, "a", replace(TINY, layout="vgg"), CPU)


def test_an_unfinished_training_of_other_settings_is_not_gone_on_with(manifest: Path, tmp_path: Path) -> None:
    def stop(text: str) -> None:
        if text.startswith("epoch 2"):
            raise Killed

    out = tmp_path / "own.safetensors"
    with pytest.raises(Killed):
        train(out, manifest, "a", TINY, CPU, say=stop)
    with pytest.raises(UsageError, match="unfinished is of another settings"):
        train(out, manifest, "a", replace(TINY, rate=1e-4), CPU)


def test_an_absent_manifest_and_a_half_without_people_are_errors(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        train(tmp_path / "own.safetensors", tmp_path / "none.parquet", "a", TINY, CPU)
    alone = write_manifest(
        tmp_path / "alone", Recipe(people=1, faces_per_person=1, clips_per_person=1, clip_s=2.0, val_fraction=0.0,
                                   test_fraction=0.0, buckets=1),
    )  # fmt: skip
    with pytest.raises(DataError, match="expected two or more"):
        train(tmp_path / "own.safetensors", alone, "a", TINY, CPU)


def test_where_the_other_half_cannot_be_measured_the_network_is_kept_and_says_so(tmp_path: Path) -> None:
    recipe = Recipe(people=6, faces_per_person=1, clips_per_person=1, clip_s=2.0, buckets=1)
    single = write_manifest(tmp_path / "single", replace(recipe, val_fraction=0.0, test_fraction=0.0))
    _, facts = face_net.read(train(tmp_path / "own.safetensors", single, "a", TINY, CPU))
    assert facts["other_half"] is None and facts["people"] >= 2


def test_a_rate_that_blows_up_is_an_error_that_says_what_to_lower(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lower the rate"):
        train(tmp_path / "own.safetensors", manifest, "a", replace(TINY, rate=1e30), CPU)


class Oracle(Judge):
    """Embeds a picture by its top left corner: exact where the corners are told apart."""

    def embed(self, faces: torch.Tensor, at_once: int = 64) -> torch.Tensor:
        return torch.nn.functional.normalize(faces[:, :, 0, 0] - 0.5)


def oracle() -> Judge:
    return Oracle("oracle", "", torch.nn.Identity(), lambda faces: faces, CPU)


def test_a_judge_that_knows_everyone_scores_one_and_one_that_guesses_scores_chance() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(250), 3)
    corner = rng.integers(0, 256, (250, 3), np.uint8)
    known = np.zeros((750, 3, 4, 4), np.uint8) + corner[person][:, :, None, None]
    perfect = real_against_real(oracle(), torch.from_numpy(known), person)
    assert (perfect.people, perfect.gallery) == (250, 100)
    assert perfect.recall_10 == 1.0 and perfect.recall_1 > 0.95 and perfect.auc > 0.999
    guess = np.zeros((750, 3, 4, 4), np.uint8) + rng.integers(0, 256, (750, 3, 1, 1), np.uint8)
    chance = real_against_real(oracle(), torch.from_numpy(guess), person)
    assert abs(chance.recall_10 - 0.10) < 0.07 and abs(chance.recall_1 - 0.01) < 0.03 and abs(chance.auc - 0.5) < 0.06


@pytest.mark.parametrize(("people", "told"), [(2, False), (10, False), (11, True)])
def test_a_recall_that_cannot_fail_is_not_told(people: int, told: bool) -> None:
    rng = np.random.default_rng(1)
    faces = torch.from_numpy(rng.integers(0, 256, (2 * people, 3, 4, 4), np.uint8))
    found = real_against_real(oracle(), faces, np.repeat(np.arange(people), 2))
    assert found.gallery == people and (found.recall_10 is not None) == told
    words = pretrain_face._recalls(found)
    assert ("Recall@10" in words) == told and f"Recall@1 {found.recall_1:.1%} (chance {1 / people:.1%})" in words


def test_a_seed_that_would_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="seed"):
        assigned(Settings(), ["seed=8388608"], "pretrain-face")


def test_people_with_one_picture_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="two people"):
        real_against_real(oracle(), torch.zeros(3, 3, 4, 4, dtype=torch.uint8), np.array([0, 1, 2]))
