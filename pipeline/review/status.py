"""How far the review is: who did what, what is settled, what the next round must ask, who ends with too few."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.schema import WHITEN
from manifests.table import read_rows, shards
from pipeline.review import agreement, decisions, gold, reviewers
from pipeline.review.agreement import Agreement
from pipeline.review.decisions import Audit, Decision, Verdict
from pipeline.review.gold import Gold
from pipeline.review.people import Wanted
from pipeline.review.reviewers import Reviewer
from pipeline.stage import Row

_COLUMNS = ("identity_id", "name", "sample_id", "image_sha256")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one person stands."""

    identity_id: str
    name: str | None
    pictures: int  # whitened
    kept: int
    open: int  # nobody's word yet, or doubt; none where `most` are kept already


@dataclass(frozen=True, slots=True)
class Question:
    """A picture for the next round: what was said of it last."""

    identity_id: str
    sample_id: str
    said: dict[str, str]  # reviewer -> decision


@dataclass(frozen=True, slots=True)
class Status:
    """The whole review."""

    lines: int  # of the decisions file
    audit: Audit  # how many of them are about the pictures there are
    rounds: int
    pictures: int
    settled: int
    kept: int
    people: int
    people_ready: int  # with at least `least` kept
    people_over: int  # with more than `most` kept: the best by quality stay
    too_few: tuple[Standing, ...]  # who cannot reach `least` any more, whatever is said of the open pictures
    unseen: int  # open pictures that nobody has decided
    conflicts: tuple[Question, ...]
    unsure: tuple[Question, ...]
    answers: int  # known answers about the pictures there are
    agreement: Agreement
    reviewers: tuple[Reviewer, ...]

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON-like values."""
        return asdict(self)


def read(data: Path, review: Path, wanted: Wanted) -> Status:
    """The status of the whitened pictures under `data`. Raises Missing where there are none."""
    rows = [row for path in shards(data / WHITEN.name) for row in read_rows(path, _COLUMNS)]
    return status(rows, decisions.read(review / decisions.FILE), gold.read(review / gold.FILE), wanted)


def status(rows: Sequence[Row], decided: Sequence[Decision], answers: Sequence[Gold], wanted: Wanted) -> Status:
    """All figures; `rows` are the whitened pictures, `decided` the lines in file order."""
    shown = {row["sample_id"]: row["image_sha256"] for row in rows}
    known = gold.verdicts(answers, shown)
    settled = decisions.verdicts(decided, shown) | known
    persons = _persons(rows, settled, wanted.most)
    full = {person.identity_id for person in persons if person.kept >= wanted.most}
    asked = [row for row in rows if row["identity_id"] not in full]
    conflicts, unsure = _questions(asked, decided, settled)
    words = agreement.by_task(decided)
    people = {row["sample_id"]: row["identity_id"] for row in rows}
    right = {(answer.sample_id, answer.shown_sha256): answer.decision for answer in answers}
    return Status(
        lines=len(decided),
        audit=decisions.audit(decided, shown),
        rounds=max((decision.round for decision in decided), default=0),
        pictures=len(rows),
        settled=sum(verdict.decision != "unsure" for verdict in settled.values()),
        kept=sum(verdict.decision == "keep" for verdict in settled.values()),
        people=len(persons),
        people_ready=sum(person.kept >= wanted.least for person in persons),
        people_over=sum(person.kept > wanted.most for person in persons),
        too_few=tuple(person for person in persons if person.kept + person.open < wanted.least),
        unseen=sum(row["sample_id"] not in settled for row in asked),
        conflicts=conflicts,
        unsure=unsure,
        answers=len(known),
        agreement=agreement.measure(words),
        reviewers=reviewers.measure(words, people, right),
    )


def _persons(rows: Sequence[Row], settled: Mapping[str, Verdict], most: int) -> list[Standing]:
    """Everybody with a whitened picture, by id."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["identity_id"]].append(row)
    persons = []
    for identity_id, theirs in sorted(grouped.items()):
        words = [settled[row["sample_id"]].decision for row in theirs if row["sample_id"] in settled]
        kept = words.count("keep")
        open_ = len(theirs) - len(words) + words.count("unsure") if kept < most else 0
        persons.append(Standing(identity_id, theirs[0]["name"], len(theirs), kept, open_))
    return persons


def _questions(
    rows: Sequence[Row], decided: Sequence[Decision], settled: Mapping[str, Verdict]
) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """The pictures on which reviewers differ, and those of which nobody was sure."""
    doubted = {row["sample_id"]: row for row in rows if _is_unsure(settled.get(row["sample_id"]))}
    said: dict[str, list[Decision]] = defaultdict(list)
    for decision in decided:
        row = doubted.get(decision.sample_id)
        if row is not None and row["image_sha256"] == decision.shown_sha256:
            said[decision.sample_id].append(decision)
    questions = [
        Question(row["identity_id"], sample_id, _words(said[sample_id]))
        for sample_id, row in sorted(doubted.items(), key=lambda item: (item[1]["identity_id"], item[0]))
    ]
    differ = [len(set(question.said.values())) > 1 for question in questions]
    return (
        tuple(question for question, differs in zip(questions, differ, strict=True) if differs),
        tuple(question for question, differs in zip(questions, differ, strict=True) if not differs),
    )


def _is_unsure(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.decision == "unsure"


def _words(said: Sequence[Decision]) -> dict[str, str]:
    top = max((decision.round for decision in said), default=0)
    last = decisions.last_words(decision for decision in said if decision.round == top)
    return {name: decision.decision for name, decision in sorted(last.items())}
