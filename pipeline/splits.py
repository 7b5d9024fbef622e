"""Put each person into train, val or test; nobody is in two, under whatever ids, and newcomers move nobody."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manifests.errors import DataError
from manifests.validate import SPLITS
from pipeline.identities import Identities, Identity
from pipeline.names import normalised

_SHOWN = 5  # examples named in an error


@dataclass(frozen=True, slots=True)
class Fractions:
    """Shares of people; which hash they fall by is decided by `seed`."""

    val: float  # of all people; in split `voxceleb`, of the people of VoxCeleb's dev set
    test: float  # of all people; in split `voxceleb` and `paper` the rule itself says who
    seed: int


def person_key(identity_id: str, name: str | None) -> str:
    """What ids of one person share: the normalised name, else the id itself."""
    return normalised(name or "") or identity_id


def _uniform(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on the person and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big") / 2**64


def by_hash(key: str, fractions: Fractions) -> str:
    """Split by seeded hash alone."""
    place = _uniform(key, fractions.seed)
    if place < fractions.test:
        return "test"
    return "val" if place < fractions.test + fractions.val else "train"


def by_paper(position: int) -> str:
    """The SF2F authors' rule: row i of a metadata file, counted from 0; i mod 10 = 8 is test, 9 is val."""
    return {8: "test", 9: "val"}.get(position % 10, "train")


def by_voxceleb(voxceleb_set: str, key: str, fractions: Fractions) -> str:
    """VoxCeleb's own test set, and a hashed share of its dev set as val."""
    if voxceleb_set == "test":
        return "test"
    return "val" if _uniform(key, fractions.seed) < fractions.val else "train"


def _of_listed(rule: str, key: str, person: Identity, fractions: Fractions) -> str | None:
    """The split of one listed id; None where its metadata does not say what the rule needs."""
    if rule == "paper":
        return None if person.position is None else by_paper(person.position)
    return None if person.voxceleb_set is None else by_voxceleb(person.voxceleb_set, key, fractions)


def assign(names: Mapping[str, str | None], identities: Identities, rule: str, fractions: Fractions) -> dict[str, str]:
    """identity_id -> split, for the ids in `names` (identity_id -> name).

    `rule` is `voxceleb`, `paper` or `hash`. Someone whose ids fall into several splits gets the strictest (test,
    then val), judged over every listed id, present or not, so that a person's split never depends on who else is
    there. Raises DataError where the rule needs metadata that some ids do not have.
    """
    keys = {identity_id: person_key(identity_id, name) for identity_id, name in names.items()}
    if rule == "hash":
        return {identity_id: by_hash(key, fractions) for identity_id, key in keys.items()}
    found: dict[str, set[str]] = defaultdict(set)
    for person in identities.people.values():
        key = person_key(person.identity_id, person.name)
        split = _of_listed(rule, key, person, fractions)
        if split is not None:
            found[key].add(split)
    _require(sorted(identity_id for identity_id, key in keys.items() if key not in found), rule)
    return {identity_id: _strictest(found[key]) for identity_id, key in keys.items()}


def _strictest(splits: Iterable[str]) -> str:
    return max(splits, key=SPLITS.index)  # they are listed from the loosest to the strictest


def _require(absent: list[str], rule: str) -> None:
    if absent:
        needs = "a row in a metadata file" if rule == "paper" else "VoxCeleb's dev or test set in a metadata file"
        raise DataError(
            f"manifest.split: {rule} needs {needs}; {len(absent)} people have none (such as "
            f"{', '.join(absent[:_SHOWN])}): name the files in manifest.metadata, or choose `split: hash`"
        )
