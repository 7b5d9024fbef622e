"""The crawl stage: one result per listed address, the same bytes every time, and nothing that was removed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from manifests import removals
from manifests.errors import Missing, UsageError
from manifests.schema import CRAWL
from pipeline import settings
from pipeline.crawl.content import read
from pipeline.crawl.settings import Settings
from pipeline.shard import FAILED
from pipeline.stage import Context, Drop, Paths, Row
from pipeline.world import demo
from stages.crawl import STAGE

from ..pipeline.crawl.webserver import Web, jpeg, reply, serve  # the badly behaved test server

LIMITS = {"timeout_s": 0.5, "deadline_s": 2.0, "retries": 1, "backoff_s": 0.001, "max_pixels": 1_000_000}


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as running:
        yield running


@contextmanager
def opened(chosen: Settings, folder: Path) -> Iterator[tuple[list[Row], Context]]:
    context = Context(Paths(data=folder / "data"), buckets=2)
    assert STAGE.around is not None
    assert STAGE.list_rows is not None
    with STAGE.around(chosen, context) as extra:
        context = replace(context, extra=extra)
        yield STAGE.list_rows(chosen, context), context


def crawl(chosen: Settings, folder: Path) -> tuple[list[Row], list[Row | Drop]]:
    with opened(chosen, folder) as (rows, context):
        return rows, STAGE.process(rows, chosen, context)


def listed(folder: Path, *lines: str) -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join(("identity_id,url,licence,page", *lines)) + "\n")
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of two people: three good pictures, a copy, a page called .jpg, and a note."""
    files = {
        "ann/1.jpg": jpeg(1), "ann/2.jpg": jpeg(2), "ann/copy of 1.jpg": jpeg(1), "ann/page.jpg": b"<html></html>",
        "bob/1.jpg": jpeg(1), "bob/note.txt": b"call Ann",
    }  # fmt: skip
    for name, data in files.items():
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "people"


def test_a_folder_gives_rows_of_the_contracted_table(people, tmp_path):
    rows, results = crawl(Settings(source="folder", folder=people), tmp_path)
    kept = [result for result in results if not isinstance(result, Drop)]
    assert len(results) == len(rows) == 6
    assert all(tuple(row) == CRAWL.names for row in kept)
    assert [(row["source"], row["bytes"], row["format"]) for row in kept] == [
        ("ann/1.jpg", len(jpeg(1)), "JPEG"), ("ann/2.jpg", len(jpeg(2)), "JPEG"), ("bob/1.jpg", len(jpeg(1)), "JPEG"),
    ]  # fmt: skip
    assert kept[0]["image"] == jpeg(1)
    assert len({row["sample_id"] for row in kept}) == 3, "the same picture of two people is two samples"


def test_a_copy_within_one_person_names_the_row_that_was_kept(people, tmp_path):
    rows, results = crawl(Settings(source="folder", folder=people), tmp_path)
    by_source = {row["source"]: result for row, result in zip(rows, results, strict=True)}
    copy = by_source["ann/copy%20of%201.jpg"]
    assert isinstance(copy, Drop)
    assert copy.reason == "duplicate"
    assert rows[0]["row_id"] in str(copy.detail)
    assert [by_source[name].reason for name in ("ann/page.jpg", "bob/note.txt")] == ["not_a_picture"] * 2


