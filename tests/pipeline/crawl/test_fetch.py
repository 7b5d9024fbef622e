"""Fetching: every fault a server can have becomes a picture or a typed drop, within time, size and place."""

import gzip
import socket
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from manifests import removals
from pipeline.crawl import guard
from pipeline.crawl.content import Picture, look
from pipeline.crawl.download import Part, download
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.guard import is_public
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.replies import Got, Moved
from pipeline.crawl.spool import Spool, spool_folder
from pipeline.crawl.turns import Job
from pipeline.stage import Drop

from .webserver import HOST, Answer, Web, jpeg, reply, serve

LIMITS = Politeness(
    timeout_s=0.3,
    deadline_s=0.6,
    max_bytes=200_000,
    max_pixels=1_000_000,
    retries=2,
    backoff_s=0.001,
    max_wait_s=2.0,
    requests_per_s=1000.0,
    network_wait_s=0.0,
)


class Crawl:
    """The whole way of one address: schedule, request, retries, spool."""

    def __init__(self, folder: Path, limits: Politeness = LIMITS, **how: Any) -> None:
        self.folder, self.limits, self.how = folder, limits, how

    def fetch(self, url: str) -> Picture | Drop:
        return self.fetch_all([url])[0]

    def fetch_all(self, urls: list[str], threads: int = 1) -> list[Picture | Drop]:
        jobs = [Job(str(i), url) for i, url in enumerate(urls)]
        assert download(Part(jobs, self.limits, self.folder, threads=threads, **self.how)) == len(jobs)
        spool = Spool(spool_folder(self.folder))
        return [self._result(spool, job.row_id) for job in jobs]

    def _result(self, spool: Spool, row_id: str) -> Picture | Drop:
        drop = spool.record(row_id).drop
        return drop or look(spool.body(row_id), 10**9)


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with serve() as running:
        yield running


@pytest.fixture
def fetcher(web: Web, tmp_path: Path) -> Crawl:
    return Crawl(tmp_path, contact="https://example.org/crawl", connect_to=web.connect_to)


def reason(outcome: Picture | Drop) -> str:
    assert isinstance(outcome, Drop), "a picture came"
    return outcome.reason


def test_a_picture_comes_byte_for_byte_with_its_header(web, fetcher):
    got = fetcher.fetch(web.on("/ok.jpg", reply(jpeg(1))))
    assert isinstance(got, Picture)
    assert got.data == jpeg(1)
    assert (got.header.format, got.header.width, got.header.height) == ("JPEG", 32, 32)


def test_the_user_agent_says_who_asks(web, fetcher):
    fetcher.fetch(web.on("/agent.jpg", reply(jpeg())))
    assert any("HQ-Vox" in agent and "https://example.org/crawl" in agent for agent in web.agents)


def test_connections_are_kept_alive(web):
    url, absent = web.on("/alive.jpg", reply(jpeg())), web.on("/absent", reply(b"no", status=404))
    moved = web.on("/moved", reply(status=302, Location="/alive.jpg"))
    before = web.connections
    with Fetcher(LIMITS, connect_to=web.connect_to) as fetcher:
        for _ in range(5):
            assert isinstance(fetcher.ask(url), Got)
            assert isinstance(fetcher.ask(absent), Drop)
            assert isinstance(fetcher.ask(moved), Moved)
    assert web.connections == before + 1


def test_what_a_server_sends_after_its_answer_is_not_taken_for_the_next_answer(web, monkeypatch):
    """Neither when it comes with the answer nor a moment later, though the connection is wanted again at once."""
    monkeypatch.setattr("pipeline.crawl.pools._REST_S", 0.1)  # long enough for a busy machine

    def lie(pause_s: float) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            reply(jpeg(1))(handler)
            time.sleep(pause_s)
            reply(b"<html>")(handler)

        return answer

    good = web.on("/after-a-lie.jpg", reply(jpeg(2)))
    with Fetcher(LIMITS, connect_to=web.connect_to) as fetcher:
        for pause_s in (0.0, 0.001, 0.01):
            lying = web.on("/lie.jpg", lie(pause_s))
            for url, data in ((lying, jpeg(1)), (good, jpeg(2))) * 3:
                answer = fetcher.ask(url)
                assert isinstance(answer, Got), (pause_s, url)
                assert answer.picture.data == data


