"""Ask a stranger's server for one picture, once: strict about size, time and where it connects.

What may be asked, when, and how often is decided elsewhere (`pipeline.crawl.schedule`); here one request is made and
its answer named.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from importlib.metadata import version
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import certifi
from urllib3 import Timeout
from urllib3 import exceptions as transport
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from manifests.settings import Count, MoreThanZero, NotNegative, Positive
from pipeline.crawl.content import Picture, look
from pipeline.crawl.guard import (
    DeadlinePassed,
    Guard,
    NoRoute,
    PrivateAddress,
    SilentNameServer,
    TooSlow,
    UnknownHost,
    guarded_pools,
)
from pipeline.crawl.optout import opted_out
from pipeline.crawl.outcome import HTTP_ERROR, OPTED_OUT, PASSING_STATUS
from pipeline.crawl.sources import BadAddress, canonical_url
from pipeline.stage import HOW, Drop

ROBOT = "HQ-Vox"  # our name in robots.txt and X-Robots-Tag
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK, _NOT_MODIFIED, _TOO_MANY, _UNAVAILABLE = 200, 304, 429, 503
_CHUNK_BYTES = 1 << 18
_SMALL_BYTES = 1 << 14  # of a body nobody wants: read, so that the connection can be kept
_DIGITS = 18  # of a number in a header: a longer one is cut, and still too large


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one address may cost."""

    timeout_s: MoreThanZero = field(default=10.0, metadata={HOW: True})  # without a byte
    deadline_s: MoreThanZero = 60.0  # for a whole response
    # of a body: it may take `timeout_s` and what its bytes take at this speed
    min_bytes_per_s: NotNegative = field(default=2048.0, metadata={HOW: True})
    max_bytes: Positive = 32 << 20  # of a decoded body
    max_pixels: Positive = 64_000_000  # from the header, before any decoding
    max_redirects: Count = 5
    retries: Count = field(default=3, metadata={HOW: True})  # further tries after a passing fault
    # before the second try; before later ones a random part of twice as long each time
    backoff_s: NotNegative = field(default=1.0, metadata={HOW: True})
    max_wait_s: NotNegative = field(
        default=60.0, metadata={HOW: True}
    )  # longest pause; a server that asks for more is left alone


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


_FAULTS: tuple[type[Exception], ...] = tuple(_MEANINGS)
_UNREACHED: tuple[type[Exception], ...] = (OSError, *_MEANINGS)


class _BrokenBody(Exception):
    """The connection broke off within the body."""


