"""Several processes: what they ask together is no more than one of them may."""

import json
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline import events
from pipeline.crawl import collect
from pipeline.crawl.download import Part
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.spool import Spool, spool_folder
from pipeline.crawl.turns import Job

from .webserver import jpeg, reply, serve


def test_a_site_that_two_processes_are_redirected_to_is_asked_by_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "_JOBS_PER_PROCESS", 10)
    asked_at: list[float] = []

    def picture(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith(".jpg"):
            asked_at.append(time.monotonic())
        reply(jpeg() if handler.path.endswith(".jpg") else b"")(handler)

    with serve() as one, serve() as other, serve() as third:
        third.otherwise = picture
        jobs = []
        for web in (one, other):
            for i in range(20):
                web.on(f"/{i}.jpg", reply(status=302, Location=f"http://127.0.0.1:{third.port}/{web.port}/{i}.jpg"))
                jobs.append(Job(f"{web.port}/{i}", f"http://127.0.0.1:{web.port}/{i}.jpg"))
        polite = Politeness(requests_per_s=30.0, per_host=2, network_wait_s=0.0)
        part = Part((), polite, tmp_path / "crawl", "me@example.org", allow_private=True, threads=4)
        assert collect.ask_for(jobs, part, 2, tmp_path / "data") == 40
        assert third.asked["/robots.txt"] == 1
    assert len(asked_at) == 40
    assert asked_at[-1] - asked_at[0] >= 0.9 * 39 / polite.requests_per_s
    spool = Spool(spool_folder(tmp_path / "crawl"))
    assert {spool.body(job.row_id) for job in jobs} == {jpeg()}
    lines = (events.folder_of(tmp_path / "data") / events.FILE).read_text().splitlines()
    assert json.loads(lines[-1])["outcomes"] == {"ok": 40}