@pytest.mark.parametrize("status", [204, 304, 401, 403, 404, 410, 418])
def test_a_lasting_status_is_a_drop_with_the_status_as_value_and_is_asked_once(web, fetcher, status):
    url = web.on(f"/{status}", reply(status=status))
    got = fetcher.fetch(url)
    assert isinstance(got, Drop)
    assert (got.reason, got.value) == ("http_error", status)
    assert web.asked[f"/{status}"] == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_status_is_tried_again(web, fetcher, status):
    assert isinstance(fetcher.fetch(web.on(f"/{status}-ok", reply(status=status), reply(jpeg()))), Picture)


def test_a_server_that_stays_broken_is_left_after_the_last_retry(web, fetcher):
    got = fetcher.fetch(web.on("/broken", reply(status=503)))
    assert isinstance(got, Drop)
    assert (got.reason, got.value) == ("http_error", 503)
    assert web.asked["/broken"] == 1 + LIMITS.retries


@pytest.mark.parametrize("pause", ["1", formatdate(time.time() + 2, usegmt=True)])
def test_retry_after_is_waited_for(web, fetcher, pause):
    url = web.on("/later", reply(status=429, Retry_After=pause), reply(jpeg()))
    if not pause.isdecimal():
        pause = formatdate(time.time() + 2, usegmt=True)
        url = web.on("/later", reply(status=429, Retry_After=pause), reply(jpeg()))
    begin = time.monotonic()
    assert isinstance(fetcher.fetch(url), Picture)
    assert time.monotonic() - begin >= 0.9


def test_a_server_that_asks_for_an_hour_is_left_alone(web, fetcher):
    got = fetcher.fetch(web.on("/hour", reply(status=429, Retry_After="3600")))
    assert reason(got) == "http_error"
    assert web.asked["/hour"] == 1


def test_nonsense_in_retry_after_is_ignored(web, fetcher):
    assert isinstance(fetcher.fetch(web.on("/soon", reply(status=503, Retry_After="soon"), reply(jpeg()))), Picture)


def test_a_body_shorter_than_its_length_is_tried_again_and_then_dropped(web, fetcher):
    def cut(handler):
        reply(jpeg()[:100], Content_Length="5000")(handler)
        handler.close_connection = True

    assert isinstance(fetcher.fetch(web.on("/cut-once", cut, reply(jpeg()))), Picture)
    assert reason(fetcher.fetch(web.on("/cut", cut))) == "incomplete"


def test_a_connection_closed_without_an_answer_is_tried_again(web, fetcher):
    def hang_up(handler):
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    assert isinstance(fetcher.fetch(web.on("/reset-once", hang_up, reply(jpeg()))), Picture)
    assert reason(fetcher.fetch(web.on("/reset", hang_up))) == "connection"


