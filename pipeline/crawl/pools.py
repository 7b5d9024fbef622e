"""Kept-alive connections of urllib3 that open their sockets through a Guard and keep a deadline."""

import socket
import ssl
import time
from typing import Any

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.response import BaseHTTPResponse
from urllib3.util.wait import wait_for_read

from pipeline.crawl.guard import Guard

_SITES = 256  # with kept-alive connections
# Silence after an answer before the next request: a server that sends more than it declared sends it at once, and what
# came after the request would be taken for its answer. At polite rates a connection rests for longer anyway.
_REST_S = 0.005


class _Guarded:
    """Makes a urllib3 connection open its socket through a Guard, keep its deadline and rest between two requests."""

    guard: Guard
    secure: bool
    rests_until = 0.0  # monotonic seconds

    def _new_conn(self: Any) -> socket.socket:
        try:
            sock: socket.socket = self.guard.connect(
                self.host, self.port, self.secure, self.timeout, self.socket_options
            )
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
        self.guard.deadline.watch(sock)  # the handshake of TLS comes next
        return sock

    def getresponse(self: Any) -> BaseHTTPResponse:
        """Wait for the status line and headers, under the deadline."""
        self.guard.deadline.watch(self.sock)
        response: BaseHTTPResponse = super().getresponse()  # type: ignore[misc]  # of urllib3's connection
        return response

    @property
    def is_connected(self: Any) -> bool:
        """Whether a kept connection is still open, with nothing on it that nobody asked for."""
        if self.sock is None:
            return False
        return not wait_for_read(self.sock, timeout=max(0.0, self.rests_until - time.monotonic()))


class _Resting:
    """Makes a urllib3 pool note when a connection was given back."""

    def _put_conn(self: Any, conn: Any) -> None:
        if conn is not None:
            conn.rests_until = time.monotonic() + _REST_S
        super()._put_conn(conn)  # type: ignore[misc]  # of urllib3's pool


def guarded_pools(guard: Guard, connections: int, trust: ssl.SSLContext) -> PoolManager:
    """Pools of kept-alive connections, `connections` for each site, that connect through a Guard."""

    class Plain(_Guarded, HTTPConnection):  # type: ignore[misc]  # `self: Any` hides what urllib3 declares
        secure = False

    class Secure(_Guarded, HTTPSConnection):  # type: ignore[misc]
        secure = True

    Plain.guard = Secure.guard = guard

    class PlainPool(_Resting, HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(_Resting, HTTPSConnectionPool):
        ConnectionCls = Secure

    pools = PoolManager(_SITES, maxsize=connections, ssl_context=trust)
    pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pools
