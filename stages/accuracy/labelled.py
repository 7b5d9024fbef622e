"""The labelled data and the labels made by eye, which belong to pictures by sha256."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import DataError

_LABELS = Path(__file__).with_name("labels")


@dataclass(frozen=True, slots=True)
class File:
    """A line of PROVENANCE.csv: a picture or a recording, where it lies, and what its source says of it."""

    path: Path
    sha256: str
    category: str  # faces, faces_odd, emotion, landmarks, segmentation, speech, vad
    identity: str
    label: str


def files(data: Path, *categories: str) -> Iterator[File]:
    """The files of some categories. Raises DataError without a usable PROVENANCE.csv."""
    listing = data / "PROVENANCE.csv"
    if not listing.is_file():
        raise DataError(f"{listing} is missing: it lists every file with sha256, category, identity and label")
    with listing.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            if line["category"] in categories:
                path = data / line["file"]
                yield File(path, line["sha256"], line["category"], line["identity"], line["label"])


def by_eye(name: str) -> dict[str, dict[str, str]]:
    """Labels made by eye (`labels/<name>.csv`) by the sha256 of the picture."""
    with (_LABELS / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return {line["sha256"]: line for line in csv.DictReader(stream)}
