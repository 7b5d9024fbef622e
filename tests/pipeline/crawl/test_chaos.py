"""Everything at once: every picture that may be had is had, every other row says why, and memory stays flat."""

import datetime
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from pipeline.crawl.download import Part, download
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.spool import Spool, spool_folder
from pipeline.crawl.turns import Job
from pipeline.stage import Drop

from .webserver import Answer, Web, jpeg, reply, serve

LIMITS = Politeness(
    timeout_s=1.0,
    deadline_s=5.0,
    min_bytes_per_s=200.0,
    max_bytes=100_000,
    max_pixels=100_000,
    retries=3,
    backoff_s=0.01,
    max_wait_s=0.5,
    requests_per_s=100_000.0,
    per_host=16,
    host_faults=1000,
)
BOMB = gzip.compress(bytes(20_000_000))


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def stall(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    time.sleep(1.4)


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(50):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.1)


def short(handler: BaseHTTPRequestHandler) -> None:
    reply(jpeg()[:50], Content_Length="5000")(handler)
    handler.close_connection = True


def long(data: bytes) -> Answer:
    """More bytes than are declared: the rest must not be taken for the next answer."""
    return reply(data + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", Content_Length=str(len(data)))


def chaos(i: int) -> tuple[list[Answer], str | None]:
    """What the server answers for row i, one after another, and what must become of the row; None: a picture."""
    good, busy = reply(jpeg(i)), reply(status=503)
    kinds: list[tuple[list[Answer], str | None]] = [
        ([busy, good], None),
        ([busy], "http_error"),
        ([reset, good], None),
        ([stall, good], None),
        ([drip], "too_slow"),
        ([reply(status=302, Location=f"/{i}")], "too_many_redirects"),
        ([reply(BOMB, Content_Encoding="gzip")], "too_large"),
        ([short, good], None),
        ([short], "incomplete"),
        ([long(jpeg(i))], None),
        ([reply(b"<html>", Content_Type="image/jpeg")], "not_a_picture"),
        ([reply(jpeg(side=400))], "too_many_pixels"),
        ([reply(jpeg(i), X_Robots_Tag="noai")], "opted_out"),
        ([reply(status=404)], "http_error"),
        ([reply(status=302, Location="http://nowhere.invalid/x.jpg")], "unknown_host"),
        ([reply(b"no gzip", Content_Encoding="gzip")], "not_a_picture"),
    ]
    return kinds[i // 2 % len(kinds)] if i % 2 else ([good], None)


def expected(web: Web, count: int) -> dict[str, str | None]:
    web.on("/robots.txt", reply(b""))
    found = {}
    for i in range(count):
        answers, found[str(i)] = chaos(i)
        web.on(f"/{i}", *answers)
    return found


def crawl(web: Web, folder: Path, count: int) -> dict[str, str | None]:
    jobs = [Job(str(i), f"http://127.0.0.1:{web.port}/{i}") for i in range(count)]
    assert download(Part(jobs, LIMITS, folder, "me@example.org", allow_private=True, threads=16)) == count
    spool = Spool(spool_folder(folder))
    drops = {row_id: spool.record(row_id).drop for row_id in spool}
    assert all(spool.body(row_id) == jpeg(int(row_id)) for row_id, drop in drops.items() if drop is None)
    return {row_id: drop and drop.reason for row_id, drop in drops.items()}


@pytest.fixture
def no_such_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def lookup(host: str, *args: object, **options: object) -> object:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return resolve(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def run_chaos(folder: Path, count: int) -> None:
    with serve() as web:
        wanted = expected(web, count)
        found = crawl(web, folder, count)
        wrong = {row: (found[row], reason) for row, reason in wanted.items() if found[row] != reason}
        assert not wrong, Counter(wrong.values())
        assert web.asked["/robots.txt"] == 1


@pytest.mark.usefixtures("no_such_name")
def test_every_fault_at_once(tmp_path):
    run_chaos(tmp_path, 128)


@pytest.mark.slow
@pytest.mark.usefixtures("no_such_name")
def test_ten_thousand_addresses_of_every_fault(tmp_path):
    run_chaos(tmp_path, 10_000)


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    """Four times the pictures, not four times the memory: bodies go to the disk one by one."""
    with serve() as web:
        web.on("/robots.txt", reply(b""))
        big = jpeg(side=32) + bytes(90_000)
        web.otherwise = reply(big)
        peaks = []
        for count in (50, 200):
            jobs = [Job(str(i), f"http://127.0.0.1:{web.port}/{i}") for i in range(count)]
            tracemalloc.start()
            download(Part(jobs, LIMITS, tmp_path / str(count), allow_private=True, threads=4))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < peaks[0] + 2_000_000


def certificates(folder: Path, days: int) -> tuple[Path, Path]:
    """A certificate of our own for 127.0.0.1 that ends so many days from now, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / f"cert{days}.pem", folder / f"key{days}.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


@contextmanager
def secure_server(pem: Path, key: Path) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(jpeg())(self)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("days", "reason"), [(9, None), (-1, "tls")])
def test_an_expired_certificate_is_refused_and_a_valid_one_is_not(tmp_path, days, reason):
    pem, key = certificates(tmp_path, days)
    trust = ssl.create_default_context(cafile=str(pem))
    with secure_server(pem, key) as port, Fetcher(LIMITS, allow_private=True, trust=trust) as fetcher:
        answer = fetcher.ask(f"https://127.0.0.1:{port}/")
    assert (answer.reason if isinstance(answer, Drop) else None) == reason
