"""The report: true, self-contained, the same bytes every time, and deaf to what strangers call themselves."""

import base64
import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import DataError, Missing
from manifests.schema import CRAWL, DROPS, FACE_SCORES, LANDMARKS, MANIFEST, REVIEW, VOICES, WHITEN
from manifests.table import read_rows, write_table
from pipeline.report.statistics import collect
from pipeline.review import status
from pipeline.review.importer import append
from pipeline.review.people import Wanted
from pipeline.stage import Context, Paths
from stages import STAGES
from stages.stats import Settings, metrics, read_stats, run, summary_text
from tests.factories import make_rows, picture, write_stage
from tests.pipeline.review.said import said

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&[bold red]\x1b[31m"


def context(folder: Path) -> Context:
    return Context(Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review"), 1)


def finished(folder: Path, **everywhere: Any) -> Context:
    """A small finished run: ten crawled, seven past landmarks, six kept, five recordings, one lost."""
    data = folder / "data"

    def rows(table: Any, n: int, **overrides: Any) -> list[dict[str, Any]]:
        known = {name: value for name, value in everywhere.items() if name in table.names}
        return make_rows(table, n, **{"row_id": lambda i: f"face{i}"} | overrides | known)

    write_stage(data, CRAWL, rows(CRAWL, 10, image=lambda i: b"junk" if i == 8 else picture(i, kind="JPEG")))
    lost = rows(DROPS, 3, row_id=lambda i: f"face{7 + i}", stage="landmarks", value=20.5, limit=5.0)
    write_stage(data, LANDMARKS, rows(LANDMARKS, 7), lost)
    write_table(data / "scores" / "landmarks" / "part-0000.parquet", FACE_SCORES, rows(FACE_SCORES, 10), {})
    write_stage(data, WHITEN, rows(WHITEN, 7))
    waiting = rows(DROPS, 1, row_id="face6", stage="review", reason="awaiting_review", value=None, limit=None)
    write_stage(data, REVIEW, rows(REVIEW, 6), waiting)
    silent = rows(DROPS, 1, row_id="v9", stage="voices", reason="no_speech")
    write_stage(data, VOICES, rows(VOICES, 5, row_id=lambda i: f"voice{i}"), silent)
    faces = rows(MANIFEST, 6, kind="face", duration_s=None, split=lambda i: "test" if i < 4 else "train")
    speech = rows(MANIFEST, 5, row_id=lambda i: f"voice{i}", kind="speech", width=None, duration_s=7200.0, split="test")
    write_table(data / "hq_voxceleb.parquet", MANIFEST, faces + speech, {"stage": "manifest", "weights": {}})
    return context(folder)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished report, for tests that only look."""
    folder = tmp_path_factory.mktemp("reported")
    run(Settings(dropped_shown=2), finished(folder))
    return folder


class Page(HTMLParser):
    """Start tags with attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(folder: Path) -> Page:
    return Page((folder / "reports" / "index.html").read_text(encoding="utf-8"))


def test_the_metrics_are_the_datasets_size_and_yields(reported: Path) -> None:
    found = metrics(read_stats(reported / "reports"))
    assert {name: found[name] for name in ("people", "faces", "clips", "hours")} == {
        "people": 2, "faces": 6, "clips": 5, "hours": 10.0,
    }  # fmt: skip
    assert found["yield"]["landmarks"] == 0.7
    assert list(found["yield"]) == ["crawl", "landmarks", "whiten", "review", "voices", "manifest"]


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        run(Settings(), finished(tmp_path))
        files = [path for folder in ("reports", "metrics") for path in sorted((tmp_path / folder).rglob("*.*"))]
        made.append({path.name: path.read_bytes() for path in files})
    assert len(made[0]) == 2 + 3 + 5  # page and JSON; funnel, reasons, faces per person; five histograms
    assert made[0] == made[1]


def test_the_page_needs_nothing_else(reported: Path) -> None:
    found = page(reported)
    policy = next(a["content"] for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not {tag for tag, _ in found.tags} & {"script", "iframe", "object", "link", "form", "base", "a"}
    assert all(
        a.get("src", a.get("srcset", "")).startswith("data:image/") for tag, a in found.tags if tag in ("img", "source")
    )
    assert not [name for _, a in found.tags for name in a if name.startswith("on") or name == "style"]


def test_hostile_text_is_shown_and_never_obeyed(tmp_path: Path, reported: Path) -> None:
    hostile = finished(
        tmp_path, name=HOSTILE, nationality=HOSTILE, licence=HOSTILE, source=HOSTILE, reason=HOSTILE,
        detail=HOSTILE, decided_by=HOSTILE, identity_id=HOSTILE,
    )  # fmt: skip
    run(Settings(), hostile)
    found = page(tmp_path)
    assert "<script>alert(1)</script>" in found.text
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in page(reported).tags} | {"ul", "li"}
    assert not [name for _, a in found.tags for name in a if name.startswith("on") or name == "style"]
    for tag, attributes in found.tags:
        if tag == "source":
            drawing = base64.b64decode(attributes["srcset"].partition("base64,")[2])
            assert {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing).iter()} <= {
                "svg", "defs", "style", "g", "path", "use", "text", "clipPath", "rect", "metadata", "RDF", "Work",
                "type", "format",
            }  # fmt: skip
    text = summary_text(read_stats(tmp_path / "reports"))
    assert "\x1b" not in text
    assert "[bold red]" in text


def test_dropped_pictures_are_shown_with_what_was_measured(reported: Path) -> None:
    text = page(reported).text
    assert "landmarks: pupils too close3 rows" in text
    assert text.count("20.5, limit 5") == 2
    assert "review: awaiting review1 row" in text


def test_a_picture_that_does_not_open_is_said_to(reported: Path) -> None:
    assert page(reported).text.count("does not open") == 1


def test_the_paper_stands_beside_the_run_and_is_called_the_paper(reported: Path) -> None:
    words = " ".join(page(reported).text.split())
    assert "paper 609,700" in words
    assert re.search(r"identities ?2paper 3,638", words)
    assert "Do not redistribute" in words
    assert "Removal requests" in words


def test_plots_are_tables_that_add_up(reported: Path) -> None:
    folder = reported / "metrics" / "plots"
    with (folder / "funnel.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    assert rows["landmarks"] == {"stage": "landmarks", "input": "10", "kept": "7", "people": "2"}
    with (folder / "yaw_deg.csv").open() as file:
        bins = list(csv.DictReader(file))
    assert (sum(int(b["scored"]) for b in bins), sum(int(b["kept"]) for b in bins)) == (10, 6)


def test_the_summary_says_what_came_out_and_where_to_look_next(reported: Path) -> None:
    text = summary_text(read_stats(reported / "reports"))
    assert text.startswith("2 people, 6 faces, 5 clips, 10.00 hours of voiced speech")
    assert "Pictures that wait for a person's decision: 1 (`pipeline review-export`)." in text
    assert "Stage landmarks keeps least (70%), mostly for `pupils_too_close` (3 of 3)" in text
    assert str(reported / "reports" / "index.html") in text


def test_decisions_that_no_longer_fit_are_counted(tmp_path: Path) -> None:
    ready = finished(tmp_path)
    line = {
        "task_id": "t",
        "sample_id": "gone",
        "shown_sha256": "a" * 64,
        "decision": "keep",
        "reviewer": "a",
        "round": 1,
    }
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "decisions.jsonl").write_text(json.dumps(line))
    counted = collect(ready.paths.data, ready.paths.review, STAGES)["decisions"]
    assert counted == {"current": 0, "stale": 0, "unknown": 1}


def test_the_report_says_what_review_status_says(tmp_path: Path) -> None:
    ready = finished(tmp_path)
    assert collect(ready.paths.data, ready.paths.review, STAGES)["review"] is None
    rows = read_rows(ready.paths.data / "whiten/part-0000.parquet", ["sample_id", "image_sha256"])
    decided = [
        said(word, name, row["sample_id"], shown=row["image_sha256"])
        for name, word in (("ann", "keep"), (HOSTILE, "reject"))
        for row in rows[:4]
    ]
    append(ready.paths.review / "decisions.jsonl", decided)
    run(Settings(), ready)
    stats = read_stats(ready.paths.reports)
    assert stats["review"] == json.loads(
        json.dumps(status.read(ready.paths.data, ready.paths.review, Wanted(3, 7)).as_json())
    )
    assert (len(stats["review"]["conflicts"]), stats["review"]["agreement"]["pictures"]) == (4, 4)
    text = (ready.paths.reports / "index.html").read_text()
    assert "What people decided" in text
    assert "4 pictures were decided by several: 0%" in text
    assert "<script" not in text


def test_an_empty_dataset_still_has_a_report(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_stage(data, CRAWL, [])
    write_table(data / "hq_voxceleb.parquet", MANIFEST, [], {"stage": "manifest"})
    assert run(Settings(), context(tmp_path))["people"] == 0
    assert summary_text(read_stats(tmp_path / "reports")).startswith("0 people")


def test_before_the_first_run_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="pipeline run stats"):
        read_stats(tmp_path)
    (tmp_path / "stats.json").write_text("{")
    with pytest.raises(DataError, match="pipeline run stats"):
        read_stats(tmp_path)
