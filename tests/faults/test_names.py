"""Hostile texts as ids, names, addresses, folders and metadata, from the first stage to the last page."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

from manifests import table
from manifests.errors import DataError
from manifests.removals import NOTHING
from manifests.validate import validate_file
from pipeline import identities
from pipeline.crawl.content import look
from pipeline.crawl.sources import from_url_list
from pipeline.names import safe_id
from pipeline.review.batches import Options
from pipeline.review.export import FORMATS, Look, export
from pipeline.review.people import Wanted
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Context, Paths
from stages import align, crawl, emotion, identity, landmarks, manifest, review, stats, voices, whiten
from stages.cli import main
from tests.faults.pictures import face, saved

TEXTS = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "C:\\Windows\\System32\\con",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "$(touch owned)`touch owned`;touch owned",
    "=cmd|' /C calc'!A0",
    "x" * 300,
    "z\N{COMBINING GRAVE ACCENT}" * 300,
    "N\0UL",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea",
    "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS} Zoe\N{COMBINING DIAERESIS}",
    "\N{PILE OF POO}\N{ZERO WIDTH JOINER}\N{ZERO WIDTH SPACE}",
    "\x1b[2J\x1b]0;owned\x07",
    "line\nbreak, comma; 'quote'",
    "NULL",
    "nan",
    "-rf",
)
IN_FILES = tuple(text for text in TEXTS if "\0" not in text and "/" not in text and text != ".." and len(text) < 250)


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def sound(seed: int) -> Any:
    """Two seconds of a buzz with pauses, which every VAD takes for a voice."""
    time_s = np.arange(32_000) / 16_000
    return 0.4 * (np.sin(2 * np.pi * 3 * time_s) > 0) * np.sign(np.sin(2 * np.pi * (100 + seed) * time_s))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run over one person per text, known by it, photographed and recorded under it."""
    outer = tmp_path_factory.mktemp("outer")
    folder = outer / "project"
    folder.mkdir()
    metadata = write_csv(
        folder / "people.csv", ("identity_id", "name", "nationality"), [(text, text, text) for text in TEXTS]
    )
    address = "http://h.example/{}.png?q=%3Cscript%3E%00%E2%80%AE../../x"
    listed = [(text, address.format(i), text, text) for i, text in enumerate(TEXTS)]
    urls = write_csv(folder / "urls.csv", ("identity_id", "url", "licence", "page"), listed)
    for i, text in enumerate(IN_FILES):
        (folder / "voices" / text / text).mkdir(parents=True)
        soundfile.write(folder / "voices" / text / text / f"{text[:200]}.wav", sound(i), 16_000)
    odd_bytes = os.fsencode(folder / "voices") + b"/\xff\xfe"
    odd = Path(os.fsdecode(odd_bytes))
    odd.mkdir()
    soundfile.write(folder / "odd.wav", sound(99), 16_000)
    (folder / "odd.wav").rename(odd / os.fsdecode(b"\xff.wav"))
    run_all(folder, metadata, urls)
    return folder


def run_all(folder: Path, metadata: Path, urls: Path) -> None:
    """Every stage, the network apart: each address answers with a picture of its own."""

    @contextmanager
    def answers(_settings: crawl.Settings, _context: Context) -> Iterator[crawl.Crawler]:
        def get(url: str) -> Any:
            number = int(url.split("/")[3].partition(".")[0])
            return look(saved(np.roll(face(), number, axis=1), "JPEG"), 10**7)

        yield crawl.Crawler(get, NOTHING, lambda _: None)

    sections: dict[str, dict[str, Any]] = {
        "crawl": {"source": "urls", "urls": str(urls), "contact": "me@example.org", "metadata": [str(metadata)]},
        "landmarks": {"second_look_px": None},
        "identity": {"enabled": False},
        "emotion": {"enabled": False},
        "whiten": {"enabled": False, "max_coverage": 1.0, "min_edge_quality": 0.0},
        "review": {"min_per_person": 1},
        "voices": {"roots": [str(folder / "voices")], "metadata": [str(metadata)]},
        "manifest": {"require_both": False, "metadata": [str(metadata)]},
    }
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    chosen = Params(paths, Run(buckets=2, max_failed=0.0), sections)
    crawl_stage = replace(crawl.STAGE, around=answers)
    on_faces = (landmarks.STAGE, identity.STAGE, emotion.STAGE, align.STAGE, whiten.STAGE, review.STAGE)
    for stage in (crawl_stage, *on_faces, voices.STAGE, manifest.STAGE, stats.STAGE):
        run_stage(stage, chosen, 1)
    for form in FORMATS:
        out = paths.data / "review_batches" / form
        export(paths.data, out, [], [], Options(batch_size=5), Wanted(1, 7), Look(form))


