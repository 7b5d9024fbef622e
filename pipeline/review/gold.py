"""Pictures whose right answer is known: mixed into batches unmarked, they show how far a reviewer can be trusted."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import DataError
from pipeline.review.decisions import DECISIONS, Verdict

FILE = "gold.jsonl"


@dataclass(frozen=True, slots=True)
class Gold:
    """One known answer."""

    sample_id: str
    shown_sha256: str  # of the whitened picture it is about
    decision: str  # one of decisions.DECISIONS


def _parsed(line: str) -> Gold | str:
    """The answer of one line, or what is wrong with it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    names = ("sample_id", "shown_sha256", "decision")
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in names):
        return f"expected an object with the texts {', '.join(names)}"
    if fields["decision"] not in DECISIONS:
        return f"decision is {fields['decision']!r:.60}; expected one of {', '.join(DECISIONS)}"
    return Gold(*(fields[name] for name in names))


def read(path: Path) -> tuple[Gold, ...]:
    """The known answers of a JSON Lines file, in order; an absent file holds none.

    Raises DataError naming every broken line at once.
    """
    if not path.exists():
        return ()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    found = [(number, _parsed(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    faults = [f"  line {number}: {fault}" for number, fault in found if isinstance(fault, str)]
    if faults:
        raise DataError(f"{path} has {len(faults)} faults; correct or remove these lines:\n" + "\n".join(faults))
    return tuple(answer for _, answer in found if isinstance(answer, Gold))


def verdicts(answers: Iterable[Gold], shown: Mapping[str, str]) -> dict[str, Verdict]:
    """What holds for the pictures whose answer is known, whatever reviewers who were tested on them said."""
    return {
        one.sample_id: Verdict(one.decision, "known answer")
        for one in answers
        if shown.get(one.sample_id) == one.shown_sha256
    }
