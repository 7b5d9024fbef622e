"""What people decided about pictures: read `review/decisions.jsonl`, check every line, and settle each picture.

The file is an input that people append to; nothing here ever writes it.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from manifests.errors import DataError

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


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not _SURROGATE.search(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_seconds(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9)


def _are_reasons(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(reason, str) for reason in value)


_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half characters that no file can hold

_FIELDS = {  # name: (check, what is expected, required)
    "task_id": (_is_text, "a text", True),
    "sample_id": (_is_text, "a text", True),
    "shown_sha256": (_is_sha256, "64 hexadecimal digits", True),
    "decision": (lambda value: value in DECISIONS, f"one of {', '.join(DECISIONS)}", True),
    "reviewer": (_is_text, "the reviewer's name", True),
    "round": (_is_whole, "a whole number from 1", True),
    "reasons": (_are_reasons, "a list of texts", False),
    "comment": (lambda value: isinstance(value, str), "a text", False),
    "seconds": (_is_seconds, "seconds, or null", False),
    "at": (_is_time, "an ISO 8601 time, or null", False),
}


def parse_line(line: str) -> Decision | list[str]:
    """The decision of one line, or everything that is wrong with it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return [f"not JSON: {error}"]
    if not isinstance(fields, dict):
        return [f"expected an object, found {type(fields).__name__}"]
    faults = [f"unknown field {name!r}" for name in fields if name not in _FIELDS]
    for name, (check, expected, required) in _FIELDS.items():
        if name not in fields:
            if required:
                faults.append(f"{name} is missing; expected {expected}")
        elif not check(fields[name]):
            faults.append(f"{name} is {fields[name]!r:.60}; expected {expected}")
    if faults:
        return faults
    return Decision(**{**fields, "reasons": tuple(fields.get("reasons", ()))})


def parse(text: str, name: str) -> list[Decision]:
    """All decisions of a JSONL text, in order; blank lines are skipped.

    Raises DataError naming every broken line of `name` at once.
    """
    decisions: list[Decision] = []
    faults: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        result = parse_line(line)
        if isinstance(result, Decision):
            decisions.append(result)
        else:
            faults.extend(f"  line {number}: {fault}" for fault in result)
    if faults:
        raise DataError(f"{name} has {len(faults)} faults; correct or remove these lines:\n" + "\n".join(faults))
    return decisions


@lru_cache(maxsize=2)
def _read(path: Path, _stamp: tuple[int, int]) -> tuple[Decision, ...]:
    try:
        return tuple(parse(path.read_text(encoding="utf-8-sig"), str(path)))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error


def read(path: Path) -> tuple[Decision, ...]:
    """The decisions of a file, read once per process while it does not change; an absent file holds none."""
    if not path.exists():
        return ()
    stat = path.stat()
    return _read(path, (stat.st_mtime_ns, stat.st_size))


def settle(decisions: Sequence[Decision]) -> Verdict:
    """What holds for one picture, given all decisions about it as it is now (at least one), in file order.

    Only the highest round counts. There, each reviewer's last line holds, and reviewers who differ make the
    picture `unsure`: another round must settle it.
    """
    top = max(decision.round for decision in decisions)
    last = {decision.reviewer: decision for decision in decisions if decision.round == top}
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