def test_every_person_is_there_once_whatever_the_name(project: Path) -> None:
    rows = pd.read_parquet(project / "data/hq_voxceleb.parquet")
    faces, clips = rows[rows.kind == "face"], rows[rows.kind == "speech"]
    assert set(faces.identity_id) == {safe_id(text) for text in TEXTS}
    assert len(faces) == len(TEXTS) == faces.identity_id.nunique()
    assert len(clips) == len(IN_FILES) + 1
    assert set(clips.identity_id) >= {safe_id(text) for text in IN_FILES}, "a folder is the listed person of its name"


def test_every_row_is_accounted_for_and_none_failed(project: Path) -> None:
    for path in (project / "metrics").glob("*.json"):
        found = json.loads(path.read_text())
        if "input" in found:
            assert found["kept"] + sum(found["reasons"].values()) == found["input"], path.name
            assert "error" not in found["reasons"], path.name


def test_every_table_is_valid_and_holds_only_plain_text(project: Path) -> None:
    for path in (project / "data").rglob("*.parquet"):
        assert validate_file(path) == [], path
        for row in table.read_rows(path):
            for name, value in row.items():
                if isinstance(value, str):
                    assert value == value.strip() and not set(value) & set("\0\n\r\x1b\x07\u202e\u200b"), (path, name)


def test_no_text_becomes_a_place(project: Path) -> None:
    """Nothing is written outside the folders, and no file carries a stranger's name."""
    assert [path.name for path in project.parent.iterdir()] == ["project"]
    made = {path.name for name in ("data", "reports", "metrics") for path in (project / name).rglob("*")}
    assert all(name.isascii() and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") for name in made), made
    assert not (project / "owned").exists() and not Path("owned").exists()


def test_no_text_becomes_markup(project: Path) -> None:
    batches = sorted((project / "data/review_batches/html").glob("*/index.html"))
    assert len(batches) == -(-len(TEXTS) // 5)
    pages = [*(project / "reports").rglob("*.html"), *batches]
    assert len(pages) == 1 + len(batches)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for attack in ("<script>alert", "<img src=x", "<svg onload", "\u202e", "\x1b", ">49"):
            assert attack not in text, (page.name, attack)


def test_doubled_and_missing_ids_in_metadata_are_told_line_by_line(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "people.csv", ("identity_id", "name"), [("a", "A"), ("", "B"), ("a", "C"), ("d", "D")])
    with pytest.raises(DataError, match=r"people\.csv:3: no identity id\n.*people\.csv:4: a again; first in line 2"):
        identities.load([path])


def test_doubled_and_missing_ids_in_a_list_of_addresses(tmp_path: Path) -> None:
    people = identities.Identities({})
    url = "http://h.example/1.png"
    doubled = write_csv(
        tmp_path / "a.csv", ("identity_id", "url"), [("a", url), ("a", url), ("a", f"{url}#x"), ("b", url)]
    )
    rows = from_url_list(doubled, people)
    assert [row["fault"] for row in rows] == [None, "duplicate_address", "duplicate_address", None]
    assert len({row["row_id"] for row in rows}) == 4
    missing = write_csv(tmp_path / "b.csv", ("identity_id", "url"), [("a", url), ("", url), (" ", url)])
    with pytest.raises(DataError, match=r"b\.csv:3: no identity_id\n.*b\.csv:4: no identity_id"):
        from_url_list(missing, people)


def test_no_text_steers_the_terminal(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "people.csv", ("identity_id", "gender"), [("a", "\x1b[2J\u202eowned")])
    done = CliRunner().invoke(main, ["identities", str(path)])
    assert done.exit_code == 3
    assert "owned" in done.output and not set(done.output) & {"\x1b", "\u202e"}