class Fetcher:
    """Asks over one pool of kept-alive connections, from any number of threads.

    `contact` (a web page or mail address) goes into the User-Agent. There are no cookies, and no proxies or passwords
    of the environment: behind a proxy, addresses could not be checked. `trust` says whose certificates count.
    """

    def __init__(
        self,
        limits: FetchLimits,
        contact: str = "",
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        allow_private: bool = False,
        connections: int = 8,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits
        self.guard = Guard(dict(connect_to or {}), allow_private)
        trust = trust or ssl.create_default_context(cafile=certifi.where())
        self._pools = guarded_pools(self.guard, connections, trust)
        self._timeout = Timeout(connect=limits.timeout_s, read=limits.timeout_s)
        who = f"{ROBOT}/{version('hq-vox')} (face and voice research; {contact or 'no contact given'})"
        self._headers = {"User-Agent": who, "Accept": "image/*", "Accept-Encoding": "identity"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pools.clear()
        self.guard.watchdog.close()

    def ask(self, url: str, etag: str | None = None, last_modified: str | None = None) -> Answer:
        """The answer to one request for a canonical address; conditional where `etag` or `last_modified` is given.

        Drop reasons: http_error (value: the status), timeout, too_slow, connection, silent_name_server, unknown_host,
        private_address, tls, incomplete, bad_redirect, too_large, bad_address, opted_out, and those of
        `pipeline.crawl.content.look`.
        """
        headers = dict(self._headers)
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        try:
            with self.guard.deadline(self.limits.deadline_s):
                response = self._open(url, headers)
                try:
                    found = self._answer(url, response)
                finally:
                    _release(response)
        except _BrokenBody:
            return Later(Drop("incomplete", detail="the connection broke off within the body"), Blame.PAGE)
        except _FAULTS as error:
            return _meaning(error)
        if not isinstance(found, bytearray):
            return found
        picture = look(bytes(found), self.limits.max_pixels)
        if isinstance(picture, Drop):
            return picture
        return Got(picture, response.headers.get("ETag"), response.headers.get("Last-Modified"))

    def text(self, url: str, max_bytes: int, headers: Mapping[str, str] | None = None) -> Text | Later | Drop:
        """A small text such as robots.txt or the answer of an API, redirects followed; what exceeds the cap is cut.

        With `headers`, which may hold a key, no redirect is followed.
        """
        try:
            with self.guard.deadline(self.limits.deadline_s):
                for _ in range(1 + self.limits.max_redirects):
                    response = self._open(url, {**self._headers, "Accept": "*/*", **(headers or {})})
                    try:
                        moved = _moved(url, response)
                        if isinstance(moved, Drop):
                            return moved
                        if moved is not None and headers:
                            return Drop("bad_redirect", detail="not followed with a key")
                        if moved is None:
                            body = response.read(max_bytes, decode_content=True)
                            return Text(response.status, body, _retry_after_s(response.headers.get("Retry-After", "")))
                    finally:
                        _release(response)
                    url = moved.url
        except _FAULTS as error:
            return _meaning(error)
        return Drop("too_many_redirects", limit=self.limits.max_redirects)

    def reaches(self, url: str) -> bool:
        """Whether the host of an address takes a connection; nothing is asked."""
        parts = parse_url(url)
        secure = parts.scheme == "https"
        try:
            with self.guard.deadline(self.limits.timeout_s):
                port = parts.port or (443 if secure else 80)
                self.guard.connect(str(parts.host), port, secure, self.limits.timeout_s, None).close()
        except _UNREACHED:
            return False
        return True

    def _open(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        parts = parse_url(url)
        pool = self._pools.connection_from_host(parts.host, parts.port, parts.scheme)
        return pool.urlopen(
            "GET",
            parts.request_uri,
            headers=headers,
            timeout=self._timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )

    def _answer(self, url: str, response: BaseHTTPResponse) -> bytearray | Unchanged | Moved | Later | Drop:
        """What an answer is by its headers; the body is read only where a picture may be in it."""
        moved = _moved(url, response)
        if moved is not None:
            return moved
        if response.status == _NOT_MODIFIED:
            return Unchanged()
        if response.status != _OK:
            return _refusal(response, self.limits)
        words = opted_out(response.headers, response.headers.getlist("X-Robots-Tag"), ROBOT)
        if words:
            return Drop(OPTED_OUT, detail=words)
        return self._body(response)

    def _body(self, response: BaseHTTPResponse) -> bytearray | Drop:
        """The decoded body, as long as it stays within the byte cap and above the minimum speed."""
        limits = self.limits
        declared = response.headers.get("Content-Length", "")[:_DIGITS]
        if declared.isdecimal():
            if int(declared) > limits.max_bytes:
                return Drop("too_large", int(declared), limits.max_bytes)
            if limits.min_bytes_per_s:
                self.guard.hurry(limits.timeout_s + int(declared) / limits.min_bytes_per_s)
        began = time.monotonic()
        body = bytearray()
        try:
            while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
                body += chunk
                if len(body) > limits.max_bytes:
                    return Drop("too_large", limit=limits.max_bytes, detail="cut off while it came")
                took_s = time.monotonic() - began
                if (took_s - limits.timeout_s) * limits.min_bytes_per_s > len(body):
                    raise TooSlow
        except transport.ProtocolError as error:
            raise _BrokenBody from error
        return body


def _meaning(error: Exception) -> Later | Drop:
    reason, words, blame = next(meaning for kind, meaning in _MEANINGS.items() if isinstance(error, kind))
    drop = Drop(reason, detail=words)
    return Later(drop, blame) if blame else drop


def _release(response: BaseHTTPResponse) -> None:
    """Give the connection back if nothing, or little, is left on it; else hang up rather than read what is unwanted."""
    left = response.length_remaining  # None: not known
    if left is not None and left <= _SMALL_BYTES and response.status != _OK:
        response.drain_conn()  # also where nothing is left: http.client wants to be read to the end
    elif left != 0:
        response.close()
    response.release_conn()


def _moved(url: str, response: BaseHTTPResponse) -> Moved | Drop | None:
    """Where a redirect leads; None where the answer is none."""
    location = response.headers.get("Location") if response.status in _REDIRECTS else None
    if location is None:
        return None
    try:
        return Moved(canonical_url(urljoin(url, location)))
    except (BadAddress, ValueError) as error:
        return Drop("bad_redirect", detail=str(error))


def _refusal(response: BaseHTTPResponse, limits: FetchLimits) -> Later | Drop:
    """What a status other than 200 means."""
    status = response.status
    drop = Drop(HTTP_ERROR, status, detail=f"HTTP status {status}")
    if status not in PASSING_STATUS:
        return drop
    wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
    if wait_s is not None and wait_s > limits.max_wait_s:
        drop = Drop(HTTP_ERROR, status, detail="the server asks for a longer pause than `max_wait_s`")
    asks_for_less = status == _TOO_MANY or (status == _UNAVAILABLE and wait_s is not None)
    return Later(drop, Blame.HOST if asks_for_less else Blame.PAGE, wait_s)


def _retry_after_s(text: str) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or a date; None where it says neither."""
    if text.strip().isdecimal():
        return float(text.strip()[:_DIGITS])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
