"""The weights registry: weights.toml as frozen dataclasses."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import ClassVar

from manifests.errors import UsageError

REGISTRY = Path(__file__).with_name("weights.toml")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # a name becomes part of a file name in the cache


@dataclass(frozen=True, slots=True)
class Https:
    """A file at a public address."""

    kind: ClassVar[str] = "https"
    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class _Member:
    """A file inside a distribution."""

    distribution: str
    version: str
    member: str


@dataclass(frozen=True, slots=True)
class Installed(_Member):
    """A data file of an installed distribution; the distribution is never imported."""

    kind: ClassVar[str] = "installed"

    def __str__(self) -> str:
        return f"{self.member} of the installed package {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Wheel(_Member):
    """One member of a wheel on the package index; the wheel is never installed."""

    kind: ClassVar[str] = "wheel"

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Local:
    """A file that ships with this project."""

    kind: ClassVar[str] = "local"
    path: str  # relative to the folder that holds the packages

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
        first = self.sources[0]
        published = first.url if isinstance(first, Https) else first.path if isinstance(first, Local) else first.member
        return PurePosixPath(published).name

    @property
    def terms(self) -> str:
        """What is printed at first use."""
        return f"{self.name}: licence: {self.licence}; restriction: {self.restriction}"


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
