"""Labels of people that no manifest has, from a table of the reader's own: `models reproduce --people FILE`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from manifests.errors import DataError
from models.agreement import age_group, decade

COLUMNS = ("age", "ethnicity")
Labels = Mapping[str, Mapping[str, str]]  # by label, then by identity; `age` is in decades, `age group` AR-SPM's
_ID = "identity_id"
_OLDEST = 130  # years
_TOLD = 60  # characters of a cell


def read(path: Path) -> dict[str, dict[str, str]]:
    """The labels of a CSV with column `identity_id` and any of `age`, in years, and `ethnicity`; cells may be empty.

    Raises DataError for a file without these columns, and for an age that is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV of people: {error}") from error
    held = [name for name in COLUMNS if rows and name in rows[0]]
    if not held or _ID not in rows[0]:
        found = ", ".join(str(name)[:_TOLD] for name in rows[0]) if rows else "nothing"
        raise DataError(f"{path}: found {found}; expected columns {_ID} and {' or '.join(COLUMNS)}")
    labels: dict[str, dict[str, str]] = {name: {} for name in held}
    for number, row in enumerate(rows, 2):
        for name in held:
            if text := (row[name] or "").strip():
                labels[name][row[_ID]] = text
        if text := labels.get("age", {}).get(row[_ID], ""):
            years = _years(text, f"{path}:{number}")
            labels["age"][row[_ID]] = str(decade(years))
            labels.setdefault("age group", {})[row[_ID]] = age_group(years)
    return labels


def _years(text: str, where: str) -> float:
    try:
        years = float(text)
    except ValueError:
        years = -1.0
    if not 0 <= years <= _OLDEST:
        raise DataError(f"{where}: age {text[:_TOLD]!r}: expected years, 0 to {_OLDEST}")
    return years


def absent(labels: Labels, names: Sequence[str] = COLUMNS) -> tuple[str, ...]:
    """For each column that nobody supplied, that it is missing and how to supply it."""
    return tuple(
        f"column `{name}` of the people, which no manifest has: --people FILE, a CSV of columns {_ID},{name}"
        for name in names
        if name not in labels
    )