def test_a_url_list_is_fetched_in_order_with_its_provenance(web, tmp_path):
    base = f"http://127.0.0.1:{web.port}"
    for i in range(20):
        web.on(f"/{i}.jpg", reply(jpeg(i)))
    path = listed(tmp_path, *(f"ann,{base}/{i}.jpg,CC0,{base}/page" for i in range(20)), f"ann,{base}/0.jpg#again,,",
                  f"bob,{base}/absent.jpg,,", "bob,nonsense,,")  # fmt: skip
    chosen = Settings(source="urls", urls=path, contact="me@example.org", allow_private=True, **LIMITS)
    rows, results = crawl(chosen, tmp_path)
    assert [r["image"] for r in results[:20] if not isinstance(r, Drop)] == [jpeg(i) for i in range(20)]
    assert (results[0]["licence"], results[0]["page"], results[0]["identity_id"]) == ("CC0", f"{base}/page", "ann")
    drops = [r for r in results[20:] if isinstance(r, Drop)]
    assert [drop.reason for drop in drops] == ["duplicate_address", "http_error", "bad_address"]
    assert drops[1].value == 404
    assert web.asked["/0.jpg"] == 1
    assert len({row["row_id"] for row in rows}) == len(rows)


def test_private_addresses_are_refused_by_default(web, tmp_path):
    path = listed(tmp_path, f"ann,http://127.0.0.1:{web.port}/1.jpg,,")
    _, results = crawl(Settings(source="urls", urls=path, contact="me@example.org", **LIMITS), tmp_path)
    assert [result.reason for result in results] == ["private_address"]
    assert not web.asked


def test_names_and_sets_come_from_the_metadata(people, tmp_path):
    meta = tmp_path / "people.csv"
    meta.write_text("identity_id,name,gender,nationality\nid1,Ann,f,Peru\n")
    _, results = crawl(Settings(source="folder", folder=people, metadata=(meta,)), tmp_path)
    assert [results[0][k] for k in ("identity_id", "name", "gender", "nationality")] == ["id1", "Ann", "f", "Peru"]


@pytest.mark.parametrize("kind", ["identity_id", "source", "sha256"])
def test_what_was_removed_is_dropped_and_by_person_or_address_not_even_asked_for(web, tmp_path, kind):
    url = f"http://127.0.0.1:{web.port}/1.jpg"
    web.on("/1.jpg", reply(jpeg(1)))
    path = listed(tmp_path, f"ann,{url},,")
    chosen = Settings(source="urls", urls=path, contact="me@example.org", allow_private=True, **LIMITS)
    (kept,) = crawl(chosen, tmp_path)[1]
    assert not isinstance(kept, Drop)
    removals.add(tmp_path / "removals.jsonl", **{kind: kept[kind]})
    web.asked.clear()
    (dropped,) = crawl(replace(chosen, removals=tmp_path / "removals.jsonl"), tmp_path)[1]
    assert dropped.reason == "removed"
    assert web.asked["/1.jpg"] == (1 if kind == "sha256" else 0)


def test_a_named_removals_list_that_is_absent_stops_the_stage(people, tmp_path):
    with pytest.raises(Missing, match="removals"):
        crawl(Settings(source="folder", folder=people, removals=tmp_path / "removals.jsonl"), tmp_path)


@pytest.mark.parametrize(
    "section",
    [
        {"source": "folder"},
        {"source": "urls"},
        {"source": "urls", "urls": "list.csv"},  # no contact
        {"source": "urls", "urls": "list.csv", "serve_folder": "x", "contact": "me@example.org"},
        {"source": "demo", "folder": "x"},
        {"source": "demo", "urls": "list.csv"},
        {"source": "search"},
        {"timeout": 3},
    ],
)
def test_settings_that_do_not_fit_together_are_usage_errors(section):
    with pytest.raises(UsageError, match="crawl"):
        settings.build(Settings, section, "crawl")


def test_a_section_of_the_params_file_becomes_settings():
    section = {"source": "urls", "urls": "a.csv", "contact": "me@example.org", "timeout_s": 3.0, "metadata": ["m.csv"]}
    built = settings.build(Settings, section, "crawl")
    assert (built.urls, built.timeout_s, built.metadata) == (Path("a.csv"), 3.0, (Path("m.csv"),))