def test_nobody_listening_is_a_connection_drop(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else gets the port
        crawl = Crawl(tmp_path, connect_to={HOST: ("127.0.0.1", taken.getsockname()[1])})
        assert reason(crawl.fetch(f"http://{HOST}/")) == "connection"


def test_a_silent_server_is_a_timeout(web, fetcher):
    got = fetcher.fetch(web.on("/silent", lambda _: time.sleep(1.0)))
    assert reason(got) == "timeout"
    assert web.asked["/silent"] == 1 + LIMITS.retries


DRIP_S = 0.05  # between two bytes
MOST_DRIPPED = round((LIMITS.deadline_s + 0.5) / DRIP_S)  # bytes; a busy machine only sends fewer


def drip(data: bytes, sent: list[int] | None = None):
    def answer(handler):
        handler.close_connection = True
        for byte in data:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if sent is not None:
                sent.append(byte)
            time.sleep(DRIP_S)

    return answer


def test_a_slow_drip_of_body_ends_at_the_minimum_speed_or_the_deadline(web, fetcher, tmp_path):
    patient = replace(LIMITS, min_bytes_per_s=0.0)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

    def answer(handler):
        handler.wfile.write(head)
        drip(b"x" * 1000, sent)(handler)

    sent: list[int] = []
    url = web.on("/drip-body", answer)
    assert reason(fetcher.fetch(url)) == "too_slow"
    assert 0 < len(sent) <= MOST_DRIPPED
    assert web.asked["/drip-body"] == 1, "a drip is not asked for again"
    sent.clear()
    assert reason(Crawl(tmp_path, patient, connect_to=web.connect_to).fetch(url)) == "timeout"
    assert 0 < len(sent) <= MOST_DRIPPED


def test_a_slow_drip_of_a_chunk_size_ends_at_the_deadline(web, fetcher):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def answer(handler):
        handler.wfile.write(head)
        drip(b"0" * 1000)(handler)

    assert reason(fetcher.fetch(web.on("/drip-chunk", answer))) == "timeout"
    assert web.asked["/drip-chunk"] == 1


def test_a_slow_drip_of_headers_ends_at_the_deadline(web, fetcher):
    sent: list[int] = []
    got = fetcher.fetch(web.on("/drip-head", drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 100, sent)))
    assert reason(got) == "timeout"
    assert 0 < len(sent) <= MOST_DRIPPED


def test_a_redirect_is_followed(web, fetcher):
    web.on("/target.jpg", reply(jpeg(3)))
    for location in ("/target.jpg", f"http://{HOST}/target.jpg", "target.jpg#part"):
        got = fetcher.fetch(web.on("/from", reply(status=302, Location=location)))
        assert isinstance(got, Picture), location


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_redirect_with_raw_letters_is_followed(web, fetcher, encoding):
    def answer(handler):
        handler.wfile.write("HTTP/1.1 302 Found\r\nLocation: /é.jpg\r\nContent-Length: 0\r\n\r\n".encode(encoding))

    web.on("/%C3%A9.jpg", reply(jpeg(7)))
    assert isinstance(fetcher.fetch(web.on("/from-raw", answer)), Picture)


def test_the_endless_body_of_a_redirect_is_not_read(web, fetcher):
    web.on("/target.jpg", reply(jpeg(3)))
    sent = []

    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", "/target.jpg")
        handler.end_headers()
        for _ in range(1000):
            sent.append(handler.wfile.write(b"x" * 65536))

    assert isinstance(fetcher.fetch(web.on("/endless-redirect", answer)), Picture)
    assert len(sent) < 1000


def test_a_redirect_loop_is_cut(web, fetcher):
    got = fetcher.fetch(web.on("/loop", reply(status=301, Location="/loop")))
    assert isinstance(got, Drop)
    assert (got.reason, got.limit) == ("too_many_redirects", LIMITS.max_redirects)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://example.org/x", "http://a:b@example.org/", "http://["]
)
def test_a_redirect_to_something_else_is_refused(web, fetcher, location):
    assert reason(fetcher.fetch(web.on("/odd", reply(status=302, Location=location)))) == "bad_redirect"


def test_a_redirect_to_a_private_address_is_refused_and_never_asked(web, fetcher):
    web.on("/secret", reply(jpeg()))
    for host in ("127.0.0.1", "localhost", "[::1]", "127.1", "2130706433"):
        got = fetcher.fetch(web.on("/inward", reply(status=302, Location=f"http://{host}:{web.port}/secret")))
        assert reason(got) == "private_address", host
    assert web.asked["/secret"] == 0


def test_private_addresses_are_refused_unless_allowed(web, fetcher, tmp_path):
    web.on("/direct", reply(jpeg()))
    url = f"http://127.0.0.1:{web.port}/direct"
    assert reason(fetcher.fetch(url)) == "private_address"
    assert isinstance(Crawl(tmp_path, allow_private=True).fetch(url), Picture)


