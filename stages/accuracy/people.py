"""Whether the identity stage knows whose a face is: pictures of drawn and of real people, some under a wrong name."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.images import encode_jpeg
from pipeline.stage import Row
from pipeline.world.defects import STRANGERS
from pipeline.world.faces import photograph
from pipeline.world.scene import EXPRESSIONS, Expression, Scene, draw_scene
from pipeline.world.traits import Person, double_of, draw_person, listed_person
from stages import identity, landmarks
from stages.accuracy.fates import fates, scored
from stages.accuracy.finding import Aim, Finding, Unmeasured, share
from stages.accuracy.labelled import files
from stages.accuracy.photographs import usable
from stages.accuracy.scored import KEPT, decision, score_bytes

_STAGE = "identity"
_SEED = 31
_PEOPLE = 60  # drawn, five of them doubles of the one before
_TAKES: Final[dict[Expression, int]] = {"neutral": 6, "smile": 2, "surprise": 2, "scowl": 2}  # pictures of each
_ROUNDS = 10  # in each of which every real person gets a picture of somebody else
_SOMEBODY_ELSE = {"another_person", "not_the_person", "like_a_stranger"}
_QUALITY = 90  # JPEG


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as the stage has scored it, and what it truly is."""

    scores: Row
    kind: str


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Drawn people with strangers and doubles among them, then real people with others' pictures."""
    yield from of_drawn(drawn(_SEED, _PEOPLE))
    yield from of_real(data)


def drawn(seed: int, people: int) -> list[Shown]:
    """Every person with each expression, and among their pictures a stranger's and one of somebody else listed.

    What the landmarks stage drops by its default limits never comes so far.
    """
    found = []
    for index in range(people):
        rng = np.random.default_rng([seed, index])
        person = listed_person(seed, index)
        doubles = double_of(index) is not None or double_of(index + 1) == index
        for expression in EXPRESSIONS:
            kind = "double" if doubles and expression == "neutral" else expression
            for _ in range(_TAKES[expression]):
                found += _taken(person, replace(draw_scene(rng), expression=expression), person, kind)
        found += _taken(draw_person(seed, STRANGERS + index), draw_scene(rng), person, "stranger")
        found += _taken(listed_person(seed, (index + people // 2) % people), draw_scene(rng), person, "listed")
    return found


def _taken(person: Person, scene: Scene, under: Person, kind: str) -> list[Shown]:
    data = encode_jpeg(photograph(person, scene).pixels, _QUALITY)
    seen = score_bytes(data)
    if seen["fault"] is not None or decision(seen, landmarks.Limits()) != KEPT:
        return []
    return [Shown(scored(data, seen, under.person_id), kind)]


def of_drawn(shown: Sequence[Shown]) -> Iterator[Finding]:
    """Own pictures that are taken for somebody else's, and somebody else's that are found."""
    told = fates([one.scores for one in shown], identity.Limits())
    of = {one.kind: [fate for other, fate in zip(shown, told, strict=True) if other.kind == one.kind] for one in shown}
    yield _lost("neutral faces taken for somebody else's", "drawn pictures", of["neutral"], 0.005)
    yield _lost("smiles taken for somebody else's", "drawn pictures", of["smile"], 0.01)
    yield _lost("surprise and scowls taken for somebody else's", "drawn pictures", of["surprise"] + of["scowl"], 0.05)
    yield _lost("neutral faces of doubles taken for somebody else's", "drawn pictures", of["double"], 0.01)
    yield _found("strangers found", "drawn pictures, one under each name", of["stranger"], 0.8)
    yield _found("other listed people found", "drawn pictures, one under each name", of["listed"], 0.8)


def _lost(what: str, on: str, fates_: Sequence[str], most: float | None) -> Finding:
    return _taken_for_others(what, on, fates_, None if most is None else Aim("<=", most))


def _found(what: str, on: str, fates_: Sequence[str], least: float) -> Finding:
    return _taken_for_others(what, on, fates_, Aim(">=", least))


def _taken_for_others(what: str, on: str, fates_: Sequence[str], aim: Aim | None) -> Finding:
    told = Counter(fate for fate in fates_ if fate in _SOMEBODY_ELSE)
    note = ", ".join(f"{reason} {count}" for reason, count in sorted(told.items()))
    return Finding(_STAGE, what, on, len(fates_), share(told.total(), len(fates_)), aim=aim, note=note)


def of_real(data: Path) -> Iterator[Finding | Unmeasured]:
    """Real photographs under the names of their folders, then some under others'."""
    folders = {file.sha256: file.identity for file in files(data, "faces")}
    rows = [scored(photo.path.read_bytes(), photo.scores, folders[photo.sha256]) for photo in usable(data)]
    counts = Counter(row["identity_id"] for row in rows)
    rows = [row for row in rows if counts[row["identity_id"]] >= identity.Limits().min_agreeing]
    if len({row["identity_id"] for row in rows}) < 2:
        yield Unmeasured(_STAGE, "real people told apart", "the data has no people with several photographs in faces/")
        return
    on = "photographs of people with at least three; folders of web searches among them"
    yield _lost("photographs taken for somebody else's", on, fates(rows, identity.Limits()), None)
    yield _found("other listed people found", "planted photographs", planted(rows, listed=True), 0.95)
    yield _found("strangers found", "planted photographs", planted(rows, listed=False), 0.95)


def planted(rows: Sequence[Row], listed: bool) -> list[str]:
    """What becomes of pictures under a wrong name, whose own person is listed or is not."""
    found = []
    names = sorted({row["identity_id"] for row in rows})
    for number in range(_ROUNDS):
        rng = np.random.default_rng(number)
        mixed = rng.permutation(names).tolist()
        further, half = 1 + number % (len(mixed) - 1), len(mixed) // 2
        hosts = mixed if listed else mixed[:half]
        guests = [*mixed[further:], *mixed[:further]] if listed else mixed[half:]
        there = [row for row in rows if row["identity_id"] in hosts]
        wrong = [_one_of(rows, guest, rng) | {"identity_id": host} for host, guest in zip(hosts, guests, strict=False)]
        found += fates([*there, *wrong], replace(identity.Limits(), drop_shared=False))[len(there) :]
    return found


def _one_of(rows: Sequence[Row], name: str, rng: np.random.Generator) -> Row:
    own = [row for row in rows if row["identity_id"] == name]
    return own[int(rng.integers(len(own)))]
