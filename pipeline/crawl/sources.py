"""Where pictures come from: lists, folders and searches, as rows that name an address but hold no byte yet.

Every row has the columns identity_id, name, gender, nationality, row_id, source, licence and page; `fault` and
`fault_detail` say why an address will not be fetched (`bad_address`, `duplicate_address`, `over_per_identity`), and
are null otherwise.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from manifests.errors import DataError, Missing
from pipeline.crawl.lists import entries
from pipeline.identities import Identities
from pipeline.names import clean, row_id
from pipeline.stage import Row

_MAX_URL = 8000  # characters; longer ones are no addresses of pictures
_MAX_SHOWN = 500  # characters kept of a bad address
_MAX_FAULTS = 50  # printed; the rest is counted
# %2D - . %30-39 digits %41-5A A-Z %5F _ %61-7A a-z %7E ~
_ENCODED_PLAIN = re.compile("%(2D|2E|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class BadAddress(Exception):
    """Text that is no http(s) address; the message says why."""


def canonical_url(text: str) -> str:
    """The one spelling of an address: RFC 3986 normalisation, ASCII host, no default port, no fragment.

    Raises BadAddress.
    """
    text = text.strip()
    if not text:
        raise BadAddress("empty")
    if len(text) > _MAX_URL:
        raise BadAddress(f"{len(text)} characters; at most {_MAX_URL}")
    if any(ord(character) < 0x20 or character in "\x7f\\" for character in text):
        raise BadAddress("a control character or backslash")
    if "://" not in text:
        raise BadAddress("no scheme; expected http:// or https://")
    try:
        url = parse_url(text)
    except (LocationParseError, ValueError) as error:  # ValueError: half characters that UTF-8 cannot hold
        raise BadAddress("not an address by RFC 3986") from error
    if url.scheme not in _DEFAULT_PORTS:
        raise BadAddress(f"scheme {clean(url.scheme or '')[:20]!r}; expected http or https")
    if not url.host or not url.host.strip(".") or "%" in url.host:  # %: the zone of a link-local address
        raise BadAddress("no host that others can reach")
    if url.auth is not None:
        raise BadAddress("a user name or password in the address")
    port = None if url.port == _DEFAULT_PORTS[url.scheme] else url.port
    path, query = _plain(url.path or "/"), _plain(url.query)
    return Url(url.scheme, None, url.host.rstrip("."), port, path, query).url


def from_url_list(path: Path, identities: Identities) -> list[Row]:
    """The rows of a csv, tsv, jsonl or parquet list with identity_id, url and, optionally, licence and page.

    Raises Missing where the file is absent, DataError where it is no such list, with every fault.
    """
    if not path.is_file():
        raise Missing(f"no URL list at {path}: correct `crawl.urls`")
    rows, faults = [], []
    for place, entry in entries(path):
        person, address = str(entry.get("identity_id") or "").strip(), str(entry.get("url") or "")
        if not person:
            faults.append(f"{path}:{place}: no identity_id")
            continue
        row = _addressed(identities, person, address)
        rows.append(row | {key: clean(str(entry[key])) or None for key in ("licence", "page") if entry.get(key)})
    _raise_all(faults)
    return _named(rows)


def _addressed(identities: Identities, person: str, address: str) -> Row:
    """A row with its address in canonical form, or with the fault of it."""
    row = _row(identities, person, clean(address)[:_MAX_SHOWN])
    try:
        return row | {"source": canonical_url(address)}
    except BadAddress as error:
        return row | {"fault": "bad_address", "fault_detail": str(error)}


def _raise_all(faults: Sequence[str]) -> None:
    if faults:
        more = f"\n... and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise DataError("\n".join(faults[:_MAX_FAULTS]) + more)


def from_folder(folder: Path, identities: Identities) -> list[Row]:
    """One row per file of `<folder>/<identity>/*`, sorted; `source` is `<identity>/<file>`, percent-encoded.

    Raises Missing where the folder is absent.
    """
    return _named(_row(identities, file.parent.name, source_of(file.relative_to(folder))) for file in files_of(folder))


def from_people_lists(folder: Path, identities: Identities) -> list[Row]:
    """The rows of a folder with a text file for each person, named after the person, as VGGFace was published.

    A line is an address, or `id address left top right bottom pose score curation` (Parkhi et al. 2015). Raises
    Missing where the folder is absent, DataError with every line without an address.
    """
    if not folder.is_dir():
        raise Missing(f"no folder at {folder}: correct `crawl.people`")
    rows, faults = [], []
    for path in sorted(folder.glob("*.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
            address = next((word for word in line.split() if "://" in word), None)
            if address:
                rows.append(_addressed(identities, path.stem, address))
            elif line.strip():
                faults.append(f"{path}:{number}: no address")
    _raise_all(faults)
    return _named(rows)


def from_found(found: Iterable[tuple[str, str, str | None, str | None]], identities: Identities) -> list[Row]:
    """The rows of (identity_id, address, licence, page), such as a search gives."""
    return _named(
        _addressed(identities, person, address) | {"licence": licence, "page": page}
        for person, address, licence, page in found
    )


def at_most(rows: Sequence[Row], per_identity: int) -> list[Row]:
    """The rows, those beyond the first so many of a person being marked as not wanted."""
    counted: Counter[str] = Counter()
    limited = []
    for row in rows:
        counted[row["identity_id"]] += row["fault"] is None
        over = row["fault"] is None and counted[row["identity_id"]] > per_identity
        fault = {"fault": "over_per_identity", "fault_detail": f"the first {per_identity} of a person are asked for"}
        limited.append(row | fault if over else row)
    return limited


def files_of(folder: Path, direct: bool = False) -> list[Path]:
    """The files of `<folder>/<identity>/*`, and of `<folder>/*` where `direct`, sorted; hidden ones are left out."""
    if not folder.is_dir():
        raise Missing(f"no folder at {folder}: expected one with a folder of pictures for each identity")
    people = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [
        file
        for person in ([folder] if direct else []) + people
        for file in sorted(person.iterdir())
        if file.is_file() and not file.name.startswith(".")
    ]


def source_of(relative: Path) -> str:
    """A relative path as an ASCII address, whatever bytes its name holds."""
    return quote(os.fsencode(relative.as_posix()))


def file_of(folder: Path, source: str) -> Path | None:
    """The file that `source_of` named; None where it would lie outside the folder."""
    path = folder / os.fsdecode(unquote_to_bytes(source).replace(b"\0", b""))
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def _plain(part: str | None) -> str | None:
    """Spell out what need not be percent-encoded (RFC 3986, 6.2.2.2)."""
    return part and _ENCODED_PLAIN.sub(lambda match: chr(int(match[1], 16)), part)


def _row(identities: Identities, person: str, source: str) -> Row:
    found = identities.resolve(person)
    return {
        "identity_id": found.identity_id,
        "name": found.name,
        "gender": found.gender,
        "nationality": found.nationality,
        "source": source,
        "licence": None,
        "page": None,
        "fault": None,
        "fault_detail": None,
    }


def _named(rows: Iterable[Row]) -> list[Row]:
    """Give every row its row_id; a second listing of an address for one person becomes a fault of its own."""
    times: dict[str, int] = {}
    named = []
    for row in rows:
        first = row_id(row["identity_id"], row["source"])
        times[first] = times.get(first, 0) + 1
        if times[first] == 1:
            named.append(row | {"row_id": first})
            continue
        again = row_id(row["identity_id"], f"{row['source']}\n{times[first]}")
        fault = {} if row["fault"] else {"fault": "duplicate_address", "fault_detail": f"first listed as row {first}"}
        named.append(row | {"row_id": again} | fault)
    return named