def test_connect_to_exempts_exactly_that_host_and_port(web, tmp_path):
    web.on("/exact", reply(jpeg()))
    other = Crawl(tmp_path, connect_to={"localhost": ("127.0.0.1", web.port)})
    assert isinstance(other.fetch("http://localhost/exact"), Picture)
    assert reason(other.fetch(f"http://localhost:{web.port}/exact")) == "private_address"
    assert reason(other.fetch("https://localhost/exact")) == "private_address"


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(web, tmp_path, monkeypatch):
    """The socket goes to the address that was checked: a second resolution never happens."""
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))],
               [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", web.port))]]  # fmt: skip
    reached = []

    class Recorded(socket.socket):
        def connect(self, address):
            reached.append(address)
            raise ConnectionRefusedError

    monkeypatch.setattr(guard.socket, "getaddrinfo", lambda *_, **__: answers.pop(0))
    monkeypatch.setattr(guard.socket, "socket", Recorded)
    assert reason(Crawl(tmp_path, replace(LIMITS, retries=0)).fetch("http://rebind.example/")) == "connection"
    assert reached == [("93.184.216.34", 80)]


def test_of_public_and_private_answers_only_the_public_ones_are_tried(monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("10.0.0.1", "93.184.216.34", "169.254.169.254")
    ]
    monkeypatch.setattr(guard.socket, "getaddrinfo", lambda *_, **__: found)
    assert guard.Guard({}, allow_private=False)._permitted("mixed.example", 80, False) == [
        (socket.AF_INET, ("93.184.216.34", 80))
    ]


def test_a_name_that_does_not_exist_is_unknown_and_not_asked_twice(tmp_path, monkeypatch):
    asked = []

    def no_such_name(*_, **__):
        asked.append(1)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(guard.socket, "getaddrinfo", no_such_name)
    assert reason(Crawl(tmp_path).fetch("http://nowhere.example/")) == "unknown_host"
    assert len(asked) == 1


def test_a_silent_name_server_is_asked_again(tmp_path, monkeypatch):
    asked = []

    def silent(*_, **__):
        asked.append(1)
        raise socket.gaierror(socket.EAI_AGAIN, "again")

    monkeypatch.setattr(guard.socket, "getaddrinfo", silent)
    assert reason(Crawl(tmp_path).fetch("http://nowhere.example/")) == "silent_name_server"
    assert len(asked) == 1 + LIMITS.retries


@pytest.mark.parametrize("host", ["a" * 64, "a" * 300, "a..b", "xn--"])
def test_a_host_that_cannot_be_resolved_is_a_drop(fetcher, host):
    assert reason(fetcher.fetch(f"http://{host}/")) in {"unknown_host", "bad_address"}


def test_plain_http_where_https_was_asked_is_a_tls_drop(web, tmp_path):
    assert reason(Crawl(tmp_path, allow_private=True).fetch(f"https://127.0.0.1:{web.port}/")) == "tls"


def test_a_page_called_jpg_is_not_a_picture(web, fetcher):
    page = b"<!DOCTYPE html><html><body>404, politely</body></html>"
    assert reason(fetcher.fetch(web.on("/page.jpg", reply(page, Content_Type="image/jpeg")))) == "not_a_picture"


def test_an_empty_body_is_a_drop(web, fetcher):
    assert reason(fetcher.fetch(web.on("/empty", reply(b"")))) == "empty"


def test_a_declared_size_over_the_cap_is_not_read(web, fetcher):
    got = fetcher.fetch(web.on("/huge", reply(b"", Content_Length="900000000")))
    assert isinstance(got, Drop)
    assert (got.reason, got.value, got.limit) == ("too_large", 900_000_000, LIMITS.max_bytes)
    assert reason(fetcher.fetch(web.on("/huger", reply(b"", Content_Length="9" * 400)))) in {"too_large", "connection"}


def chunked(handler, chunks):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for chunk in chunks:
        handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")


def test_an_endless_body_is_cut_at_the_cap(web, fetcher):
    got = fetcher.fetch(web.on("/endless", lambda h: chunked(h, (b"x" * 65536 for _ in range(10_000)))))
    assert isinstance(got, Drop)
    assert (got.reason, got.limit) == ("too_large", LIMITS.max_bytes)


def test_a_chunked_picture_comes_whole(web, fetcher):
    data = jpeg(5)
    got = fetcher.fetch(web.on("/chunks", lambda h: chunked(h, [data[:7], data[7:300], data[300:]])))
    assert isinstance(got, Picture)
    assert got.data == data


def test_a_compressed_picture_is_unpacked_and_a_compression_bomb_stays_small(web, fetcher):
    got = fetcher.fetch(web.on("/gz", reply(gzip.compress(jpeg(6)), Content_Encoding="gzip")))
    assert isinstance(got, Picture)
    assert got.data == jpeg(6)
    bomb = gzip.compress(bytes(50_000_000))
    url = web.on("/bomb", reply(bomb, Content_Encoding="gzip"))
    tracemalloc.start()
    try:
        assert reason(fetcher.fetch(url)) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_damaged_compression_is_not_a_picture(web, fetcher):
    assert reason(fetcher.fetch(web.on("/bad-gz", reply(b"no gzip", Content_Encoding="gzip")))) == "not_a_picture"


def test_too_many_pixels_are_seen_in_the_header(web, fetcher):
    got = fetcher.fetch(web.on("/wide", reply(jpeg(side=1100))))
    assert isinstance(got, Drop)
    assert (got.reason, got.limit) == ("too_many_pixels", LIMITS.max_pixels)


def test_cookies_are_neither_kept_nor_sent(web, fetcher):
    seen = []

    def answer(handler):
        seen.append(handler.headers.get("Cookie"))
        reply(jpeg(), Set_Cookie="who=you")(handler)

    url = web.on("/cookie", answer)
    fetcher.fetch(url)
    fetcher.fetch(url)
    assert seen == [None, None]


def test_a_proxy_of_the_environment_is_not_used(web, fetcher, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert isinstance(fetcher.fetch(web.on("/noproxy", reply(jpeg()))), Picture)


def test_a_removed_address_is_not_asked_for_even_behind_a_redirect(web, tmp_path):
    web.on("/gone.jpg", reply(jpeg()))
    url = web.on("/to-gone", reply(status=302, Location="/gone.jpg"))
    removals.add(tmp_path / "list.jsonl", source=f"http://{HOST}/gone.jpg")
    crawl = Crawl(tmp_path, connect_to=web.connect_to, removals=tmp_path / "list.jsonl")
    assert reason(crawl.fetch(url)) == "removed"
    assert web.asked["/gone.jpg"] == 0


def test_drops_never_say_what_differs_between_runs(web, fetcher, tmp_path):
    """Ports, object addresses and times in a drop would make the same crawl give other bytes."""
    url = web.on("/broken-again", reply(status=503))
    with serve() as other:
        other.on("/broken-again", reply(status=503))
        elsewhere = Crawl(tmp_path / "elsewhere", connect_to=other.connect_to)
        assert fetcher.fetch(url) == elsewhere.fetch(url)


def test_many_threads_share_one_fetcher(web, fetcher):
    urls = [web.on(f"/many/{i}.jpg", reply(jpeg(i))) for i in range(40)]
    got = fetcher.fetch_all(urls, threads=4)
    assert [each.data for each in got if isinstance(each, Picture)] == [jpeg(i) for i in range(40)]


@pytest.mark.parametrize("address", [
    "10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "::127.0.0.1", "fec0::1", "ff02::1",
    "198.18.0.1", "240.0.0.1",
])  # fmt: skip
def test_addresses_inside_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_outside_are_public(address):
    assert is_public(address)
