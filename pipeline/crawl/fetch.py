"""Fetch pictures from strangers' servers: patient with faults, strict about size, time and where it connects."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import requests
import tenacity
from urllib3 import exceptions as transport

from manifests.removals import REMOVED
from manifests.settings import Count, MoreThanZero, NotNegative, Positive
from pipeline.crawl.content import Picture, look
from pipeline.crawl.guard import DeadlinePassed, Guard, GuardedAdapter, PrivateAddress, SilentNameServer, UnknownHost
from pipeline.crawl.sources import BadAddress, canonical_url
from pipeline.stage import HOW, Drop

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth another try
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200
_CHUNK_BYTES = 1 << 16
_DIGITS = 18  # of a number in a header: a longer one is cut, and still too large


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one address may cost."""

    timeout_s: MoreThanZero = field(default=10.0, metadata={HOW: True})  # without a byte
    deadline_s: MoreThanZero = 60.0  # for a whole response
    max_bytes: Positive = 32 << 20  # of a decoded body
    max_pixels: Positive = 64_000_000  # from the header, before any decoding
    max_redirects: Count = 5
    retries: Count = field(default=3, metadata={HOW: True})  # further tries after a passing fault
    # before the second try; before later ones a random part of twice as long each time
    backoff_s: NotNegative = field(default=1.0, metadata={HOW: True})
    max_wait_s: NotNegative = field(
        default=60.0, metadata={HOW: True}
    )  # longest pause; a server that asks for more is left alone


# What each exception means, the most special first; the first table is looked at before the second.
_LASTING: dict[type[Exception], tuple[str, str]] = {
    DeadlinePassed: ("timeout", "no whole response before `deadline_s`"),
    PrivateAddress: ("private_address", "the host has no public address; `allow_private` would permit it"),
    UnknownHost: ("unknown_host", "no such host"),
    requests.exceptions.SSLError: ("tls", "no trustworthy encrypted connection"),
    transport.SSLError: ("tls", "no trustworthy encrypted connection"),
    requests.exceptions.InvalidURL: ("bad_address", "not an address that can be asked for"),
    transport.DecodeError: ("not_a_picture", "the body is not compressed as its header says"),
}
_PASSING: dict[type[Exception], tuple[str, str]] = {
    SilentNameServer: ("unknown_host", "the name server could not say"),
    requests.Timeout: ("timeout", "silence for longer than `timeout_s`"),
    transport.ReadTimeoutError: ("timeout", "silence for longer than `timeout_s`"),
    transport.HTTPError: ("incomplete", "the connection broke off within the body"),
    requests.RequestException: ("connection", "no connection, or broken before the answer"),
}


class _Passing(Exception):
    """A fault that may pass: the drop it makes if it does not, and the pause the server asked for."""

    def __init__(self, drop: Drop, wait_s: float | None = None) -> None:
        super().__init__(drop.reason)
        self.drop = drop
        self.wait_s = wait_s


class _Session(requests.Session):
    """A session that leaves redirects to us: its own would read their bodies whole, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """No response is a redirect."""


class Fetcher:
    """Fetches pictures over one pool of kept-alive connections, from any number of threads.

    `contact` (a web page or mail address) goes into the User-Agent. Cookies, and proxies and passwords of the
    environment, are not used: behind a proxy, addresses could not be checked. `removed` says which addresses must
    not be asked for, redirects included.
    """

    def __init__(
        self,
        limits: FetchLimits,
        contact: str = "",
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        allow_private: bool = False,
        connections: int = 8,
        removed: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.limits = limits
        self._removed = removed
        self._guard = Guard(dict(connect_to or {}), allow_private)
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {
                "User-Agent": f"HQ-Vox/0.1 (face and voice research; {contact or 'no contact given'})",
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            }
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, GuardedAdapter(self._guard, connections))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()

    def fetch(self, url: str) -> Picture | Drop:
        """The picture at a canonical address, or why there is none.

        Drop reasons: http_error (value: the status), timeout, connection, unknown_host, private_address, tls,
        incomplete, bad_redirect, too_many_redirects, too_large, bad_address, removed, and those of
        `pipeline.crawl.content.look`.
        """
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(1 + self.limits.retries),
            wait=_pause(self.limits),
            retry_error_callback=_what_it_makes,
        )
        body: bytes | Drop = attempts(self._attempt, url)
        return body if isinstance(body, Drop) else look(body, self.limits.max_pixels)

    def _attempt(self, url: str) -> bytes | Drop:
        """One try; raises _Passing where another may do better."""
        try:
            with self._guard.deadline(self.limits.deadline_s):
                return self._follow(url)
        except tuple(_LASTING) as error:
            return _drop_of(error, _LASTING)
        except tuple(_PASSING) as error:
            raise _Passing(_drop_of(error, _PASSING)) from error

    def _follow(self, url: str) -> bytes | Drop:
        """Ask, and ask again where redirected; every hop is checked like the first address."""
        for _ in range(1 + self.limits.max_redirects):
            if self._removed(url):
                return Drop(REMOVED, detail="redirected to a removed address")
            timeout_s = self.limits.timeout_s
            with self._session.get(url, stream=True, allow_redirects=False, timeout=timeout_s) as response:
                location = response.headers.get("Location") if response.status_code in _REDIRECTS else None
                if location is None:
                    return self._body(response) if response.status_code == _OK else _refusal(response, self.limits)
            try:
                url = canonical_url(urljoin(url, location))
            except (BadAddress, ValueError) as error:
                return Drop("bad_redirect", detail=str(error))
        return Drop("too_many_redirects", limit=self.limits.max_redirects)

    def _body(self, response: requests.Response) -> bytes | Drop:
        """The decoded body, as long as it stays within the byte cap."""
        limit = self.limits.max_bytes
        declared = response.headers.get("Content-Length", "")[:_DIGITS]
        if declared.isdecimal() and int(declared) > limit:
            return Drop("too_large", int(declared), limit)
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > limit:
                return Drop("too_large", limit=limit, detail="cut off while it came")
        return bytes(body)


def _drop_of(error: Exception, meanings: Mapping[type[Exception], tuple[str, str]]) -> Drop:
    reason, detail = next(meaning for kind, meaning in meanings.items() if isinstance(error, kind))
    return Drop(reason, detail=detail)


def _refusal(response: requests.Response, limits: FetchLimits) -> Drop:
    """The drop of a status other than 200; raises _Passing where the server may answer later."""
    status = response.status_code
    drop = Drop("http_error", status, detail=f"HTTP status {status}")
    if status not in _PASSING_STATUS:
        return drop
    wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
    if wait_s is not None and wait_s > limits.max_wait_s:
        return Drop("http_error", status, detail="the server asks for a longer pause than `max_wait_s`")
    raise _Passing(drop, wait_s)


def _retry_after_s(text: str) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or a date; None where it says neither."""
    if text.strip().isdecimal():
        return float(text.strip()[:_DIGITS])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _pause(limits: FetchLimits) -> Callable[[tenacity.RetryCallState], float]:
    """Exponential back-off with jitter, and never less than the server asked for."""
    backoff = tenacity.wait_random_exponential(limits.backoff_s, limits.max_wait_s, min=limits.backoff_s)

    def pause(state: tenacity.RetryCallState) -> float:
        return max(backoff(state), _passing(state).wait_s or 0.0)

    return pause


def _what_it_makes(state: tenacity.RetryCallState) -> Drop:
    return _passing(state).drop


def _passing(state: tenacity.RetryCallState) -> _Passing:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Passing)
    return error
