"""Who still needs a reviewer: each person's open pictures, read from the tables one shard at a time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from manifests.schema import WHITEN
from manifests.table import read_rows, shards
from pipeline.quality import quality
from pipeline.review import gold
from pipeline.review.decisions import Decision, Verdict, verdicts
from pipeline.review.gold import Gold
from pipeline.review.tasks import Task, task_id
from pipeline.stage import Row

Line = TypeVar("Line", Decision, Gold)

_SCORES = (  # column, label, format
    ("yaw_deg", "turn", "{:+.1f}°"),
    ("pitch_deg", "nod", "{:+.1f}°"),
    ("pupil_px", "pupils", "{:.0f} px"),
    ("p_neutral", "neutral", "{:.0%}"),
    ("sharpness", "sharpness", "{:.2f}"),
    ("edge_quality", "edge", "{:.2f}"),
    ("side", "side", "{:.0f} px"),
)
_FACTS = (
    *("identity_id", "name", "gender", "nationality", "row_id", "sample_id", "source", "image_sha256"),
    *(column for column, _, _ in _SCORES),
    "light_imbalance",  # quality reads it
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many pictures of each person the data set takes (`review` in params.yaml)."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Person:
    """One person as reviewers meet them."""

    identity_id: str
    name: str | None
    gender: str | None
    nationality: str | None
    kept: int  # pictures that reviewers have settled on keeping
    round: int  # from 1: one more than any open picture has been through
    seen: frozenset[str]  # reviewers who have spoken about an open picture
    urgency: int  # 0: reviewers differ or doubt; 1: looked at, too few kept; 2: not looked at; 3: enough kept
    tasks: tuple[Task, ...]  # the open pictures, best first
    golden: tuple[Task, ...] = ()  # the pictures whose answer is known: nobody need decide them


def is_open(verdict: Verdict | None) -> bool:
    """Whether a picture still needs somebody's word."""
    return verdict is None or verdict.decision == "unsure"


def _scores(row: Row) -> tuple[tuple[str, str], ...]:
    shown = [(label, form.format(row[column])) for column, label, form in _SCORES if row[column] is not None]
    return (("quality", f"{quality(row):.2f}"), *shown)


def _task(row: Row, round_: int, keep: bool, golden: bool) -> Task:
    return Task(
        task_id(row["sample_id"], row["image_sha256"], round_),
        row["sample_id"],
        row["image_sha256"],
        row["identity_id"],
        row["row_id"],
        round_,
        "keep" if keep else "reject",
        quality(row),
        _scores(row),
        row["source"],
        golden,
    )


def person(
    rows: Sequence[Row], said: Mapping[str, Sequence[Decision]], known: dict[str, Verdict], wanted: Wanted
) -> Person:
    """What there is to ask about one person.

    `rows` are all whitened pictures of that person; `said` holds by sample id the decisions about those pictures as
    they are now, and `known` the known answers. Somebody of whom `wanted.most` pictures are kept has no open ones: no
    more could be taken.
    """
    order = sorted(rows, key=lambda row: (-quality(row), row["row_id"]))
    shown = {row["sample_id"]: row["image_sha256"] for row in rows}
    settled = verdicts((one for each in said.values() for one in each), shown) | known
    kept = sum(verdict.decision == "keep" for verdict in settled.values())
    open_rows = [row for row in order if is_open(settled.get(row["sample_id"])) and kept < wanted.most]
    about_open = [one for row in open_rows for one in said.get(row["sample_id"], ())]
    round_ = 1 + max((one.round for one in about_open), default=0)
    best = {row["row_id"] for row in open_rows[: wanted.most - kept]}
    tasks = {row["row_id"]: _task(row, round_, row["row_id"] in best, row["sample_id"] in known) for row in order}
    about = order[0]
    return Person(
        about["identity_id"],
        about["name"],
        about["gender"],
        about["nationality"],
        kept=kept,
        round=round_,
        seen=frozenset(one.reviewer for one in about_open),
        urgency=_urgency(bool(about_open), bool(said), kept, wanted),
        tasks=tuple(tasks[row["row_id"]] for row in open_rows),
        golden=tuple(task for task in tasks.values() if task.gold),
    )


def _urgency(doubted: bool, looked_at: bool, kept: int, wanted: Wanted) -> int:
    if doubted:
        return 0
    if kept >= wanted.least:
        return 3
    return 1 if looked_at else 2


def read(data: Path, decided: Sequence[Decision], answers: Sequence[Gold], wanted: Wanted) -> Iterator[Person]:
    """Everybody with whitened pictures under `data`, in the order of the shards.

    Raises Missing where there are none.
    """
    said_of = _by_sample(decided)
    known_of = _by_sample(answers)
    for shard in shards(data / WHITEN.name):
        people: dict[str, list[Row]] = defaultdict(list)
        for row in read_rows(shard, _FACTS):
            people[row["identity_id"]].append(row)
        for rows in people.values():
            shown = {row["sample_id"]: row["image_sha256"] for row in rows}
            said = {
                name: current
                for name in shown
                if (current := [one for one in said_of.get(name, ()) if one.shown_sha256 == shown[name]])
            }
            known = gold.verdicts((answer for name in shown for answer in known_of.get(name, ())), shown)
            yield person(rows, said, known, wanted)


def _by_sample(lines: Iterable[Line]) -> dict[str, list[Line]]:
    grouped: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        grouped[line.sample_id].append(line)
    return grouped
