"""Add decisions to `review/decisions.jsonl`: each once, all of a call or none, safe on disk when it returns."""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from manifests.table import write_text
from pipeline.review.decisions import Decision, line, read

_ONE_WRITE = 4096  # bytes that a file system takes in one piece: what a key press on the page sends

Key = tuple[str, str, str, tuple[str, ...], str, float | None, str | None]
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the decisions given."""

    new: int
    duplicates: int  # were in the file already, or came twice


_remembered: dict[Path, tuple[_Stamp, set[Key]]] = {}  # else a server would read a growing file at every key press


def key(decision: Decision) -> Key:
    """What makes two lines the same act of the same person."""
    return (
        decision.task_id,
        decision.reviewer,
        decision.decision,
        decision.reasons,
        decision.comment,
        decision.seconds,
        decision.at,
    )


def append(path: Path, decisions: Iterable[Decision]) -> Appended:
    """Add the decisions that the file does not hold yet, in their order; other processes wait meanwhile.

    A killed call leaves the file as it was. Raises DataError where the file as it is cannot be read.
    """
    path = path.resolve()  # a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    given = list(decisions)
    with FileLock(path.with_name(f".{path.name}.lock")):
        known = _keys(path)
        fresh = {key(decision): decision for decision in given if key(decision) not in known}
        if fresh:
            _add(path, "".join(line(decision) + "\n" for decision in fresh.values()))
            known.update(fresh)
            _remembered[path] = (_stamp(path), known)
    return Appended(len(fresh), len(given) - len(fresh))


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _keys(path: Path) -> set[Key]:
    """The keys of all lines there are; read again only where somebody else has changed the file."""
    if not path.exists():
        return set()
    stamp = _stamp(path)
    if path not in _remembered or _remembered[path][0] != stamp:
        _remembered[path] = (stamp, {key(decision) for decision in read(path)})
    return _remembered[path][1]


def _add(path: Path, text: str) -> None:
    """Put whole lines behind those there are; one write where they are few, else a new file in the old one's place."""
    if not path.exists():
        write_text(path, text)
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read() not in (b"", b"\n"):  # an editor left the last line open
            text = "\n" + text
    data = text.encode()
    if len(data) <= _ONE_WRITE:
        _extend(path, data)
    else:
        write_text(path, path.read_bytes().decode() + text)


def _extend(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
