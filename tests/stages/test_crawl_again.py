"""A crawl that is killed, repeated, retried and refreshed: nothing is frozen, lost, doubled or asked for twice."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from manifests import table
from pipeline import events
from pipeline.crawl import log
from pipeline.crawl.answers import folder_of
from pipeline.crawl.collect import Again
from pipeline.crawl.outcome import Outcome
from pipeline.plan import plan
from pipeline.run import Summary, run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Paths
from stages.cli import main
from stages.crawl import STAGE, asking_again

from ..pipeline.crawl.webserver import Answer, Web, jpeg, reply, serve

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "contact": "me@example.org", "allow_private": True, "timeout_s": 1.0, "deadline_s": 3.0, "retries": 1,
    "backoff_s": 0.001, "requests_per_s": 1000.0, "per_host": 4, "network_wait_s": 0.0,
}  # fmt: skip


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as running:
        yield running


class Project:
    """A folder with a list of addresses on the test server, crawled by the real runner."""

    def __init__(self, folder: Path, web: Web, count: int, buckets: int = 3, list_file: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        list_file = list_file or folder / "list.csv"
        self.folder, self.web = folder, web
        self.urls = {i: f"http://127.0.0.1:{web.port}/{i}.jpg" for i in range(count)}
        lines = [f"person{i % 7},{url}" for i, url in self.urls.items()]
        list_file.write_text("identity_id,url\n" + "\n".join(lines) + "\n")
        self.section: dict[str, Any] = {"source": "urls", "urls": str(list_file), **QUICK}
        self.paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
        self.buckets = buckets

    def crawl(self, again: Again | None = None) -> Summary:
        params = Params(self.paths, Run(buckets=self.buckets, workers=1), {"crawl": self.section})
        summary = run_stage(asking_again(again) if again else STAGE, params, 1)
        assert summary is not None
        return summary

    def digests(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.folder / "data").rglob("*.parquet"))
        }

    def kept(self) -> dict[str, bytes]:
        rows = [row for path in table.shards(self.folder / "data" / "crawl") for row in table.read_rows(path)]
        assert len({row["row_id"] for row in rows}) == len(rows)
        return {row["source"]: row["image"] for row in rows}

    def asked(self) -> int:
        return sum(count for path, count in self.web.asked.items() if path.endswith(".jpg"))


def test_a_passing_fault_is_not_frozen_and_a_retry_asks_for_nothing_else(web, tmp_path):
    project = Project(tmp_path, web, 12)
    for i in range(12):
        web.on(f"/{i}.jpg", reply(status=503) if i < 3 else reply(status=404) if i < 5 else reply(jpeg(i)))
    first = project.crawl()
    assert (first.kept, first.reasons) == (7, {"http_error": 5})
    before = project.digests()
    for i in range(5):
        web.on(f"/{i}.jpg", reply(jpeg(i)))
    web.asked.clear()
    assert project.crawl().skipped_shards == project.buckets
    assert project.digests() == before
    assert project.asked() == 0, "finished is finished, until a retry is asked for"
    elsewhere = Again(frozenset({Outcome.FAILED_TRANSIENT}), host="elsewhere.test")
    assert project.crawl(elsewhere).kept == 7
    assert project.asked() == 0
    assert project.crawl(Again(frozenset({Outcome.FAILED_TRANSIENT}), host="127.0.0.1")).kept == 10
    assert project.asked() == 3
    assert project.crawl(Again(frozenset({Outcome.FAILED_PERMANENT}))).kept == 12
    assert project.kept() == {url: jpeg(i) for i, url in project.urls.items()}


def test_what_a_retry_made_equals_a_crawl_that_had_no_fault(web, tmp_path):
    hurt, clean = (Project(tmp_path / name, web, 12, list_file=tmp_path / "list.csv") for name in ("hurt", "clean"))
    for i in range(12):
        web.on(f"/{i}.jpg", reply(status=503) if i % 3 == 0 else reply(jpeg(i % 5)))
    hurt.crawl()
    for i in range(12):
        web.on(f"/{i}.jpg", reply(jpeg(i % 5)))
    hurt.crawl(Again(frozenset({Outcome.FAILED_TRANSIENT})))
    clean.crawl()
    assert hurt.digests() == clean.digests()


def test_other_limits_ask_only_for_what_they_concern(web, tmp_path):
    project = Project(tmp_path, web, 6)
    for i in range(6):
        web.on(f"/{i}.jpg", reply(jpeg(i, side=100 if i == 0 else 32)))
    project.section["max_pixels"] = 5000
    assert project.crawl().reasons == {"too_many_pixels": 1}
    web.asked.clear()
    project.section["max_pixels"] = 20_000
    assert project.crawl().kept == 6
    assert web.asked == {"/0.jpg": 1}
    web.asked.clear()
    project.section["max_pixels"] = 5000
    assert project.crawl().reasons == {"too_many_pixels": 1}
    assert not web.asked, "what is here is judged again without a request"


def test_the_log_says_of_every_row_what_why_and_when(web, tmp_path):
    project = Project(tmp_path, web, 3, buckets=1)
    web.on("/robots.txt", reply(b"User-agent: *\nDisallow: /1.jpg\n"))
    web.on("/0.jpg", reply(jpeg(), ETag='"x"'))
    web.on("/2.jpg", reply(jpeg(), X_Robots_Tag="noai"))
    assert project.crawl().reasons == {"blocked_robots": 1, "opted_out": 1}
    path = folder_of(project.paths.data) / "log" / table.shard_name(0)
    rows = {row["address"][-5:]: row for row in table.read_rows(path)}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "0.jpg": "ok", "1.jpg": "blocked_robots", "2.jpg": "opted_out",
    }  # fmt: skip
    assert rows["2.jpg"]["detail"] == "X-Robots-Tag: noai"
    assert all(row["evidence"].startswith("robots.txt, sha256") and row["asked_at"] for row in rows.values())
    assert {name: row["attempts"] for name, row in rows.items()} == {"0.jpg": 1, "1.jpg": 0, "2.jpg": 1}
    assert all(record.trace for record in log.read(path).values())


def test_the_run_log_counts_the_outcomes_of_all_processes(web, tmp_path):
    project = Project(tmp_path, web, 1010)  # enough for two processes, were there two sites
    web.otherwise = reply(jpeg())
    web.on("/3.jpg", reply(status=404))
    project.urls = {i: url.replace("127.0.0.1", "localhost") if i % 2 else url for i, url in project.urls.items()}
    lines = [f"person{i},{url}" for i, url in project.urls.items()]
    Path(project.section["urls"]).write_text("identity_id,url\n" + "\n".join(lines) + "\n")
    project.section |= {"processes": 2, "requests_per_s": 1e6}
    assert project.crawl().kept == 1009
    lines = (events.folder_of(project.paths.data) / events.FILE).read_text().splitlines()
    (asked,) = [event for event in map(json.loads, lines) if event["event"] == "asked"]
    assert (asked["addresses"], asked["outcomes"]) == (1010, {"ok": 1009, "failed_permanent": 1})


def with_etag(data: bytes, tag: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        known = handler.headers.get("If-None-Match") == tag
        (reply(status=304) if known else reply(data, ETag=tag))(handler)

    return answer


def test_a_refresh_is_conditional_counts_the_drift_and_keeps_what_it_could_not_reach(web, tmp_path, capsys):
    project = Project(tmp_path, web, 6)
    for i in range(6):
        web.on(f"/{i}.jpg", with_etag(jpeg(i), f'"{i}"'))
    project.crawl()
    web.on("/1.jpg", reply(jpeg(101)))  # other bytes, the same pixels
    web.on("/2.jpg", reply(status=410))
    web.on("/3.jpg", reply(status=503))
    web.on("/4.jpg", reply(jpeg(4), X_Robots_Tag="noai"))
    summary = project.crawl(Again(refresh=True))
    assert summary.reasons == {"http_error": 1, "opted_out": 1}
    kept = project.kept()
    assert {url[-5]: data for url, data in kept.items()} == {"0": jpeg(0), "1": jpeg(101), "3": jpeg(3), "5": jpeg(5)}
    said = " ".join(capsys.readouterr().err.split())
    assert "same bytes 2, same pixels 1, gone 1, withdrawn 1, not reached 1" in said
    before = project.digests()
    assert project.crawl().skipped_shards == project.buckets
    assert project.digests() == before


def test_a_lost_log_and_an_old_spool_change_no_byte(web, tmp_path):
    project = Project(tmp_path, web, 9)
    for i in range(9):
        web.on(f"/{i}.jpg", reply(status=404) if i == 0 else reply(jpeg(i % 6)))
    project.crawl()
    before = project.digests()
    for path in sorted(folder_of(project.paths.data).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    web.asked.clear()
    project.crawl()
    assert project.digests() == before
    assert project.asked() <= 2, "only rows that were dropped as copies are asked for again"


def start(project: Project) -> "subprocess.Popen[bytes]":
    params = {"run": {"buckets": project.buckets, "workers": 1}, "crawl": project.section | {"threads": 2}}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "stages.cli", "run", "crawl"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.Popen(command, cwd=project.folder, env=env, stderr=subprocess.DEVNULL)


def killed(project: Project, after: int) -> None:
    """Crawl, and kill -9 as soon as so many pictures were asked for, or the run has ended."""
    goal = project.asked() + after
    process = start(project)
    while process.poll() is None and project.asked() < goal:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def kill_and_compare(folder: Path, web: Web, count: int, kills: int) -> None:
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.005)
        reply(jpeg(int(handler.path[1:-4]) % (count - 5)))(handler)

    web.otherwise = slowly
    web.on("/robots.txt", reply(b""))
    clean, hurt = (Project(folder / name, web, count, list_file=folder / "list.csv") for name in ("clean", "hurt"))
    assert start(clean).wait() == 0
    web.asked.clear()
    moments = random.Random(kills)
    for _ in range(kills):
        killed(hurt, moments.randrange(1, 2 * count // kills))
    assert start(hurt).wait() == 0
    assert hurt.digests() == clean.digests()
    assert hurt.asked() - count <= 2 * kills, "what two threads had on their way, and nothing that was written down"
    assert not list(folder_of(hurt.folder / "data").rglob("*.spool"))


def test_kill_9_at_random_moments_gives_the_same_bytes_and_asks_for_almost_nothing_twice(web, tmp_path):
    kill_and_compare(tmp_path, web, count=60, kills=2)


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments(web, tmp_path):
    kill_and_compare(tmp_path, web, count=600, kills=20)


def test_the_command_plans_without_asking_and_refuses_what_makes_no_sense(web, tmp_path, monkeypatch):
    project = Project(tmp_path, web, 5)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"crawl": {"contact": "me@example.org"}}))
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    planned = run(main, ["crawl", "--source", "urls", "--list", "list.csv", "--per-identity", "3", "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "7 requests to 1 sites" in planned.output
    assert f"5  http://127.0.0.1:{web.port}" in planned.output.replace("  ", " ").replace(" 5 ", "5  ", 1)
    assert not web.asked
    assert run(main, ["crawl", "--host", "a.test"]).exit_code == 2
    assert run(main, ["crawl", "--source", "commons", "--list", "x"]).exit_code == 2
    assert run(main, ["crawl", "--source", "google", "--dry-run"]).exit_code == 2, "nobody to search for"
    assert project.asked() == 0


def test_a_plan_asks_nobody_and_touches_no_answer(tmp_path: Path, web: Web) -> None:
    project = Project(tmp_path, web, 4)
    for i in range(4):
        web.on(f"/{i}.jpg", reply(jpeg(i)))
    params = Params(project.paths, Run(buckets=3, workers=1), {"crawl": project.section})
    (before,) = plan([STAGE], params)
    assert before.why == {"4 addresses to ask for, 0 searches to make": 3} and before.to_do == 3
    assert not web.asked
    project.crawl()
    asked, made = dict(web.asked), project.digests()
    (after,) = plan([STAGE], params)
    assert after.to_do == 0 and dict(web.asked) == asked and project.digests() == made
    project.section["max_bytes"] = 10
    assert plan([STAGE], params)[0].to_do
    assert dict(web.asked) == asked
