"""The measures of the identity stage, on planted faces and on a few drawn people."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.accuracy import people
from stages.accuracy.finding import Finding, Unmeasured
from stages.accuracy.people import Shown, drawn, of_drawn, of_real, planted


def row(name: str, who: int, take: int) -> dict[str, Any]:
    """A scored picture: people lie 1.1 apart, takes of one person 0.3, no two pictures are copies."""
    rng = np.random.default_rng([who, take])
    point = rng.normal(0, 0.21 / np.sqrt(128), 128)
    point[who] += 0.78
    code = rng.bytes(48)
    prints = {
        "phash": code[:8],
        "dhash": code[8:16],
        "face_hash": code[16:],
        "embedding": point.astype("<f4").tobytes(),
    }
    return {"identity_id": name, "pupil_px": 60.0, "sharpness": 0.5} | prints


def crowd(people_: int, takes: int) -> list[dict[str, Any]]:
    return [row(f"p{who:02d}", who, take) for who in range(people_) for take in range(takes)]


def test_every_kind_is_counted_for_itself() -> None:
    """One neutral picture of ten, no smile, one of two scowls and every wrong person are somebody else's."""
    shown = [Shown(one, "neutral") for one in crowd(3, 3)] + [Shown(row("p00", 77, 0), "neutral")]
    shown += [
        Shown(row("p01", 1, 10), "smile"),
        Shown(row("p01", 1, 11), "scowl"),
        Shown(row("p01", 78, 0), "surprise"),
    ]
    shown += [
        Shown(row("p02", 2, 12), "double"),
        Shown(row("p02", 79, 0), "stranger"),
        Shown(row("p02", 0, 9), "listed"),
    ]
    found = {finding.what.split(" taken")[0]: finding for finding in of_drawn(shown)}
    assert [(finding.figure.value, finding.count) for finding in found.values()] == [
        (0.1, 10), (0.0, 1), (0.5, 2), (0.0, 1), (1.0, 1), (1.0, 1)
    ]  # fmt: skip
    assert found["other listed people found"].note == "another_person 1"


def test_a_stage_that_keeps_everything_finds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "fates", lambda rows, limits: ["kept"] * len(rows))
    assert set(planted(crowd(6, 4), listed=True)) == {"kept"}


@pytest.mark.parametrize(("listed", "said"), [(True, {"another_person"}), (False, {"not_the_person"})])
def test_planted_pictures_of_people_far_apart_are_all_found(listed: bool, said: set[str]) -> None:
    told = planted(crowd(6, 4), listed)
    assert set(told) == said
    assert len(told) == (60 if listed else 30)


def test_without_people_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "PROVENANCE.csv").write_text("file,sha256,category,identity,label\n")
    assert [type(one) for one in of_real(tmp_path)] == [Unmeasured]


def test_drawn_people_are_the_same_again_and_of_every_kind() -> None:
    first, again = drawn(5, 2), drawn(5, 2)
    assert first == again
    assert {"neutral", "smile", "stranger", "listed"} <= {one.kind for one in first}
    assert {one.scores["identity_id"] for one in first} == {"id90000", "id90001"}


@pytest.mark.slow
def test_on_drawn_people_wrong_ones_are_found_and_doubles_keep_their_pictures() -> None:
    found = [finding for finding in of_drawn(drawn(6, 24)) if isinstance(finding, Finding)]
    neutral, smiles, odd, doubles, strangers, listed = (finding.figure.value for finding in found)
    assert neutral == doubles == 0.0
    assert smiles <= 0.05
    assert odd <= 0.15
    assert strangers >= 0.6
    assert listed >= 0.7
