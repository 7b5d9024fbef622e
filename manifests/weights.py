"""Weight files: where a verified copy of each lies, and the terms it comes under.

`path` never touches the network; `fetch` and `ensure` do, through `manifests.fetch`.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from manifests.errors import DataError, Missing, UsageError
from manifests.registry import Entry, Installed, Local, Wheel, entries, entry

__all__ = [
    "Progress", "Status", "digest", "ensure", "entries", "entry", "fetch", "fetch_command", "path", "verify",
]  # fmt: skip

_PACKAGES = Path(__file__).resolve().parent.parent  # what `local` paths are relative to


@dataclass(frozen=True, slots=True)
class Status:
    """What `verify` found."""

    name: str
    state: Literal["verified", "trusted on first use", "not yet trusted", "missing", "broken"]
    path: Path | None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the file can be used as it is."""
        return self.state not in ("missing", "broken")


class Progress(Protocol):
    """Who is told of notices (terms, a hash trusted on first use) and of bytes that arrived."""

    def say(self, text: str) -> None:
        """Print one line for people."""

    def advance(self, name: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` bytes (None: unknown) of one entry have arrived."""


def cache_folder() -> Path:
    """Where fetched files lie: `hqvox/weights` in the user's cache folder (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hqvox" / "weights"


def offline_folder() -> Path | None:
    """The folder that HQVOX_WEIGHTS names, looked in before anything else.

    Raises UsageError if it is absent or holds no registered file.
    """
    named = os.environ.get("HQVOX_WEIGHTS")
    if not named:
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise UsageError(f"HQVOX_WEIGHTS={named} is no folder; correct it or unset it")
    if not any((folder / one.file).is_file() for one in entries()):
        names = ", ".join(sorted(one.file for one in entries()))
        raise UsageError(f"HQVOX_WEIGHTS={named} holds none of the registered files ({names}); correct it or unset it")
    return folder


def path(name: str) -> Path:
    """A verified copy of the file, found without any network.

    Looked for in HQVOX_WEIGHTS, then installed packages and this project, then the cache folder. Raises Missing
    with the command that fetches it, and DataError where a copy is not the file that was registered or recorded.
    """
    one = entry(name)
    found = find(one)
    if found is None:
        raise Missing(f"weights {name} ({one.used_by}) are not on this machine; fetch them: {fetch_command(name)}")
    wrong = fault(one, found)
    if wrong:
        raise DataError(f"{found} is not {name}: {wrong}; remove that file, then: {fetch_command(name)}")
    return found


def digest(name: str) -> str:
    """The sha256 that identifies the weights: as registered, else of the trusted file. Raises as `path` does."""
    return entry(name).sha256 or sha256_of(path(name))


def verify(name: str) -> Status:
    """Look for one entry's file and check it; never raises for a missing or a wrong file."""
    one = entry(name)
    found = find(one)
    if found is None:
        return Status(name, "missing", None, fetch_command(name))
    wrong = fault(one, found)
    if wrong:
        return Status(name, "broken", found, wrong)
    if one.sha256:
        return Status(name, "verified", found)
    trusted = recorded(name)
    return Status(name, "trusted on first use" if trusted else "not yet trusted", found, sha256_of(found))


def ensure(names: Sequence[str], progress: Progress) -> None:
    """Have every named file present and verified, before networks run.

    Missing ones that a wheel on the package index holds are fetched. Raises Missing with one command for all the
    others. Terms are said at first use.
    """
    absent = [name for name in names if find(entry(name)) is None]
    manual = [name for name in absent if not any(isinstance(s, Wheel) for s in entry(name).sources)]
    if manual:
        raise Missing(f"weights {', '.join(manual)} are not on this machine; fetch them: {fetch_command(*manual)}")
    for name in names:
        if name in absent:
            fetch(name, progress)
        else:
            path(name)
            introduce(entry(name), progress)


def fetch(name: str, progress: Progress) -> Path:
    """Get one file from the first source that serves it, verified; nothing is fetched where it is present.

    Raises Missing when no source can be reached, DataError when what came is not the registered file.
    """
    from manifests.fetch import obtain

    one = entry(name)
    if find(one) is None:
        obtain(one, cache_folder() / one.file, progress)
    found = path(name)
    introduce(one, progress)
    return found


def introduce(one: Entry, progress: Progress) -> None:
    """At first use of a file: say its terms, and record its digest beside the cache.

    Raises UsageError where a digest that nobody registered cannot be recorded.
    """
    if recorded(one.name) is not None:
        return
    seen = digest(one.name)
    progress.say(one.terms)
    if one.sha256 is None:
        progress.say(f"{one.name}: no hash is registered; sha256 {seen} is trusted from now on")
    try:
        _write_record(one.name, seen)
    except OSError as error:
        if one.sha256 is None:
            raise UsageError(
                f"cannot record the sha256 of {one.name} ({error}); point XDG_CACHE_HOME to a writable folder"
            ) from error


def find(one: Entry) -> Path | None:
    """Where a copy lies, unchecked; None if nowhere."""
    offline = offline_folder()
    places = [offline / one.file] if offline else []
    for source in one.sources:
        if isinstance(source, Installed):
            places += _installed(source)
        elif isinstance(source, Local):
            places.append(_PACKAGES / source.path)
    places.append(cache_folder() / one.file)
    return next((place for place in places if place.is_file()), None)


def _installed(source: Installed) -> list[Path]:
    from importlib import metadata  # 30 ms that a command which needs no weights does not pay

    try:
        files = metadata.files(source.distribution) or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if str(file) == source.member]


def fault(one: Entry, file: Path) -> str | None:
    """What is wrong with a file, by what is registered or else was recorded at first use; None if nothing."""
    found = sha256_of(file)
    expected = one.sha256 or recorded(one.name)
    if expected is not None and found != expected:
        known = "registered" if one.sha256 else f"recorded at first use in {_record(one.name)}"
        return f"its sha256 is {found}; {known} is {expected}"
    if not found.startswith(one.sha256_prefix):
        return f"its sha256 is {found}; by its publisher's file name it begins {one.sha256_prefix}"
    return None


def sha256_of(file: Path) -> str:
    """Hex digest of a file, computed once per process while its size and time stay the same."""
    state = file.stat()
    return _sha256(file, state.st_size, state.st_mtime_ns)


@cache
def _sha256(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def recorded(name: str) -> str | None:
    """The digest recorded at first use on this machine, if any."""
    try:
        return _record(name).read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _record(name: str) -> Path:
    return cache_folder() / f"{name}.sha256"


def _write_record(name: str, seen: str) -> None:
    temporary = cache_folder() / f".{name}.{os.getpid()}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    temporary.write_text(f"{seen}\n", encoding="ascii")
    temporary.replace(_record(name))


def fetch_command(*names: str) -> str:
    """The command that fetches these entries."""
    return f"pipeline weights fetch {' '.join(names)}"
