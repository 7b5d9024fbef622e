"""The yield of every stage: rows and people in, kept, and dropped by reason, counted from the tables themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.schema import MANIFEST
from manifests.table import read_table

_FINAL = "manifest"  # its kept rows are one file, not a folder of shards


@dataclass(frozen=True, slots=True)
class StageYield:
    """What one stage did to the rows it was given."""

    stage: str
    input: int
    kept: int
    people: int  # with at least one kept row
    reasons: dict[str, int]  # dropped rows by reason, the commonest first

    @property
    def share(self) -> float | None:
        """Kept rows as a share of the rows given; None where none were given."""
        return self.kept / self.input if self.input else None


def kept_files(data: Path, stage: str) -> list[Path]:
    """The files that hold a stage's kept rows; none where the stage has not run."""
    if stage == _FINAL:
        return [path for path in (data / f"{MANIFEST.name}.parquet",) if path.exists()]
    return sorted((data / stage).glob("part-*.parquet"))


def drop_files(data: Path, stage: str) -> list[Path]:
    """The files that hold a stage's dropped rows."""
    return sorted((data / "drops" / stage).glob("part-*.parquet"))


def stage_yield(data: Path, stage: str) -> StageYield | None:
    """One stage's yield; None where it has not run."""
    files = kept_files(data, stage)
    if not files:
        return None
    kept, people = 0, set[str]()
    for path in files:
        names = read_table(path, ["identity_id"]).column("identity_id")
        kept += len(names)
        people.update(names.unique().to_pylist())
    reasons: Counter[str] = Counter()
    for path in drop_files(data, stage):
        reasons.update(read_table(path, ["reason"]).column("reason").to_pylist())
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return StageYield(stage, kept + reasons.total(), kept, len(people), ordered)


def funnel(data: Path, stages: Sequence[str]) -> list[StageYield]:
    """The yields of the stages that have run, in order."""
    return [found for stage in stages if (found := stage_yield(data, stage)) is not None]
