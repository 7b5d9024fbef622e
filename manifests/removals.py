"""The list of what must never come back: people, addresses and files, kept as salted hashes.

A JSON Lines file: a header with the salt, then one hash a line; an empty file removes nothing. It is an input of
crawl, voices and manifest, and is committed. The salt keeps ready-made tables of hashes from reading the list; it
does not hide an id from somebody who tries every known id, so treat the file as you would the request it came from.
"""

import json
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from pathlib import Path
from typing import Any

from manifests.errors import DataError, Missing, UsageError
from manifests.table import read_rows, write_text

FORMAT = "hq-vox removals 1"
REMOVED = "removed"  # the drop reason of what is on the list
KINDS = ("identity_id", "source", "sha256")
_HASH = re.compile(r"[0-9a-f]{64}")
_SALT = re.compile(r"[0-9a-f]{32,}")


@dataclass(frozen=True, slots=True)
class Removals:
    """Salted hashes of removed identities, sources (canonical addresses) and contents."""

    salt: str = ""
    hashes: frozenset[tuple[str, str]] = frozenset()  # (kind, hash)

    def blocks(self, identity_id: str | None = None, source: str | None = None, sha256: str | None = None) -> bool:
        """Whether any of the three, where given, is on the list."""
        if not self.hashes:
            return False
        given = zip(KINDS, (identity_id, source, sha256), strict=True)
        return any(
            value is not None and (kind, _digest(self.salt, kind, value)) in self.hashes for kind, value in given
        )


NOTHING = Removals()


def load(path: Path | None) -> Removals:
    """Read the list; without a path nothing is removed.

    Raises Missing where a list is named but absent, DataError with every broken line.
    """
    if path is None:
        return NOTHING
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise Missing(
            f"no removals list at {path}: restore the committed file, or start a list with `pipeline remove`"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a removals list: {error}") from error
    if not lines:
        return NOTHING
    header = _parsed(lines[0])
    salt = header.get("salt")
    if header.get("format") != FORMAT or not isinstance(salt, str) or not _SALT.fullmatch(salt):
        raise DataError(f"{path}:1: expected the header of a removals list, format {FORMAT!r} with a salt")
    hashes, faults = set(), []
    for number, line in enumerate(lines[1:], start=2):
        entry = _parsed(line)
        kind, digest = entry.get("kind"), entry.get("hash")
        if kind in KINDS and isinstance(digest, str) and _HASH.fullmatch(digest):
            hashes.add((str(kind), digest))
        else:
            faults.append(f"{path}:{number}: expected a kind ({', '.join(KINDS)}) and a hash of 64 hex digits")
    if faults:
        raise DataError("\n".join(faults))
    return Removals(salt, frozenset(hashes))


def add(
    path: Path, *, identity_id: str | None = None, source: str | None = None, sha256: str | None = None
) -> Removals:
    """Put what is given on the list, which is made with a new salt where it is absent; returns the list as it now is.

    `source` is the canonical address, as the `source` column holds it. The file is replaced in one step, and what is
    on it already is not added twice.
    """
    if sha256 is not None and not _HASH.fullmatch(sha256.lower()):
        raise UsageError(f"{sha256!r} is not a sha256: expected 64 hexadecimal digits")
    given = [(kind, value) for kind, value in zip(KINDS, (identity_id, source, sha256), strict=True) if value]
    if not given:
        raise UsageError("nothing to remove: give an identity id, a source or a sha256")
    if path.exists() and path.stat().st_size:
        known, text = load(path), path.read_text(encoding="utf-8")
    else:
        known = Removals(secrets.token_hex(16))
        text = _line({"format": FORMAT, "salt": known.salt})
    new = [(kind, _digest(known.salt, kind, value)) for kind, value in given]
    new = [entry for entry in new if entry not in known.hashes]
    if text and not text.endswith("\n"):
        text += "\n"
    write_text(path, text + "".join(_line({"kind": kind, "hash": digest}) for kind, digest in new))
    return Removals(known.salt, known.hashes | set(new))


def matches(removals: Removals, data: Path) -> int:
    """How many crawled or recorded rows under a data folder the list concerns."""
    columns = ("identity_id", "source", "sha256")
    files = [path for name in ("crawl", "voices") for path in sorted((data / name).glob("part-*.parquet"))]
    return sum(removals.blocks(*(row[c] for c in columns)) for path in files for row in read_rows(path, columns))


def _digest(salt: str, kind: str, value: str) -> str:
    text = value.lower() if kind == "sha256" else value
    return _sha256(f"{salt}\n{kind}\n{text}".encode()).hexdigest()


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _line(entry: dict[str, str]) -> str:
    return json.dumps(entry) + "\n"
