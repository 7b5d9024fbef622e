"""A loopback web server for `benchmarks/crawl.py`: fast, or limited, or with every fault. Prints its port.

    python benchmarks/crawl_server.py FOLDER [--per-s 50] [--opt-out 10] [--latency-s 0.02] [--faults]

FOLDER holds pictures; `/<n>.jpg` answers with the n-th, modulo their number. `/stats` answers with counters.
"""

import argparse
import datetime
import gzip
import ipaddress
import json
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

# What becomes of every other address, in turn: the reason of the drop, or None where a picture comes in the end.
FAULTS: tuple[tuple[str, str | None], ...] = (
    ("503 once", None),
    ("reset once", None),
    ("redirect loop", "too_many_redirects"),
    ("gzip bomb", "too_large"),
    ("short body once", None),
    ("longer body than declared", None),
    ("404", "http_error"),
    ("503 for ever", "http_error"),
    ("no gzip", "not_a_picture"),
    ("host without a name", "unknown_host"),
    ("expired certificate", "tls"),
    ("slow drip", "too_slow"),
    ("stall once", None),
)
_RARE = 16  # of the last two, which take seconds, so many times fewer


def fault_of(number: int) -> int | None:
    """Which fault an address has."""
    if number % 2 == 0:
        return None
    kind = number // 2 % len(FAULTS)
    rare = kind >= len(FAULTS) - 2
    return None if rare and number // 2 // len(FAULTS) % _RARE else kind


class Server(ThreadingHTTPServer):
    """Threads for as many clients as come."""

    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may hang up."""


class Handler(BaseHTTPRequestHandler):
    """Answers by the options of the command line."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    options: argparse.Namespace
    bodies: list[bytes]
    expired_port: int = 0
    bomb = gzip.compress(bytes(64 << 20))
    lock = threading.Lock()
    stats: ClassVar = {"requests": 0, "refused": 0, "robots": 0}
    tries: ClassVar = Counter[str]()
    second: ClassVar = [0, 0]  # the newest one, and the requests within it

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """One answer; header names are written with underscores."""
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Count, and answer by the options."""
        if self.path == "/stats":
            return self.send(200, json.dumps(self.stats).encode())
        if self.path == "/robots.txt":
            with self.lock:
                self.stats["robots"] += 1
            return self.send(200, b"User-agent: *\nAllow: /\n")
        if not self.path.endswith(".jpg"):
            return self.send(404)
        with self.lock:
            self.stats["requests"] += 1
            self.tries[self.path] += 1
            now = int(time.time())
            self.second[:] = [now, self.second[1] + 1 if self.second[0] == now else 1]
            over = self.options.per_s and self.second[1] > self.options.per_s
            self.stats["refused"] += bool(over)
        time.sleep(self.options.latency_s)
        if over:
            return self.send(429, b"slow down", Retry_After="1")
        number = int(self.path[1:-4])
        good = self.bodies[number % len(self.bodies)]
        fault = fault_of(number) if self.options.faults else None
        if fault is not None:
            return self.fail(fault, good)
        opted_out = self.options.opt_out and number % self.options.opt_out == 0
        return self.send(200, good, **({"X_Robots_Tag": "noai"} if opted_out else {}))

    def fail(self, fault: int, good: bytes) -> None:
        """Answer with a fault, or with the picture where the fault was for once."""
        name, reason = FAULTS[fault]
        if reason is None and name.endswith("once") and self.tries[self.path] > 1:
            return self.send(200, good)
        match name:
            case "503 once" | "503 for ever":
                self.send(503)
            case "404":
                self.send(404)
            case "redirect loop":
                self.send(302, Location=self.path)
            case "gzip bomb":
                self.send(200, self.bomb, Content_Encoding="gzip")
            case "no gzip":
                self.send(200, good, Content_Encoding="gzip")
            case "longer body than declared":
                self.send(200, good + b"HTTP/1.1 404 Not Found\r\n\r\n", Content_Length=str(len(good)))
            case "host without a name":
                self.send(302, Location="http://nowhere.invalid/1.jpg")
            case "expired certificate":
                self.send(302, Location=f"https://127.0.0.1:{self.expired_port}{self.path}")
            case _:
                self.hang_up(name, good)
        return None

    def hang_up(self, name: str, good: bytes) -> None:
        """The faults after which there is no connection."""
        self.close_connection = True
        if name == "reset once":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
        elif name == "short body once":
            self.send(200, good[:1000], Content_Length=str(len(good)))
        elif name == "stall once":
            time.sleep(5)
        elif name == "slow drip":
            self.send(200, b"x", Content_Length="100000")
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.1)


def expired(folder: Path) -> Server:
    """A TLS server whose certificate ended yesterday."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(address, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "both.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-s", type=float, default=0.0)
    parser.add_argument("--opt-out", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--faults", action="store_true")
    Handler.options = given = parser.parse_args()
    Handler.bodies = [path.read_bytes() for path in sorted(given.folder.iterdir(), key=lambda path: int(path.stem))]
    if given.faults:
        with tempfile.TemporaryDirectory() as made:
            secure = expired(Path(made))
        Handler.expired_port = secure.server_address[1]
        threading.Thread(target=secure.serve_forever, daemon=True).start()
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
