"""One picture that one reviewer is asked about: the neutral row from which every export format is written."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from manifests.schema import REVIEW_TASKS

FILE = f"{REVIEW_TASKS.name}.parquet"  # beside the batches; it stays with whoever exported them
REASONS = (  # key on the page, what a decision holds, as shown
    ("b", "blurred", "Blurred"),
    ("p", "pose", "Not facing"),
    ("e", "expression", "Not neutral"),
    ("c", "cut", "Bad cut-out"),
    ("o", "covered", "Face covered"),
    ("t", "other", "Other"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """One picture one reviewer is asked about."""

    task_id: str  # the same for both reviewers of an overlap
    sample_id: str
    shown_sha256: str  # of the whitened picture's bytes (column image_sha256 of data/whiten)
    identity_id: str
    row_id: str
    round: int  # from 1
    suggested: str | None  # "keep" or "reject"; None when blind
    quality: float  # 0..1, what the automatic choice ranks by
    scores: tuple[tuple[str, str], ...]  # label, value as shown
    source: str  # "" when anonymous
    gold: bool  # a known answer exists (never shown to the reviewer)


def task_id(sample_id: str, shown_sha256: str, round_: int) -> str:
    """The name of a question: the picture as it was shown, and the round."""
    return hashlib.sha256(f"{sample_id}:{shown_sha256}:{round_}".encode()).hexdigest()[:16]


def table_path(out: Path) -> Path:
    """Where the table of all tasks of an export lies."""
    return out / FILE
