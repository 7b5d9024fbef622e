"""Connections that reach public addresses only, checked on the very address that is connected to.

A name is resolved once, its private addresses are struck out, and the socket is opened to what remains. The same
resolution serves check and connection, so an answer that changes between the two (DNS rebinding) gains nothing.
"""

import errno
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.response import BaseHTTPResponse

_HTTP_PORT = 80
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOK_S = 0.05  # between two looks of the watchdog
_POOLS = 256  # sites with kept-alive connections
# No packet went out, or none came back: as likely our network as their host. A refusal came from somewhere.
_NO_ROUTE = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT})


class PrivateAddress(Exception):
    """A host with no public address."""


class UnknownHost(Exception):
    """A host name that does not resolve."""


class SilentNameServer(Exception):
    """A host name of which the name server could not say anything just now."""


class NoRoute(Exception):
    """No connection, and no answer that there is none."""


class DeadlinePassed(Exception):
    """A response was not whole in time."""


class TooSlow(DeadlinePassed):
    """A body came, but slower than the minimum speed."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet, also where IPv6 wraps an IPv4 address."""
    ip: _IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (_embedded(ip) if ip in _NAT64 else ip)
    return ip.is_global and not ip.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


class _Watchdog:
    """One thread that hangs up sockets whose time is over: no timeout of their own ends a slow drip."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[float, socket.socket]] = {}  # by the thread that reads
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, end: float) -> None:
        """Hang this thread's socket up at `end` (monotonic seconds)."""
        with self._lock:
            self._ends[threading.get_ident()] = end, sock
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
                self._thread.start()

    def forget(self) -> None:
        """Leave this thread's socket alone."""
        with self._lock:
            self._ends.pop(threading.get_ident(), None)

    def hurry(self, end: float) -> None:
        """Bring the end of this thread's socket forward."""
        with self._lock:
            watched = self._ends.get(threading.get_ident())
            if watched is not None:
                self._ends[threading.get_ident()] = end, watched[1]

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_S):
            now = time.monotonic()
            with self._lock:  # held while hanging up: the socket may serve another request right after
                over = [thread for thread, (end, _) in self._ends.items() if end <= now]
                for thread in over:
                    with suppress(OSError):  # closed in the meantime
                        self._ends.pop(thread)[1].shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be connected to, and until when.

    `connect_to` sends plain http for a host (port 80) to a local server, and exempts exactly that host.
    """

    connect_to: Mapping[str, tuple[str, int]]
    allow_private: bool
    clock: threading.local = field(default_factory=threading.local)
    watchdog: _Watchdog = field(default_factory=_Watchdog)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Bound all that this thread asks for within the block; what is still open at the end is hung up.

        Raises DeadlinePassed, and TooSlow where `hurry` had brought the end forward.
        """
        self.clock.end = time.monotonic() + seconds
        self.clock.hurried = False
        try:
            yield
        finally:
            self.watchdog.forget()
            self.remaining_s()  # what was hung up can look complete, or like a broken connection

    def hurry(self, seconds: float) -> None:
        """From now on this thread has only so long."""
        end = time.monotonic() + seconds
        if end < self.clock.end:
            self.clock.end, self.clock.hurried = end, True
            self.watchdog.hurry(end)

    def watch(self, sock: socket.socket) -> None:
        """Hang this socket up at the deadline."""
        self.watchdog.watch(sock, self.clock.end)

    def remaining_s(self) -> float:
        """Seconds left to this thread. Raises DeadlinePassed when there are none."""
        left: float = self.clock.end - time.monotonic()
        if left <= 0:
            raise TooSlow if self.clock.hurried else DeadlinePassed
        return left

    def connect(self, host: str, port: int, secure: bool, timeout_s: float, options: Any) -> socket.socket:
        """A socket to the first permitted address that answers.

        Raises PrivateAddress, UnknownHost, SilentNameServer, NoRoute or OSError.
        """
        permitted = self._permitted(host, port, secure)
        failure: OSError = OSError("no address")
        for family, address in permitted:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                for option in options or ():
                    sock.setsockopt(*option)
                sock.settimeout(min(timeout_s, self.remaining_s()))
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                sock.settimeout(timeout_s)
                return sock
        if isinstance(failure, TimeoutError) or failure.errno in _NO_ROUTE:
            raise NoRoute from failure
        raise failure

    def _permitted(self, host: str, port: int, secure: bool) -> list[tuple[int, Any]]:
        target = self.connect_to.get(host) if not secure and port == _HTTP_PORT else None
        try:
            found = socket.getaddrinfo(*(target or (host, port)), type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise (SilentNameServer if error.errno == socket.EAI_AGAIN else UnknownHost) from error
        except UnicodeError as error:  # a label that is too long or empty
            raise UnknownHost from error
        addresses: list[tuple[int, Any]] = [(family, address) for family, _, _, _, address in found]
        if target or self.allow_private:
            return addresses
        public = [(family, address) for family, address in addresses if is_public(str(address[0]))]
        if not public:
            raise PrivateAddress(host)
        return public


class _Guarded:
    """Makes a urllib3 connection open its socket through a Guard and keep its deadline."""

    guard: Guard
    secure: bool

    def _new_conn(self: Any) -> socket.socket:
        try:
            sock: socket.socket = self.guard.connect(
                self.host, self.port, self.secure, self.timeout, self.socket_options
            )
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
        self.guard.watch(sock)  # the handshake of TLS comes next
        return sock

    def getresponse(self: Any) -> BaseHTTPResponse:
        """Wait for the status line and headers, under the deadline."""
        self.guard.watch(self.sock)
        response: BaseHTTPResponse = super().getresponse()  # type: ignore[misc]  # of urllib3's connection
        return response


def guarded_pools(guard: Guard, connections: int, trust: ssl.SSLContext) -> PoolManager:
    """Pools of kept-alive connections, `connections` for each site, that connect through a Guard."""

    class Plain(_Guarded, HTTPConnection):  # type: ignore[misc]  # `self: Any` hides what urllib3 declares
        secure = False

    class Secure(_Guarded, HTTPSConnection):  # type: ignore[misc]
        secure = True

    Plain.guard = Secure.guard = guard

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pools = PoolManager(_POOLS, maxsize=connections, ssl_context=trust)
    pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pools