def test_a_shard_depends_on_the_bytes_of_local_files_and_on_removals_of_its_own_people_only(people, tmp_path):
    chosen = Settings(source="folder", folder=people, removals=tmp_path / "removals.jsonl")
    removals.add(tmp_path / "removals.jsonl", identity_id="somebody")

    def prints() -> dict[str, str]:
        with opened(chosen, tmp_path) as (rows, context):
            shards = {name: [row for row in rows if row["identity_id"] == name] for name in ("ann", "bob")}
            assert STAGE.fingerprint is not None
            return {name: STAGE.fingerprint(shard, chosen, context) for name, shard in shards.items()}

    first = prints()
    assert prints() == first
    removals.add(tmp_path / "removals.jsonl", identity_id="bob")
    second = prints()
    assert (second["ann"] == first["ann"], second["bob"] == first["bob"]) == (True, False)
    (people / "ann" / "2.jpg").write_bytes(jpeg(9))
    third = prints()
    assert (third["ann"] == second["ann"], third["bob"] == second["bob"]) == (False, True)


def test_a_defect_costs_one_row(people, tmp_path, monkeypatch):
    def read_or_fail(path, *limits):
        if path.name == "2.jpg":
            raise RuntimeError("broken")
        return read(path, *limits)

    monkeypatch.setattr("stages.crawl.read", read_or_fail)
    _, results = crawl(Settings(source="folder", folder=people), tmp_path)
    failed = [result for result in results if isinstance(result, Drop) and result.reason == FAILED]
    assert [drop.detail.split(": ", 1)[1] for drop in failed] == ["RuntimeError: broken"]
    assert sum(not isinstance(result, Drop) for result in results) == 2


def test_a_served_folder_is_crawled_by_the_url_list_that_is_written(people, tmp_path):
    chosen = Settings(source="urls", serve_folder=people, **LIMITS)
    rows, results = crawl(chosen, tmp_path)
    assert (tmp_path / "data" / "url_list.csv").read_text().splitlines()[:2] == [
        "identity_id,url", "ann,http://photos.test/ann/1.jpg",
    ]  # fmt: skip
    assert [row["source"] for row in rows][2] == "http://photos.test/ann/copy%20of%201.jpg"
    assert Counter(r.reason for r in results if isinstance(r, Drop)) == {"duplicate": 1, "not_a_picture": 2}
    again = crawl(chosen, tmp_path)
    assert again == (rows, results), "another port gives the same rows"


def test_the_demo_world_is_made_when_absent_and_crawled(tmp_path, monkeypatch):
    small = partial(demo.make_world, photos_per_person=3, clips_per_person=1)
    monkeypatch.setattr(demo, "make_world", lambda out, people, seed, workers: small(out, people, seed))
    chosen = Settings(demo_folder=tmp_path / "world", demo_people=2, demo_seed=3, retries=0)
    rows, results = crawl(chosen, tmp_path)
    kept = [result for result in results if not isinstance(result, Drop)]
    assert len({row["identity_id"] for row in rows}) == 2
    assert all(row["source"].startswith("http://world.test/") for row in rows)
    assert len(rows) == 6
    assert len(kept) >= 2, "the first picture of each person is clean"
    assert all(row["name"] and row["licence"] and row["page"] for row in kept)
    assert crawl(chosen, tmp_path) == (rows, results)


def test_real_photographs_come_through_unchanged(real_data, tmp_path):
    chosen = Settings(
        source="urls", serve_folder=real_data / "faces", metadata=(real_data / "meta" / "vox1_meta.csv",), threads=2
    )
    rows, results = crawl(chosen, tmp_path)
    kept = [result for result in results if not isinstance(result, Drop)]
    assert len(rows) == 240
    assert len(kept) + sum(result.reason == "duplicate" for result in results if isinstance(result, Drop)) == 240
    assert any(row["identity_id"].startswith("id1") and row["nationality"] for row in kept), "known to the metadata"
    assert {row["format"] for row in kept} >= {"JPEG", "PNG", "WEBP"}, "read from the bytes: many names say .jpg"
