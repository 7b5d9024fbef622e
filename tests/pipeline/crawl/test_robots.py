"""robots.txt by RFC 9309, against a server: what is obeyed, when it is asked for, and what stands in for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.crawl.download import Part, download
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.record import Record
from pipeline.crawl.robots import VALID_S, RobotsCache, Rules
from pipeline.crawl.spool import Spool, spool_folder
from pipeline.crawl.turns import Job

from .webserver import Web, jpeg, reply, serve

LIMITS = Politeness(
    timeout_s=0.5, deadline_s=2.0, retries=1, backoff_s=0.001, max_wait_s=1.0, requests_per_s=1000.0, network_wait_s=0.0
)


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as running:
        running.on("/open.jpg", reply(jpeg(1)))
        running.on("/secret/1.jpg", reply(jpeg(2)))
        yield running


def crawl(web: Web, folder: Path, *paths: str) -> dict[str, Record]:
    """As a stranger's server: the address is loopback, which only a flag permits."""
    jobs = [Job(path, f"http://127.0.0.1:{web.port}{path}") for path in paths]
    download(Part(jobs, LIMITS, folder, "me@example.org", allow_private=True, threads=2))
    spool = Spool(spool_folder(folder))
    return {path: spool.record(path) for path in paths}


def reasons(records: dict[str, Record]) -> dict[str, str | None]:
    return {path: record.drop and record.drop.reason for path, record in records.items()}


BOTH = ("/open.jpg", "/secret/1.jpg")


@pytest.mark.parametrize(
    ("text", "blocked"),
    [
        (b"User-agent: *\nDisallow: /secret/\n", {"/secret/1.jpg"}),
        (b"User-agent: HQ-Vox\nDisallow: /\n\nUser-agent: *\nAllow: /\n", {"/open.jpg", "/secret/1.jpg"}),
        (b"User-agent: otherbot\nDisallow: /\n", set()),
        (b"User-agent: *\nDisallow: /\nAllow: /open\n", {"/secret/1.jpg"}),  # the longest match decides (2.2.2)
        (b"User-agent: *\nDisallow: /*.jpg$\nAllow: /open.jpg$\n", {"/secret/1.jpg"}),
        (b"\xff\xfe<html>not rules</html>", set()),
        (b"", set()),
    ],
)
def test_rules_are_obeyed(web, tmp_path, text, blocked):
    web.on("/robots.txt", reply(text))
    found = reasons(crawl(web, tmp_path, *BOTH))
    assert {path for path, reason in found.items() if reason == "blocked_robots"} == blocked
    assert all(web.asked[path] == (path not in blocked) for path in BOTH)
    assert web.asked["/robots.txt"] == 1


def test_the_decision_and_its_evidence_are_written_down(web, tmp_path):
    web.on("/robots.txt", reply(b"User-agent: *\nDisallow: /secret/\n"))
    found = crawl(web, tmp_path, *BOTH)
    allowed, refused = found["/open.jpg"], found["/secret/1.jpg"]
    assert allowed.trace is not None and refused.drop is not None and refused.trace is not None
    assert str(allowed.trace.evidence).startswith("robots.txt, sha256 ")
    assert refused.drop.detail == f"{refused.trace.evidence}, disallows HQ-Vox"
    assert refused.trace.asked_at.endswith("+00:00")


@pytest.mark.parametrize("status", [404, 401, 403, 410])
def test_no_rules_is_no_refusal(web, tmp_path, status):
    web.on("/robots.txt", reply(status=status))
    assert reasons(crawl(web, tmp_path, "/open.jpg")) == {"/open.jpg": None}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_cannot_say_is_taken_to_refuse(web, tmp_path, status):
    web.on("/robots.txt", reply(status=status))
    assert reasons(crawl(web, tmp_path, *BOTH)) == dict.fromkeys(BOTH, "blocked_robots")
    assert web.asked["/robots.txt"] == 1 + LIMITS.retries
    assert not web.asked["/open.jpg"]


def test_a_server_that_recovers_is_crawled(web, tmp_path):
    web.on("/robots.txt", reply(status=503), reply(b""))
    assert reasons(crawl(web, tmp_path, "/open.jpg")) == {"/open.jpg": None}


def test_rules_behind_redirects_are_read_and_a_loop_counts_as_no_rules(web, tmp_path):
    web.on("/robots.txt", reply(status=301, Location="/elsewhere.txt"))
    web.on("/elsewhere.txt", reply(b"User-agent: *\nDisallow: /secret/\n"))
    assert reasons(crawl(web, tmp_path, *BOTH)) == {"/open.jpg": None, "/secret/1.jpg": "blocked_robots"}
    web.on("/robots.txt", reply(status=301, Location="/robots.txt"))
    assert reasons(crawl(web, tmp_path / "again", "/open.jpg")) == {"/open.jpg": None}


