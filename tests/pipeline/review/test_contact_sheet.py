"""The contact sheet: everybody is on it, nothing on it can act, and its lines are decisions that count."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import pipeline.review.contact_sheet as sheets
from manifests.errors import Missing
from manifests.schema import WHITEN
from pipeline.review.contact_sheet import Exported, Wanted, export, safe_name
from pipeline.review.decisions import Decision, parse
from tests.factories import make_rows, write_stage

WANTED = Wanted(3, 7, "ann")
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>../../etc'


@pytest.fixture(autouse=True)
def _quality_is_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "quality", lambda row: row["sharpness"])


class Tags(HTMLParser):
    """Collect every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def world(data: Path, **overrides: Any) -> list[dict[str, Any]]:
    rows = make_rows(WHITEN, 8, sharpness=lambda i: i / 10, **overrides)
    write_stage(data, WHITEN, rows[:4], bucket=0)
    write_stage(data, WHITEN, rows[4:], bucket=1)
    return rows


def test_every_person_has_a_sheet_with_every_picture(tmp_path: Path) -> None:
    world(tmp_path)
    assert export(tmp_path, (), tmp_path / "out", WANTED) == Exported(people=2, pictures=8, open=8)
    for identity_id in ("id10001", "id10002"):
        text = (tmp_path / "out" / f"{safe_name(identity_id)}.html").read_text()
        assert text.count("data:image/jpeg;base64,") == 4
        assert safe_name(identity_id) in (tmp_path / "out" / "index.html").read_text()


def test_pictures_come_best_first_with_their_scores(tmp_path: Path) -> None:
    world(tmp_path)
    export(tmp_path, (), tmp_path / "out", WANTED)
    text = (tmp_path / "out" / f"{safe_name('id10001')}.html").read_text()
    assert re.findall(r"<dt>quality</dt><dd>([0-9.]+)</dd>", text) == ["0.30", "0.20", "0.10", "0.00"]


def test_the_prepared_lines_are_decisions_about_the_pictures_shown(tmp_path: Path) -> None:
    rows = world(tmp_path)
    export(tmp_path, (), tmp_path / "out", Wanted(1, 2, "ann"))
    lines = parse((tmp_path / "out" / f"{safe_name('id10001')}.jsonl").read_text(), "lines")
    assert {(d.sample_id, d.shown_sha256) for d in lines} == {(r["sample_id"], r["image_sha256"]) for r in rows[:4]}
    assert [d.decision for d in lines] == ["keep", "keep", "reject", "reject"]
    assert {(d.reviewer, d.round) for d in lines} == {("ann", 1)}


def test_decided_pictures_are_marked_and_conflicts_go_to_the_next_round(tmp_path: Path) -> None:
    rows = world(tmp_path)
    said = [
        Decision("t", rows[0]["sample_id"], rows[0]["image_sha256"], "keep", "bob", 1),
        Decision("t", rows[1]["sample_id"], rows[1]["image_sha256"], "keep", "bob", 1),
        Decision("t", rows[1]["sample_id"], rows[1]["image_sha256"], "reject", "cy", 1),
    ]
    assert export(tmp_path, said, tmp_path / "out", WANTED).open == 7
    stem = safe_name("id10001")
    assert "keep <small>by bob" in (tmp_path / "out" / f"{stem}.html").read_text()
    lines = parse((tmp_path / "out" / f"{stem}.jsonl").read_text(), "lines")
    assert {d.sample_id: d.round for d in lines} == {
        rows[1]["sample_id"]: 2,
        rows[2]["sample_id"]: 1,
        rows[3]["sample_id"]: 1,
    }


def test_hostile_text_stays_text_and_never_names_a_file(tmp_path: Path) -> None:
    world(tmp_path, name=HOSTILE, identity_id=HOSTILE, source=f"javascript:{HOSTILE}", licence=HOSTILE)
    export(tmp_path, (), tmp_path / "out", WANTED)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert all(re.fullmatch(r"index\.html|[0-9a-f]{16}\.(html|jsonl)", name) for name in names)
    for path in (tmp_path / "out").glob("*.html"):
        tags = Tags(path.read_text()).found
        assert not {tag for tag, _ in tags} & {"script", "iframe", "object", "link", "form", "base"}
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
        assert all(a["src"].startswith("data:image/jpeg") for tag, a in tags if tag == "img" and a["src"])
        assert all(re.fullmatch(r"[0-9a-f]{16}\.html|index\.html", a["href"] or "") for tag, a in tags if tag == "a")


def test_the_policy_allows_nothing_but_data_pictures_and_its_own_style(tmp_path: Path) -> None:
    world(tmp_path)
    export(tmp_path, (), tmp_path / "out", WANTED)
    policy = next(
        attributes["content"]
        for tag, attributes in Tags((tmp_path / "out" / "index.html").read_text()).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'sha256-[^' ]+'; base-uri 'none'; form-action 'none'",
        policy or "",
    )


def test_sheets_of_people_who_are_gone_are_deleted_and_other_files_stay(tmp_path: Path) -> None:
    world(tmp_path)
    out = tmp_path / "out"
    export(tmp_path, (), out, WANTED)
    (out / "notes.txt").write_text("mine")
    (tmp_path / "whiten" / "part-0001.parquet").unlink()
    export(tmp_path, (), out, WANTED)
    left = {path.name for path in out.iterdir()}
    assert left == {"notes.txt", "index.html", f"{safe_name('id10001')}.html", f"{safe_name('id10001')}.jsonl"}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    world(tmp_path)
    for name in ("a", "b"):
        export(tmp_path, (), tmp_path / name, WANTED)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_without_whitened_pictures_the_error_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="pipeline run whiten"):
        export(tmp_path, (), tmp_path / "out", WANTED)
