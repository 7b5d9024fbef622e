"""What one request can come to, and what status, headers and exceptions mean by that; nothing is asked here."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from urllib.parse import urljoin

from urllib3 import exceptions as transport

from pipeline.crawl.content import Picture
from pipeline.crawl.deadline import DeadlinePassed, TooSlow
from pipeline.crawl.guard import NoRoute, PrivateAddress, SilentNameServer, UnknownHost
from pipeline.crawl.outcome import HTTP_ERROR, PASSING_STATUS
from pipeline.crawl.sources import BadAddress, canonical_url
from pipeline.stage import Drop

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOO_MANY, _UNAVAILABLE = 429, 503
_DIGITS = 18  # of a number in a header: a longer one is cut, and still too large


class Blame(Enum):
    """Who stands behind a passing fault: the page, the host, or perhaps our own network."""

    PAGE = "page"
    HOST = "host"  # it wants to be asked less
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Got:
    """A picture, and what a later conditional request can say of it."""

    picture: Picture
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The server says that its bytes are those of last time (304)."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A redirect, to a canonical address."""

    url: str


@dataclass(frozen=True, slots=True)
class Later:
    """A fault that may pass: the drop it makes if it does not, and the pause that the server asked for."""

    drop: Drop
    blame: Blame
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A small answer of any status, as bytes; cut off at the cap."""

    status: int
    body: bytes
    wait_s: float | None = None  # Retry-After


Answer = Got | Unchanged | Moved | Later | Drop

# What each exception means, the most special first: reason, words, and whom to blame where it may pass.
_MEANINGS: dict[type[Exception], tuple[str, str, Blame | None]] = {
    TooSlow: ("too_slow", "slower than `min_bytes_per_s`", None),
    DeadlinePassed: ("timeout", "no whole response before `deadline_s`", None),
    PrivateAddress: ("private_address", "the host has no public address; `allow_private` would permit it", None),
    UnknownHost: ("unknown_host", "no such host", None),
    SilentNameServer: ("silent_name_server", "the name server could not say", Blame.NETWORK),
    NoRoute: ("connection", "no connection, and no refusal", Blame.NETWORK),
    transport.SSLError: ("tls", "no trustworthy encrypted connection", None),
    transport.LocationValueError: ("bad_address", "not an address that can be asked for", None),
    transport.DecodeError: ("not_a_picture", "the body is not compressed as its header says", None),
    transport.NewConnectionError: ("connection", "no connection, or broken before the answer", Blame.PAGE),
    transport.TimeoutError: ("timeout", "silence for longer than `timeout_s`", Blame.PAGE),
    transport.HTTPError: ("connection", "no connection, or broken before the answer", Blame.PAGE),
    UnicodeError: ("bad_address", "not an address that can be asked for", None),
}

FAULTS: tuple[type[Exception], ...] = tuple(_MEANINGS)  # what a request raises
UNREACHED: tuple[type[Exception], ...] = (OSError, *_MEANINGS)  # what opening a connection raises


def meaning(error: Exception) -> Later | Drop:
    """What one of FAULTS means."""
    reason, words, blame = next(found for kind, found in _MEANINGS.items() if isinstance(error, kind))
    drop = Drop(reason, detail=words)
    return Later(drop, blame) if blame else drop


def moved(url: str, status: int, headers: Mapping[str, str]) -> Moved | Drop | None:
    """Where a redirect leads; None where the answer is none."""
    location = headers.get("Location") if status in _REDIRECTS else None
    if location is None:
        return None
    try:
        return Moved(canonical_url(urljoin(url, _as_utf8(location))))
    except (BadAddress, ValueError) as error:
        return Drop("bad_redirect", detail=str(error))


def _as_utf8(header: str) -> str:
    """A header that holds UTF-8, as many servers send it; http.client reads every header as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def refusal(status: int, headers: Mapping[str, str], max_wait_s: float) -> Later | Drop:
    """What a status other than 200 means."""
    drop = Drop(HTTP_ERROR, status, detail=f"HTTP status {status}")
    if status not in PASSING_STATUS:
        return drop
    wait_s = retry_after_s(headers)
    if wait_s is not None and wait_s > max_wait_s:
        drop = Drop(HTTP_ERROR, status, detail="the server asks for a longer pause than `max_wait_s`")
    asks_for_less = status == _TOO_MANY or (status == _UNAVAILABLE and wait_s is not None)
    return Later(drop, Blame.HOST if asks_for_less else Blame.PAGE, wait_s)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for, given as a number or a date; None where it says neither."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:_DIGITS])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def declared_bytes(headers: Mapping[str, str]) -> int | None:
    """Content-Length; None where it is absent or no number."""
    text = headers.get("Content-Length", "")[:_DIGITS]
    return int(text) if text.isdecimal() else None
