"""A reader's own labels of people: what is read, what is refused, what is said to be missing; and the probe of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from manifests.errors import DataError
from models import metrics
from models.reproduction import people


def written(folder: Path, text: str) -> Path:
    file = folder / "people.csv"
    file.write_text(text, encoding="utf-8-sig")
    return file


def test_labels_are_read_by_identity_and_empty_cells_are_none(tmp_path: Path) -> None:
    found = people.read(
        written(tmp_path, "identity_id,age,ethnicity\nid1,34.5,Asian\nid2,,Black\nid3,66,\nid4,9,India\n")
    )
    assert found == {
        "age": {"id1": "30", "id3": "60", "id4": "10"},
        "age group": {"id1": "young", "id3": "elder", "id4": "young"},
        "ethnicity": {"id1": "Asian", "id2": "Black", "id4": "India"},
    }


def test_one_column_is_enough_and_the_other_is_missed(tmp_path: Path) -> None:
    found = people.read(written(tmp_path, "ethnicity,identity_id\nWhite,id1\n"))
    assert found == {"ethnicity": {"id1": "White"}}
    (told,) = people.absent(found)
    assert "column `age`" in told and "--people FILE, a CSV of columns identity_id,age" in told
    assert people.absent({"age": {}, "ethnicity": {}}) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found nothing"),
        ("identity_id,years\nid1,3\n", "found identity_id, years; expected columns identity_id and age or ethnicity"),
        ("person,age\nid1,3\n", "expected columns identity_id"),
        ("identity_id,age\nid1,old\n", r"people.csv:2: age 'old'"),
        ("identity_id,age\nid1,nan\n", "expected years, 0 to 130"),
        ("identity_id,age\nid1,1e9\n", "expected years, 0 to 130"),
        ('identity_id,age\n"id1,3\n', "no CSV of people"),
    ],
)
def test_another_table_is_a_data_error(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        people.read(written(tmp_path, text))


def test_a_file_that_is_no_text_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00identity_id")
    with pytest.raises(DataError, match="no CSV of people"):
        people.read(tmp_path / "x")


def test_the_probe_finds_planted_labels_and_leaves_unknown_people_out() -> None:
    rng = np.random.default_rng(0)
    kinds = ("a", "b", "c")
    labels = [kinds[n % 3] for n in range(90)]
    faces = torch.from_numpy(4 * np.eye(3, 8)[np.arange(90) % 3] + rng.normal(size=(90, 8)))
    faces[80:] = -100.0  # of people whose label nobody knows
    probe = metrics.LinearLabels(faces, [*labels[:80], *[None] * 10])
    assert probe.kinds == list(kinds)
    fresh = torch.from_numpy(4 * np.eye(3, 8)[np.arange(60) % 3] + rng.normal(size=(60, 8)))
    right = np.mean([found == kinds[n % 3] for n, found in enumerate(probe.of(fresh))])
    assert right > 0.9
