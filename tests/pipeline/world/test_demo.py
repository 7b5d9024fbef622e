"""A world on disk: the same bytes however it was made, and truth that matches the files."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests.errors import UsageError
from pipeline.world import demo
from pipeline.world.demo import make_world

SMALL = {"people": 3, "seed": 4, "photos_per_person": 4, "clips_per_person": 2}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "demo"
    make_world(out, **SMALL)
    return out


def test_any_number_of_workers_makes_the_same_bytes(world: Path, tmp_path: Path) -> None:
    make_world(tmp_path / "again", **SMALL, workers=2)
    assert digests(tmp_path / "again") == digests(world)


def test_an_interrupted_world_is_finished_to_the_same_bytes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = demo._write_person
    with monkeypatch.context() as patch:
        patch.setattr(demo, "_write_person", _dies_at(whole, 2))
        with pytest.raises(KeyboardInterrupt):
            make_world(tmp_path / "w", **SMALL)
    assert not (tmp_path / "w" / "world.json").exists()
    make_world(tmp_path / "w", **SMALL)
    assert digests(tmp_path / "w") == digests(world)


def _dies_at(whole, index):
    def write(out, recipe, number):
        if number == index:
            raise KeyboardInterrupt
        whole(out, recipe, number)

    return write


def test_a_world_stopped_while_tidying_up_is_tidied(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path / "w")
    (tmp_path / "w" / "parts").mkdir()
    (tmp_path / "w" / "parts" / "id90002.json").write_text("{}")
    make_world(tmp_path / "w", **SMALL)
    assert digests(tmp_path / "w") == digests(world)


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seed -1"):
        make_world(tmp_path / "w", people=1, seed=-1)
    assert not (tmp_path / "w").exists()


def test_a_finished_world_is_left_alone(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    make_world(world, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


def test_other_parameters_or_files_in_the_folder_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds another world"):
        make_world(world, **{**SMALL, "seed": 5})
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="no synthetic world"):
        make_world(tmp_path, **SMALL)


def test_lists_and_truth_name_every_file(world: Path) -> None:
    with demo.url_list(world).open(encoding="utf-8", newline="") as file:
        urls = list(csv.DictReader(file))
    photos = pq.read_table(world / "truth" / "photos.parquet").to_pylist()
    assert [row["url"] for row in urls] == [row["url"] for row in photos]
    prefix = f"http://{demo.HOST}/"
    listed = {url["url"].removeprefix(prefix) for url in urls}
    assert listed == {path for path in digests(world) if path.startswith("photos/")}
    clips = pq.read_table(world / "truth" / "clips.parquet").to_pylist()
    assert {clip["path"] for clip in clips} == {path for path in digests(world) if path.startswith("voices/")}
    with demo.metadata(world).open(encoding="utf-8", newline="") as file:
        people = list(csv.DictReader(file, delimiter="\t"))
    assert [person["VoxCeleb1 ID"] for person in people] == ["id90000", "id90001", "id90002"]
    assert {row["identity_id"] for row in urls} == {person["VoxCeleb1 ID"] for person in people}


def test_truth_columns_have_the_same_types_in_every_world(world: Path, tmp_path: Path) -> None:
    """A column that happens to be empty in a small world keeps its type."""
    make_world(tmp_path / "tiny", people=1, seed=0, photos_per_person=1, clips_per_person=0)
    for name in ("people", "photos", "clips"):
        small, large = (pq.read_schema(folder / "truth" / f"{name}.parquet") for folder in (tmp_path / "tiny", world))
        assert small.equals(large)


def test_the_truth_names_whom_somebody_looks_like(tmp_path: Path) -> None:
    make_world(tmp_path / "twelve", people=12, seed=0, photos_per_person=1, clips_per_person=0)
    people = pq.read_table(tmp_path / "twelve" / "truth" / "people.parquet").to_pylist()
    assert {p["identity_id"]: p["double_of"] for p in people if p["double_of"]} == {"id90011": "id90010"}


def test_the_recipe_is_kept(world: Path) -> None:
    kept = json.loads((world / "world.json").read_text())
    assert kept["people"] == 3
    assert kept["seed"] == 4
