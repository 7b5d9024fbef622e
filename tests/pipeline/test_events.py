"""What a run says while it goes and when it ends: the log of events, the metrics, the status line."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.progress import StageProgress
from tests.pipeline.toy import params, run_both


def test_the_log_tells_every_shard_between_start_and_end(tmp_path: Path) -> None:
    run_both(params(tmp_path))
    events = [json.loads(line) for line in (tmp_path / ".hqvox/events.jsonl").read_text().splitlines()]
    told = [(event["stage"], event["event"]) for event in events]
    for stage in ("numbers", "squares"):
        mine = [event for name, event in told if name == stage]
        assert mine == ["stage_started", *["shard_done"] * 3, "stage_ended"]
    assert (events[0]["executor"], events[0]["dashboard"]) == ("serial", None)
    assert all(datetime.fromisoformat(event["at"]).tzinfo is not None for event in events)
    ended = {event["stage"]: event for event in events if event["event"] == "stage_ended"}
    for stage, event in ended.items():
        metrics = json.loads((tmp_path / f"metrics/{stage}.json").read_text())
        assert metrics.items() <= event.items()
        assert metrics["input"] == metrics["kept"] + sum(metrics["reasons"].values())
        assert metrics["input"] == sum(e["input"] for e in events if (e["stage"], e["event"]) == (stage, "shard_done"))


def test_a_second_run_goes_on_in_the_same_log(tmp_path: Path) -> None:
    for _ in range(2):
        run_both(params(tmp_path))
    events = [json.loads(line) for line in (tmp_path / ".hqvox/events.jsonl").read_text().splitlines()]
    skipped = [event["skipped"] for event in events if event["event"] == "shard_done"]
    assert skipped == [False] * 6 + [True] * 6


def test_the_status_line_has_rate_reasons_and_the_page_to_watch(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    reasons = Counter(yaw=3, pitch=1)
    with StageProgress("landmarks", 2, "http://127.0.0.1:8787/status") as progress:
        progress.advance(10, 6, reasons)
    shown = capfd.readouterr().err
    for part in ("landmarks", "1/2", "6 of 10 kept", "rows/s", "(yaw 3, pitch 1)", "http://127.0.0.1:8787/status"):
        assert part in shown


def test_where_nobody_watches_one_line_stays(capfd: pytest.CaptureFixture[str]) -> None:
    with StageProgress("landmarks", 2) as progress:
        progress.advance(10, 6, Counter(yaw=4))
        progress.advance(20, 12, Counter(yaw=8))
        progress.finish(20, 12, Counter(yaw=8), skipped=1)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("landmarks  12 of 20 kept")
    assert line.endswith("1 shard was up to date")
