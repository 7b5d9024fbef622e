"""Connections that reach public addresses only, checked on the very address that is connected to.

A name is resolved once, its private addresses are struck out, and the socket is opened to what remains. The same
resolution serves check and connection, so an answer that changes between the two (DNS rebinding) gains nothing.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.response import BaseHTTPResponse

_HTTP_PORT = 80
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class PrivateAddress(Exception):
    """A host with no public address."""


class UnknownHost(Exception):
    """A host name that does not resolve."""


class SilentNameServer(Exception):
    """A host name of which the name server could not say anything just now."""


class DeadlinePassed(Exception):
    """A response was not whole in time."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet, also where IPv6 wraps an IPv4 address."""
    ip: _IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (_embedded(ip) if ip in _NAT64 else ip)
    return ip.is_global and not ip.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be connected to, and until when.

    `connect_to` sends plain http for a host (port 80) to a local server, and exempts exactly that host.
    """

    connect_to: Mapping[str, tuple[str, int]]
    allow_private: bool
    clock: threading.local = field(default_factory=threading.local)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Bound all that this thread asks for within the block; what is still open at the end is hung up.

        Raises DeadlinePassed.
        """
        self.clock.end = time.monotonic() + seconds
        self.clock.timer = None
        try:
            yield
        finally:
            self._unwatch()
            self.remaining_s()  # what was hung up can look complete, or like a broken connection

    def watch(self, sock: socket.socket) -> None:
        """Hang this socket up at the deadline: no timeout of its own would, while the other end drips bytes."""
        self._unwatch()
        self.clock.timer = threading.Timer(self.remaining_s(), _hang_up, (sock,))
        self.clock.timer.daemon = True
        self.clock.timer.start()

    def _unwatch(self) -> None:
        if self.clock.timer is not None:
            self.clock.timer.cancel()

    def remaining_s(self) -> float:
        """Seconds left to this thread. Raises DeadlinePassed when there are none."""
        left: float = self.clock.end - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        return left

    def connect(self, host: str, port: int, secure: bool, timeout_s: float, options: Any) -> socket.socket:
        """A socket to the first permitted address that answers.

        Raises PrivateAddress, UnknownHost, SilentNameServer, TimeoutError or OSError.
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
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
        return sock

    def getresponse(self: Any) -> BaseHTTPResponse:
        """Wait for the status line and headers, under the deadline."""
        self.guard.watch(self.sock)
        response: BaseHTTPResponse = super().getresponse()  # type: ignore[misc]  # of urllib3's connection
        return response


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # closed in the meantime
        sock.shutdown(socket.SHUT_RDWR)


class GuardedAdapter(HTTPAdapter):
    """A requests adapter whose pools connect through a Guard."""

    def __init__(self, guard: Guard, connections: int) -> None:
        self._guard = guard
        super().__init__(pool_connections=256, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools that requests draws connections from make guarded ones."""
        super().init_poolmanager(*args, **kwargs)

        class Plain(_Guarded, HTTPConnection):  # type: ignore[misc]  # `self: Any` hides what urllib3 declares
            guard, secure = self._guard, False

        class Secure(_Guarded, HTTPSConnection):  # type: ignore[misc]
            guard, secure = self._guard, True

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
