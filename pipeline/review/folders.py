"""The folder of an export: only files of our own making are ever deleted from it, and none outlives its reason."""

import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from manifests.schema import REVIEW_TASKS, WHITEN
from manifests.storage import is_here
from manifests.table import expect, provenance, read_rows, shards, write_table
from pipeline.review.tasks import table_path

_DEFAULT = "review_batches"
_BATCH = re.compile(r"round\d+-batch\d{3,}-[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"\.?(index\.html|tasks\.(json|csv)|labels\.xml|samples\.json|metadata\.json)(\.\d+\.tmp)?")
_PICTURE = re.compile(r"\.?[0-9a-f]{32}o?\.jpg(\.\d+\.tmp)?")
_PICTURES = ("pictures", "data")


def default(data: Path) -> Path:
    """Where an export goes that is not told where: beside the shards; for those behind a URL, to the working folder."""
    return data / _DEFAULT if is_here(data) else Path(_DEFAULT)


def _batches(out: Path) -> Iterator[Path]:
    for path in sorted(out.iterdir()) if out.is_dir() else ():
        if _BATCH.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path


def _own(batch: Path) -> Iterator[tuple[str, Path]]:
    """Name within the batch, and place, of every file that an export could have written there."""
    for path in batch.iterdir():
        if _FILE.fullmatch(path.name):
            yield path.name, path
        elif path.name in _PICTURES and path.is_dir() and not path.is_symlink():
            yield from ((f"{path.name}/{one.name}", one) for one in path.iterdir() if _PICTURE.fullmatch(one.name))


def prune(out: Path, planned: Mapping[str, Set[str]]) -> int:
    """Delete what earlier exports wrote and `planned` (batch -> file names) does not hold; returns how many files.

    Pictures of people who asked to be removed go this way. What others put there stays.
    """
    deleted = 0
    for batch in _batches(out):
        for name, path in list(_own(batch)):
            if name not in planned.get(batch.name, ()):
                path.unlink()
                deleted += 1
        for folder in (*(batch / name for name in _PICTURES), batch):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
    return deleted


def withdraw(out: Path, present: Set[str]) -> list[str]:
    """Delete every batch that shows a picture whose sample id is not `present`; returns the names of these batches.

    A page cannot lose one picture and stay what its reviewer began. Raises DataError where the tasks table is broken.
    """
    table = table_path(out)
    expect(table, REVIEW_TASKS)
    rows = read_rows(table)
    gone = {row["batch"] for row in rows if row["sample_id"] not in present}
    if gone:
        # The table goes last: a call that is killed in between finds them again.
        prune(out, {path.name: {name for name, _ in _own(path)} for path in _batches(out) if path.name not in gone})
        write_table(table, REVIEW_TASKS, [row for row in rows if row["batch"] not in gone], provenance(table))
    return sorted(gone)


def withdraw_gone(data: Path) -> list[str]:
    """`withdraw` from the default folder what shows pictures that are no longer whitened ones."""
    if not table_path(default(data)).exists():
        return []
    rows = (row for shard in shards(data / WHITEN.name) for row in read_rows(shard, ["sample_id"]))
    return withdraw(default(data), {row["sample_id"] for row in rows})
