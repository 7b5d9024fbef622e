"""Ask a stranger's server for one picture, once: strict about size, time and where it connects.

What may be asked, when, and how often is decided elsewhere (`pipeline.crawl.schedule`); here one request is made and
its answer named.
"""

import ssl
import time
from collections.abc import Mapping
from importlib.metadata import version
from types import TracebackType
from typing import Self

import certifi
from urllib3 import Timeout
from urllib3 import exceptions as transport
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from pipeline.crawl.content import look
from pipeline.crawl.deadline import TooSlow
from pipeline.crawl.guard import Guard
from pipeline.crawl.optout import opted_out
from pipeline.crawl.outcome import OPTED_OUT
from pipeline.crawl.politeness import FetchLimits
from pipeline.crawl.pools import guarded_pools
from pipeline.crawl.replies import (
    FAULTS,
    UNREACHED,
    Answer,
    Blame,
    Got,
    Later,
    Moved,
    Text,
    Unchanged,
    declared_bytes,
    meaning,
    moved,
    refusal,
    retry_after_s,
)
from pipeline.stage import Drop

ROBOT = "HQ-Vox"  # our name in robots.txt and X-Robots-Tag
_OK, _NOT_MODIFIED = 200, 304
_CHUNK_BYTES = 1 << 16
_SMALL_BYTES = 1 << 14  # of a body nobody wants: read, so that the connection can be kept


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
        self.guard.deadline.close()

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
            with self.guard.deadline.within(self.limits.deadline_s):
                response = self._open(url, headers)
                try:
                    found = self._answer(url, response)
                finally:
                    _release(response)
        except _BrokenBody:
            return Later(Drop("incomplete", detail="the connection broke off within the body"), Blame.PAGE)
        except FAULTS as error:
            return meaning(error)
        if not isinstance(found, bytes):
            return found
        picture = look(found, self.limits.max_pixels)
        if isinstance(picture, Drop):
            return picture
        return Got(picture, response.headers.get("ETag"), response.headers.get("Last-Modified"))

    def text(self, url: str, max_bytes: int, headers: Mapping[str, str] | None = None) -> Text | Later | Drop:
        """A small text such as robots.txt or the answer of an API, redirects followed; what exceeds the cap is cut.

        With `headers`, which may hold a key, no redirect is followed.
        """
        try:
            with self.guard.deadline.within(self.limits.deadline_s):
                for _ in range(1 + self.limits.max_redirects):
                    response = self._open(url, {**self._headers, "Accept": "*/*", **(headers or {})})
                    try:
                        target = moved(url, response.status, response.headers)
                        if isinstance(target, Drop):
                            return target
                        if target is not None and headers:
                            return Drop("bad_redirect", detail="not followed with a key")
                        if target is None:
                            body = response.read(max_bytes, decode_content=True)
                            return Text(response.status, body, retry_after_s(response.headers))
                    finally:
                        _release(response)
                    url = target.url
        except FAULTS as error:
            return meaning(error)
        return Drop("too_many_redirects", limit=self.limits.max_redirects)

    def reaches(self, url: str) -> bool:
        """Whether the host of an address takes a connection; nothing is asked."""
        parts = parse_url(url)
        secure = parts.scheme == "https"
        try:
            with self.guard.deadline.within(self.limits.timeout_s):
                port = parts.port or (443 if secure else 80)
                self.guard.connect(str(parts.host), port, secure, self.limits.timeout_s, None).close()
        except UNREACHED:
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

    def _answer(self, url: str, response: BaseHTTPResponse) -> bytes | Unchanged | Moved | Later | Drop:
        """What an answer is by its headers; the body is read only where a picture may be in it."""
        target = moved(url, response.status, response.headers)
        if target is not None:
            return target
        if response.status == _NOT_MODIFIED:
            return Unchanged()
        if response.status != _OK:
            return refusal(response.status, response.headers, self.limits.max_wait_s)
        words = opted_out(response.headers, response.headers.getlist("X-Robots-Tag"), ROBOT)
        if words:
            return Drop(OPTED_OUT, detail=words)
        return self._body(response)

    def _body(self, response: BaseHTTPResponse) -> bytes | Drop:
        """The decoded body, as long as it stays within the byte cap and above the minimum speed."""
        limits = self.limits
        declared = declared_bytes(response.headers)
        if declared is not None:
            if declared > limits.max_bytes:
                return Drop("too_large", declared, limits.max_bytes)
            if limits.min_bytes_per_s:
                self.guard.deadline.hurry(limits.timeout_s + declared / limits.min_bytes_per_s)
        began = time.monotonic()
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > limits.max_bytes:
                    return Drop("too_large", limit=limits.max_bytes, detail="cut off while it came")
                took_s = time.monotonic() - began
                if (took_s - limits.timeout_s) * limits.min_bytes_per_s > size:
                    raise TooSlow
        except transport.ProtocolError as error:
            raise _BrokenBody from error
        return b"".join(chunks)


def _release(response: BaseHTTPResponse) -> None:
    """Give the connection back if nothing, or little, is left on it; else hang up rather than read what is unwanted."""
    left = response.length_remaining  # None: not known
    if response.status < _OK:
        response.close()  # an interim answer: the answer itself is still to come
    elif left is not None and left <= _SMALL_BYTES and response.status != _OK:
        response.drain_conn()  # also where nothing is left: http.client wants to be read to the end
    elif left != 0:
        response.close()
    response.release_conn()
