"""Pictures whose right answer is known: mixed into batches unmarked, they show how far a reviewer can be trusted."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import DataError
from pipeline.review.decisions import Verdict, faults_of, parse_lines, read_text

FILE = "gold.jsonl"
_NAMES = ("sample_id", "shown_sha256", "decision")


@dataclass(frozen=True, slots=True)
class Gold:
    """One known answer."""

    sample_id: str
    shown_sha256: str  # of the whitened picture it is about
    decision: str  # one of decisions.DECISIONS


def _gold_of(fields: Any) -> Gold | list[str]:
    """The answer that a JSON value holds, whatever else it says, or everything that is wrong with it."""
    known = {name: fields[name] for name in _NAMES if name in fields} if isinstance(fields, dict) else fields
    return faults_of(known, _NAMES) or Gold(**known)


def read(path: Path) -> tuple[Gold, ...]:
    """The known answers of a JSON Lines file, in order; an absent file holds none.

    Raises DataError naming every broken line at once, or where two lines answer differently.
    """
    if not path.exists():
        return ()
    answers = tuple(parse_lines(read_text(path), str(path), _gold_of))
    said: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in answers:
        said[one.sample_id, one.shown_sha256].add(one.decision)
    odd = [sample_id for (sample_id, _), words in said.items() if len(words) > 1]
    if odd:
        raise DataError(f"{path} has different answers about {len(odd)} pictures, such as sample {odd[0]}: leave one")
    return answers


def verdicts(answers: Iterable[Gold], shown: Mapping[str, str]) -> dict[str, Verdict]:
    """What holds for the pictures whose answer is known, whatever reviewers who were tested on them said."""
    return {
        one.sample_id: Verdict(one.decision, "known answer")
        for one in answers
        if shown.get(one.sample_id) == one.shown_sha256
    }
