"""Connections that reach public addresses only, checked on the very address that is connected to.

A name is resolved once, its private addresses are struck out, and the socket is opened to what remains. The same
resolution serves check and connection, so an answer that changes between the two (DNS rebinding) gains nothing.
"""

import errno
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.crawl.deadline import Deadline

_HTTP_PORT = 80
_NAT64, _LOCAL_NAT64 = ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291, 2.5.5.1: an IPv4 address behind zeros
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
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


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet, also where IPv6 wraps an IPv4 address."""
    ip: _IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.is_site_local or ip in _LOCAL_NAT64:
            return False
        ip = ip.ipv4_mapped or ip.sixtofour or (_embedded(ip) if ip in _NAT64 or ip in _COMPATIBLE else ip)
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
    deadline: Deadline = field(default_factory=Deadline)

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
                sock.settimeout(min(timeout_s, self.deadline.remaining_s()))
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
