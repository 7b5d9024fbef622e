"""Strangers' pictures through the real stages: each is kept or dropped for what it is, and costs no neighbour."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests import table
from pipeline.images import decode
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Paths, Row
from stages import align, crawl, emotion, identity, landmarks
from tests.faults import pictures

LOSSY_PX = 3.0  # how far JPEG and CMYK may move a landmark
LOSSY = {"cmyk", "progressive", "long_comment"}
ORIENTED = [f"exif_{orientation}" for orientation in range(1, 9)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every picture under a name that says .jpg, crawled, searched for faces and aligned."""
    folder = tmp_path_factory.mktemp("pictures")
    everything = {
        "usable": pictures.usable(),
        "grey": pictures.grey(),
        "broken": {name: data for name, (data, _) in pictures.broken().items()},
    }
    for person, files in everything.items():
        (folder / "photos" / person).mkdir(parents=True)
        for name, data in files.items():
            (folder / "photos" / person / f"{name}.jpg").write_bytes(data)
    sections: dict[str, dict[str, Any]] = {
        "crawl": {"source": "folder", "folder": str(folder / "photos")},
        "landmarks": {"second_look_px": None},
        "identity": {"enabled": False},  # one face, in every format there is
        "emotion": {"enabled": False},
    }
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    for stage in (crawl.STAGE, landmarks.STAGE, identity.STAGE, emotion.STAGE, align.STAGE):
        run_stage(stage, Params(paths, Run(buckets=2, max_failed=0.0), sections), 1)
    return folder


def rows(project: Path, name: str) -> dict[str, Row]:
    """The rows of a table by the name of their picture."""
    found = [row for path in table.shards(project / "data" / name) for row in table.read_rows(path)]
    return {Path(row["source"]).stem: row for row in found}


def fate(project: Path, name: str) -> str | None:
    """Why a picture was dropped, by whichever stage; None where it got through."""
    drops = {stage: rows(project, f"drops/{stage}") for stage in ("crawl", "landmarks", "identity", "emotion", "align")}
    reasons = [found[name]["reason"] for found in drops.values() if name in found]
    assert len(reasons) + (name in rows(project, "align")) == 1, "kept once or dropped once"
    return reasons[0] if reasons else None


def test_every_picture_is_accounted_for(project: Path) -> None:
    metrics = {name: json.loads((project / f"metrics/{name}.json").read_text()) for name in ("crawl", "landmarks")}
    assert metrics["crawl"]["input"] == sum(map(len, (pictures.usable(), pictures.grey(), pictures.broken())))
    assert metrics["landmarks"]["input"] == metrics["crawl"]["kept"]
    assert not any("error" in found["reasons"] for found in metrics.values())


@pytest.mark.parametrize("name", pictures.broken())
def test_a_broken_picture_is_dropped_for_what_it_is(project: Path, name: str) -> None:
    assert fate(project, name) in pictures.broken()[name][1]


@pytest.mark.parametrize("name", pictures.usable())
def test_an_unusual_picture_is_found_the_same_face_in(project: Path, name: str) -> None:
    assert fate(project, name) is None
    plain, found = (np.array(rows(project, "landmarks")[one]["landmarks"]) for one in ("plain", name))
    if name in LOSSY:
        assert np.abs(found - plain).max() <= LOSSY_PX
    else:
        assert np.array_equal(found, plain)


def test_the_first_frame_is_the_picture_of_an_animation(project: Path) -> None:
    for name in ("animated_png", "animated_webp"):
        assert np.array_equal(decode(pictures.usable()[name], 10**6), pictures.face()), name


def test_all_eight_orientations_give_the_same_upright_picture(project: Path) -> None:
    kept, crawled = rows(project, "align"), rows(project, "crawl")
    assert {kept[name]["image_sha256"] for name in ORIENTED} == {kept["plain"]["image_sha256"]}
    height, width = pictures.face().shape[:2]
    assert {(crawled[name]["source_width"], crawled[name]["source_height"]) for name in ORIENTED} == {(width, height)}


@pytest.mark.parametrize("name", ["grey", "sixteen_bit_grey", "grey_alpha"])
def test_a_grey_picture_is_monochrome_however_it_is_stored(project: Path, name: str) -> None:
    assert fate(project, name) == "monochrome"


@pytest.mark.parametrize("name", ["one_bit", "palette", "animated_gif"])
def test_a_picture_of_few_colours_is_decoded_and_then_judged(project: Path, name: str) -> None:
    assert fate(project, name) in {None, "monochrome", "no_face", "shadow", "unsure_landmarks"}
    assert name in rows(project, "crawl")


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = decode(pictures.grey()["sixteen_bit_grey"], 10**6)
    colour = decode(pictures.usable()["sixteen_bit_colour"], 10**6)
    assert np.array_equal(colour, pictures.face())
    eight_bits = decode(pictures.saved(pictures.Image.fromarray(pictures.face()).convert("L"), "PNG"), 10**6)
    assert np.array_equal(grey, eight_bits)


def test_transparency_becomes_white() -> None:
    assert (decode(pictures.usable()["cut_out"], 10**6)[:40, :40] == 255).all()
