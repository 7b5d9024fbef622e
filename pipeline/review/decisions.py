"""What people decided about pictures: read `review/decisions.jsonl`, check every line, and settle each picture.

The file is an input of `dvc repro`; only `importer.append` adds to it.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from manifests.errors import DataError

T = TypeVar("T")

FILE = "decisions.jsonl"
DECISIONS = ("keep", "reject", "wrong_person", "unsure")


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the file: what one reviewer said about one picture, as it was shown."""

    task_id: str
    sample_id: str
    shown_sha256: str  # of the whitened picture that was on the screen
    decision: str  # one of DECISIONS
    reviewer: str
    round: int  # from 1; a later round settles the conflicts of the one before
    reasons: tuple[str, ...] = ()
    comment: str = ""
    seconds: float | None = None  # spent on this picture
    at: str | None = None  # ISO 8601


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds for one picture after all its decisions were weighed; `unsure` also stands for a conflict."""

    decision: str
    by: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """How many decisions fit the pictures there are now."""

    current: int
    stale: int  # the picture has changed since it was shown
    unknown: int  # no such picture any more


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def _is_time(value: Any) -> bool:
    if value is None:
        return True
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_any_text(value: Any) -> bool:
    return isinstance(value, str) and not _SURROGATE.search(value)


def _is_text(value: Any) -> bool:
    return _is_any_text(value) and bool(value.strip())


def _is_round(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_ROUNDS


def _is_seconds(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9)


def _are_reasons(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_any_text, value))


_FAULTS_SHOWN = 20
_MOST_ROUNDS = 999  # the next round must fit in the column of the tasks table
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half characters that no file can hold

_FIELDS = {  # name: (check, what is expected, required)
    "task_id": (_is_text, "a text", True),
    "sample_id": (_is_text, "a text", True),
    "shown_sha256": (_is_sha256, "64 hexadecimal digits", True),
    "decision": (lambda value: value in DECISIONS, f"one of {', '.join(DECISIONS)}", True),
    "reviewer": (_is_text, "the reviewer's name", True),
    "round": (_is_round, f"a whole number from 1 to {_MOST_ROUNDS}", True),
    "reasons": (_are_reasons, "a list of texts", False),
    "comment": (_is_any_text, "a text", False),
    "seconds": (_is_seconds, "seconds, or null", False),
    "at": (_is_time, "an ISO 8601 time, or null", False),
}


def faults_of(fields: Any, names: Collection[str] = tuple(_FIELDS)) -> list[str]:
    """Everything that is wrong with a JSON value as a line that has these fields."""
    if not isinstance(fields, dict):
        return [f"expected an object, found {type(fields).__name__}"]
    faults = [f"unknown field {name!r:.60}" for name in fields if name not in names]
    for name in names:
        check, expected, required = _FIELDS[name]
        if name not in fields:
            if required:
                faults.append(f"{name} is missing; expected {expected}")
        elif not check(fields[name]):
            faults.append(f"{name} is {fields[name]!r:.60}; expected {expected}")
    return faults


def decision_of(fields: Any) -> Decision | list[str]:
    """The decision that a JSON value holds, or everything that is wrong with it."""
    return faults_of(fields) or Decision(**{**fields, "reasons": tuple(fields.get("reasons", ()))})


def line(decision: Decision) -> str:
    """The line of the file that holds a decision; `parse` reads it back as it was."""
    return json.dumps({field: getattr(decision, field) for field in _FIELDS}, ensure_ascii=False)


def parse_lines(text: str, name: str, build: Callable[[Any], T | list[str]]) -> list[T]:
    """What `build` makes of each line's JSON value, in order; blank lines are skipped.

    Raises DataError naming the broken lines of `name` at once.
    """
    found: list[T] = []
    faults: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            result = build(json.loads(line))
        except (ValueError, RecursionError) as error:
            cut = "; the file ends within this line: was it cut off?" if number == len(lines) else ""
            result = [f"not JSON: {error}{cut}"]
        if isinstance(result, list):
            faults.extend(f"  line {number}: {fault}" for fault in result)
        else:
            found.append(result)
    if faults:
        raise DataError(broken(name, faults))
    return found


def broken(name: str, faults: Sequence[str]) -> str:
    """The words of an error about a file with these faults: as many of them as one reads."""
    more = [f"  and {len(faults) - _FAULTS_SHOWN} more"] if len(faults) > _FAULTS_SHOWN else []
    shown = "\n".join([*faults[:_FAULTS_SHOWN], *more])
    return f"{name} has {len(faults)} faults; correct or remove these:\n{shown}"


def parse(text: str, name: str) -> list[Decision]:
    """All decisions of a JSONL text. Raises DataError naming the broken lines of `name` at once."""
    return parse_lines(text, name, decision_of)


def read_text(path: Path) -> str:
    """A text file that a person or their tools may have saved. Raises DataError unless it is UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error


@lru_cache(maxsize=2)
def _read(path: Path, _stamp: tuple[int, int]) -> tuple[Decision, ...]:
    return tuple(parse(read_text(path), str(path)))


def read(path: Path) -> tuple[Decision, ...]:
    """The decisions of a file, read once per process while it does not change; an absent file holds none."""
    if not path.exists():
        return ()
    stat = path.stat()
    return _read(path, (stat.st_mtime_ns, stat.st_size))


def last_words(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Reviewer -> what they said last about one picture, given their lines in file order.

    Files are imported in any order, so time decides; the place in the file where either line has no time.
    """
    last: dict[str, Decision] = {}
    for decision in decisions:
        before = last.get(decision.reviewer)
        if before is None or before.at is None or decision.at is None or time_of(before.at) <= time_of(decision.at):
            last[decision.reviewer] = decision
    return last


def time_of(at: str) -> datetime:
    """The moment a decision was made; without a time zone it is taken as UTC."""
    time = datetime.fromisoformat(at)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def settle(decisions: Sequence[Decision]) -> Verdict:
    """What holds for one picture, given all decisions about it as it is now (at least one), in file order.

    Only the highest round counts. There, each reviewer's last word holds, and reviewers who differ make the
    picture `unsure`: another round must settle it.
    """
    top = max(decision.round for decision in decisions)
    last = last_words(decision for decision in decisions if decision.round == top)
    reviewers = ", ".join(sorted(last))
    words = {decision.decision for decision in last.values()}
    if len(words) > 1:
        return Verdict("unsure", reviewers, ("reviewers differ",))
    reasons = sorted({reason for decision in last.values() for reason in decision.reasons})
    return Verdict(words.pop(), reviewers, tuple(reasons))


def verdicts(decisions: Iterable[Decision], shown: Mapping[str, str]) -> dict[str, Verdict]:
    """sample_id -> what holds, for the pictures in `shown` (sample_id -> sha256 of the picture as it is now).

    Stale decisions, made about a picture that has changed since, do not count.
    """
    current: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        if shown.get(decision.sample_id) == decision.shown_sha256:
            current[decision.sample_id].append(decision)
    return {sample_id: settle(said) for sample_id, said in current.items()}


def audit(decisions: Iterable[Decision], shown: Mapping[str, str]) -> Audit:
    """Count the decisions that fit, are stale or are about pictures unknown here."""
    fits = [shown[d.sample_id] == d.shown_sha256 if d.sample_id in shown else None for d in decisions]
    return Audit(current=fits.count(True), stale=fits.count(False), unknown=fits.count(None))