def test_an_endless_file_is_cut_and_obeyed(web, tmp_path):
    web.on("/robots.txt", reply(b"User-agent: *\nDisallow: /secret/\n" + b"# \n" * 2_000_000))
    assert reasons(crawl(web, tmp_path, *BOTH))["/secret/1.jpg"] == "blocked_robots"


def test_rules_are_asked_for_once_a_day(web, tmp_path):
    web.on("/robots.txt", reply(b""))
    crawl(web, tmp_path, "/open.jpg")
    crawl(web, tmp_path, "/open.jpg")
    assert web.asked["/robots.txt"] == 1
    now = 1_000_000.0
    cache = RobotsCache(tmp_path / "r", lambda: now)
    cache.put(Rules("http://a.test", now, 503))
    assert RobotsCache(tmp_path / "r", lambda: now + VALID_S - 1).get("http://a.test") is not None
    assert RobotsCache(tmp_path / "r", lambda: now + VALID_S + 1).get("http://a.test") is None


def test_a_redirect_to_another_site_asks_for_its_rules_first(web, tmp_path):
    with serve() as other:
        other.on("/robots.txt", reply(b"User-agent: *\nDisallow: /\n"))
        other.on("/x.jpg", reply(jpeg()))
        web.on("/away.jpg", reply(status=302, Location=f"http://127.0.0.1:{other.port}/x.jpg"))
        assert reasons(crawl(web, tmp_path, "/away.jpg")) == {"/away.jpg": "blocked_robots"}
        assert not other.asked["/x.jpg"]


def test_a_delay_that_the_rules_ask_for_is_known():
    assert Rules("http://a.test", 0.0, 200, "User-agent: *\nCrawl-delay: 2\n").delay_s == 2.0
    assert Rules("http://a.test", 0.0, 404, "User-agent: *\nCrawl-delay: 2\n").delay_s == 0.0


def test_an_opt_out_is_seen_before_the_body_is_read(web, tmp_path):
    sent = []

    def answer(handler):
        handler.send_response(200)
        handler.send_header("X-Robots-Tag", "noai")
        handler.send_header("Content-Length", str(100 << 20))
        handler.end_headers()
        for _ in range(1600):
            sent.append(handler.wfile.write(bytes(1 << 16)))

    web.on("/robots.txt", reply(b""))
    web.on("/art.jpg", answer)
    found = crawl(web, tmp_path, "/art.jpg")["/art.jpg"]
    assert found.drop is not None
    assert (found.drop.reason, found.drop.detail) == ("opted_out", "X-Robots-Tag: noai")
    assert len(sent) < 1600


RESERVED = reply(b'[{"location": "/secret/*", "tdm-reservation": 1}]')


def test_what_tdmrep_json_reserves_is_not_asked_for_and_the_file_is_asked_for_once(web, tmp_path):
    web.on("/.well-known/tdmrep.json", RESERVED)
    for _ in range(2):  # the second time from the disk
        found = crawl(web, tmp_path, *BOTH)
        assert reasons(found) == {"/open.jpg": None, "/secret/1.jpg": "opted_out"}
    assert found["/secret/1.jpg"].drop.detail.endswith("reserves /secret/*")
    assert (web.asked["/secret/1.jpg"], web.asked["/.well-known/tdmrep.json"]) == (0, 1)


def test_a_tdmrep_json_that_robots_txt_forbids_is_not_asked_for(web, tmp_path):
    web.on("/robots.txt", reply(b"User-agent: *\nDisallow: /.well-known/\n"))
    web.on("/.well-known/tdmrep.json", RESERVED)
    assert reasons(crawl(web, tmp_path, *BOTH)) == dict.fromkeys(BOTH)
    assert web.asked["/.well-known/tdmrep.json"] == 0


def test_a_tdmrep_json_that_comes_late_is_waited_for_and_one_that_never_comes_reserves_nothing(web, tmp_path):
    web.on("/.well-known/tdmrep.json", reply(status=503), RESERVED)
    assert reasons(crawl(web, tmp_path / "late", *BOTH))["/secret/1.jpg"] == "opted_out"
    assert web.asked["/robots.txt"] == 1
    web.on("/.well-known/tdmrep.json", reply(status=503))
    assert reasons(crawl(web, tmp_path / "never", *BOTH)) == dict.fromkeys(BOTH)
