"""The log of runs: one JSON line per event, for machines to read and for people to see what happened when."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from manifests import storage

FILE = "events.jsonl"


def folder_of(data: Path) -> Path:
    """Where runs on a data folder keep what is no data: beside it, or in the working folder for data behind a URL."""
    if storage.is_here(data):
        return data.parent / ".hqvox"
    return Path(".hqvox", *str(data.parent).replace(":", "").split("/"))


@dataclass(frozen=True, slots=True)
class Events:
    """The log as one stage writes it."""

    path: Path
    stage: str

    def add(self, event: str, **facts: Any) -> None:
        """Append a line: when, which stage, what, and the facts."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "stage": self.stage, "event": event}
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line | facts, default=str) + "\n")
