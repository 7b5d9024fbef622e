"""Who the pictures and voices belong to: identities read from VoxCeleb metadata as published, or from a plain CSV."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from manifests.errors import DataError
from pipeline.names import clean, normalised, safe_id

_MAX_NAME = 200  # characters of a name that are kept
_GENDERS = {"m": "m", "male": "m", "f": "f", "female": "f", "": None}
_SETS = {"dev": "dev", "test": "test", "": None}
_MAX_FAULTS = 50  # printed; the rest is counted


@dataclass(frozen=True, slots=True)
class Identity:
    """One listed person; where a file does not say, the field is None."""

    identity_id: str
    name: str | None = None
    gender: str | None = None  # m or f
    nationality: str | None = None
    voxceleb_set: str | None = None  # dev or test
    partition: str | None = None  # vox1 or vox2
    position: int | None = None  # row in its metadata file, counted from 0: the paper splits by it


@dataclass(frozen=True)
class Identities:
    """All listed people by id; ask it who a folder, an id or a name belongs to."""

    people: Mapping[str, Identity]

    @cached_property
    def _ids_by_name(self) -> dict[str, tuple[str, ...]]:
        ids: dict[str, list[str]] = defaultdict(list)
        for identity_id in sorted(self.people):
            name = normalised(self.people[identity_id].name or "")
            if name:
                ids[name].append(identity_id)
        return {name: tuple(found) for name, found in ids.items()}

    def resolve(self, folder_or_name: str) -> Identity:
        """The listed person with this id or name; else an identity of the user's own, its id derived from the text."""
        identity_id = safe_id(folder_or_name)
        if identity_id in self.people:
            return self.people[identity_id]
        found = self._ids_by_name.get(normalised(folder_or_name))
        if found:
            return self.people[found[0]]
        return Identity(identity_id, _name(folder_or_name))

    @property
    def double_ids(self) -> tuple[tuple[str, ...], ...]:
        """Ids that belong to one person, for every person who has several."""
        return tuple(ids for ids in self._ids_by_name.values() if len(ids) > 1)

    @property
    def merged_people(self) -> int:
        """How many people the files make once those who share a name are counted once."""
        return len(self.people) - sum(len(ids) - 1 for ids in self.double_ids)


def figures(identities: Identities) -> dict[str, int]:
    """What `pipeline identities` prints: ids listed, of which set, with a name, and people after merging."""
    people = identities.people.values()
    return {
        "ids": len(identities.people),
        "vox1": sum(person.partition == "vox1" for person in people),
        "vox2": sum(person.partition == "vox2" for person in people),
        "dev": sum(person.voxceleb_set == "dev" for person in people),
        "test": sum(person.voxceleb_set == "test" for person in people),
        "with_name": sum(person.name is not None for person in people),
        "people_with_several_ids": len(identities.double_ids),
        "merged_people": identities.merged_people,
    }


def load(files: Sequence[Path]) -> Identities:
    """Read metadata files; one that lists a known id may fill in what is missing, but not contradict it.

    Raises DataError with every fault of every file.
    """
    people: dict[str, Identity] = {}
    faults: list[str] = []
    for path in files:
        seen: dict[str, int] = {}
        for line, person in _read(path, faults):
            if person.identity_id in seen:
                faults.append(f"{path}:{line}: {person.identity_id} again; first in line {seen[person.identity_id]}")
                continue
            seen[person.identity_id] = line
            known = people.get(person.identity_id, person)
            people[person.identity_id] = _merged(known, person, f"{path}:{line}", faults)
    if faults:
        more = f"\n... and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise DataError("identity metadata is not usable:\n" + "\n".join(faults[:_MAX_FAULTS]) + more)
    return Identities(people)


def _name(text: str) -> str | None:
    return clean(text)[:_MAX_NAME] or None


def _merged(known: Identity, other: Identity, where: str, faults: list[str]) -> Identity:
    for field in fields(Identity):
        ours, theirs = getattr(known, field.name), getattr(other, field.name)
        if ours is None:
            known = replace(known, **{field.name: theirs})
        elif theirs is not None and ours != theirs and field.name != "position":
            faults.append(f"{where}: {field.name} of {known.identity_id} is {theirs!r}; an earlier file says {ours!r}")
    return known


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns of a metadata file hold what, by header cells without case, spaces and underscores."""

    id: str
    name: str
    genders: tuple[str, ...]
    partition: str | None


_LAYOUTS = (
    _Layout("voxceleb1id", "vggface1id", ("gender",), "vox1"),
    _Layout("voxceleb2id", "name", ("gender", "genderx", "gendery"), "vox2"),
    _Layout("identityid", "name", ("gender",), None),
)


def _read(path: Path, faults: list[str]) -> Iterator[tuple[int, Identity]]:
    """Line number and identity of each usable row; what is not usable goes to `faults`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{path}: {error}")
        return
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        header = [re.sub(r"[\s_]+", "", cell).lower() for cell in next(reader, [])]
        layout = next((layout for layout in _LAYOUTS if layout.id in header), None)
        if layout is None:
            found = ", ".join(header) or "nothing"
            faults.append(f"{path}:1: no column `VoxCeleb1 ID`, `VoxCeleb2ID` or `identity_id`; found {found}")
            return
        position = 0
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
            person = _identity(row, layout, position, f"{path}:{reader.line_num}", faults)
            position += 1
            if person is not None:
                yield reader.line_num, person
    except csv.Error as error:
        faults.append(f"{path}:{reader.line_num}: {error}")


def _identity(row: Mapping[str, str], layout: _Layout, position: int, where: str, faults: list[str]) -> Identity | None:
    identity_id = row.get(layout.id, "")
    if not identity_id:
        faults.append(f"{where}: no identity id")
        return None
    gender = next((row[column].lower() for column in layout.genders if row.get(column)), "")
    if gender not in _GENDERS:
        faults.append(f"{where}: gender {gender!r}; expected m, f, male, female or nothing")
    part = row.get("set", "").lower()
    if part not in _SETS:
        faults.append(f"{where}: set {part!r}; expected dev, test or nothing")
    return Identity(
        safe_id(identity_id),
        _name(row.get(layout.name, "")),
        _GENDERS.get(gender),
        clean(row.get("nationality", ""))[:_MAX_NAME] or None,
        _SETS.get(part),
        layout.partition,
        position,
    )
