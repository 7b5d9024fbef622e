"""Sources: every kind of list says the same thing, and no listed address vanishes silently."""

import csv
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import DataError, Missing
from pipeline.crawl.content import Picture, read
from pipeline.crawl.sources import (
    BadAddress,
    at_most,
    canonical_url,
    file_of,
    from_folder,
    from_found,
    from_people_lists,
    from_url_list,
    source_of,
)
from pipeline.identities import Identities, Identity
from pipeline.names import row_id

from .webserver import jpeg

PEOPLE = Identities({"id10001": Identity("id10001", "A.J._Buckley", "m", "Ireland", "dev", "vox1", 0)})
ENTRIES = [
    {"identity_id": "id10001", "url": "https://example.org/a.jpg", "licence": "CC0", "page": "https://example.org/p"},
    {"identity_id": "A.J. Buckley", "url": "https://example.org/b.jpg", "licence": "", "page": ""},
    {"identity_id": "stranger", "url": "https://example.org/c,d.jpg", "licence": "CC BY 4.0", "page": ""},
]


def write_list(folder: Path, kind: str, entries: list[dict[str, str]]) -> Path:
    path = folder / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(entry) for entry in entries) + "\n")
    else:
        cells = [list(entries[0]), *(list(entry.values()) for entry in entries)]
        mark = {"csv": ",", "tsv": "\t"}[kind]
        path.write_text("\ufeff" + "\n".join(mark.join(f'"{cell}"' for cell in row) for row in cells) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_list_gives_the_same_rows(tmp_path, kind):
    rows = from_url_list(write_list(tmp_path, kind, ENTRIES), PEOPLE)
    assert [row["identity_id"] for row in rows] == ["id10001", "id10001", "stranger"]
    assert rows[0] == {
        "identity_id": "id10001", "name": "A.J._Buckley", "gender": "m", "nationality": "Ireland",
        "row_id": row_id("id10001", "https://example.org/a.jpg"), "source": "https://example.org/a.jpg",
        "licence": "CC0", "page": "https://example.org/p", "fault": None, "fault_detail": None,
    }  # fmt: skip
    assert (rows[1]["licence"], rows[1]["page"]) == (None, None)
    assert rows[2]["source"] == "https://example.org/c,d.jpg"


def test_licence_and_page_may_be_absent(tmp_path):
    path = write_list(tmp_path, "csv", [{"identity_id": "a", "url": "http://example.org/"}])
    assert from_url_list(path, PEOPLE)[0]["licence"] is None


def test_the_second_listing_of_an_address_is_a_fault_that_names_the_first(tmp_path):
    spellings = ["http://example.org/a", "HTTP://EXAMPLE.org:80/a#top", "http://example.org/b/../a"]
    entries = [{"identity_id": "ann", "url": url} for url in spellings] + [{"identity_id": "bob", "url": spellings[0]}]
    rows = from_url_list(write_list(tmp_path, "csv", entries), PEOPLE)
    assert [row["fault"] for row in rows] == [None, "duplicate_address", "duplicate_address", None]
    assert rows[0]["row_id"] in rows[1]["fault_detail"]
    assert len({row["row_id"] for row in rows}) == 4


def test_bad_addresses_are_rows_with_a_reason(tmp_path):
    bad = [
        "", "not a url", "ftp://example.org/a", "javascript:alert(1)", "http://", "http://me:pw@example.org/",
        "http://example.org/" + "a" * 9000, "http://exa mple.org/", "http://[::1", "http://[fe80::1%25eth0]/", "/a.jpg",
    ]  # fmt: skip
    rows = from_url_list(write_list(tmp_path, "jsonl", [{"identity_id": "ann", "url": url} for url in bad]), PEOPLE)
    assert {row["fault"] for row in rows} == {"bad_address"}
    assert all(row["fault_detail"] for row in rows)
    assert len({row["row_id"] for row in rows}) == len(bad)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:hunter2@example.org/a@2x.jpg", "http://***@example.org/a@2x.jpg"),
        ("http://hunter2@example.org/", "http://***@example.org/"),
        ("ftp://me:hunter2@example.org/a", "ftp://***@example.org/a"),
        ("me:hunter2@example.org/a", "***@example.org/a"),
        ("http://me:hunt/er2@example.org/a", "http://***@example.org/a"),
        ("http://me:h@hunter2@example.org/a", "http://***@example.org/a"),
        ("ftp://example.org:21/a@2x.jpg", "ftp://example.org:21/a@2x.jpg"),
        ("ftp://[::1]:21/a@2x.jpg", "ftp://[::1]:21/a@2x.jpg"),
    ],
)
def test_a_password_in_an_address_is_nowhere_in_its_row(tmp_path, address, shown):
    entry = {"identity_id": "ann", "url": address, "page": address}
    (row,) = from_url_list(write_list(tmp_path, "jsonl", [entry]), PEOPLE)
    assert (row["source"], row["page"], row["fault"]) == (shown, shown, "bad_address")
    assert "hunt" not in str(row)


def test_two_passwords_at_one_address_are_two_rows(tmp_path):
    entries = [{"identity_id": "ann", "url": f"http://me:{word}@example.org/"} for word in ("one", "two")]
    rows = from_url_list(write_list(tmp_path, "csv", entries), PEOPLE)
    assert [row["fault"] for row in rows] == ["bad_address"] * 2
    assert len({row["row_id"] for row in rows}) == 2


def test_a_huge_cell_is_one_bad_address_and_not_the_end_of_the_list(tmp_path):
    limit = csv.field_size_limit()
    entries = [{"identity_id": "ann", "url": "http://example.org/" + tail} for tail in ("a" * 10_000_000, "b")]
    rows = from_url_list(write_list(tmp_path, "csv", entries), PEOPLE)
    assert [row["fault"] for row in rows] == ["bad_address", None]
    assert csv.field_size_limit() == limit


def test_a_column_that_is_there_twice_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("identity_id,url, url\nann,http://example.org/1,http://example.org/2\n")
    with pytest.raises(DataError, match="column url is there 2 times"):
        from_url_list(path, PEOPLE)


def test_hostile_cells_can_be_stored(tmp_path):
    nasty = "http://example.org/\ud800\0\u202e"
    entry = {"identity_id": "../../etc\0", "url": nasty, "licence": "<b>\0", "page": "\ud800"}
    (row,) = from_url_list(write_list(tmp_path, "jsonl", [entry]), PEOPLE)
    pa.Table.from_pylist([row])
    assert "/" not in row["identity_id"]


def test_rows_without_identity_are_errors_with_their_lines(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("identity_id,url\nann,http://example.org/\n,http://example.org/b\n  ,http://example.org/c\n")
    with pytest.raises(DataError) as caught:
        from_url_list(path, PEOPLE)
    assert "list.csv:3" in str(caught.value)
    assert "list.csv:4" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", b"person,address\n"),
        ("list.csv", b""),
        ("list.csv", b"identity_id,url\n\xff,\xfe\n"),
        ("list.jsonl", b"{broken\n"),
        ("list.jsonl", b"[1]\n"),
        ("list.jsonl", b"[" * 100_000),
        ("list.parquet", b"PAR1 no"),
        ("list.txt", b"identity_id,url\n"),
    ],
)
def test_what_is_no_list_is_a_data_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="list"):
        from_url_list(tmp_path / name, PEOPLE)


def test_an_absent_list_or_folder_is_missing(tmp_path):
    with pytest.raises(Missing, match=r"nowhere\.csv"):
        from_url_list(tmp_path / "nowhere.csv", PEOPLE)
    with pytest.raises(Missing, match="nowhere"):
        from_folder(tmp_path / "nowhere", PEOPLE)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("HTTP://Example.ORG:80/a/../b%7ec%2f?x=1&y=#frag", "http://example.org/b~c%2F?x=1&y="),
        ("https://münchen.example/ä ö.jpg", "https://xn--mnchen-3ya.example/%C3%A4%20%C3%B6.jpg"),
        (" https://example.org:443 ", "https://example.org/"),
        ("http://example.org.:8080/%41%2d%5f", "http://example.org:8080/A-_"),
        ("http://[::1]:8/x", "http://[::1]:8/x"),
    ],
)
def test_canonical_addresses(text, canonical):
    assert canonical_url(text) == canonical


@given(st.text(max_size=40), st.text(max_size=40))
def test_canonical_addresses_are_ascii_and_their_own_canonical_form(path, query):
    try:
        once = canonical_url(f"http://example.org/{path}?{query}")
    except BadAddress:
        return
    assert canonical_url(once) == once
    assert once.isascii()
    assert once.isprintable()


def test_a_folder_is_listed_in_order_and_hidden_files_are_left_out(tmp_path):
    for name in ("b/2.jpg", "b/1.jpg", "a/x y.jpg", "a/.DS_Store", ".cache/1.jpg", "loose.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg())
    rows = from_folder(tmp_path, PEOPLE)
    assert [row["source"] for row in rows] == ["a/x%20y.jpg", "b/1.jpg", "b/2.jpg"]
    assert [row["identity_id"] for row in rows] == ["a", "b", "b"]
    assert file_of(tmp_path, rows[0]["source"]) == tmp_path / "a" / "x y.jpg"


def test_file_names_in_any_bytes_come_back_to_their_file(tmp_path):
    name = os.fsdecode(b"p\xff\n%2e \xc3\xa4?.jpg")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(jpeg(7))
    (row,) = from_folder(tmp_path, PEOPLE)
    assert row["source"].isascii()
    path = file_of(tmp_path, row["source"])
    assert path is not None
    assert path.read_bytes() == jpeg(7)


def test_a_source_never_leads_out_of_its_folder(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "out.jpg").write_bytes(jpeg())
    (tmp_path / "in" / "a" / "link.jpg").symlink_to(tmp_path / "out.jpg")
    for source in ("../out.jpg", "%2e%2e/out.jpg", "a/../../out.jpg", "/etc/passwd", source_of(Path("a/link.jpg"))):
        assert file_of(tmp_path / "in", source) is None


def test_a_local_picture_is_judged_like_a_fetched_one(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(8))
    got = read(path, 10_000, 10_000)
    assert isinstance(got, Picture)
    assert got.data == jpeg(8)
    reasons = [read(path, 10, 10_000), read(path, 10_000, 10), read(tmp_path / "b.jpg", 10, 10)]
    path.write_bytes(b"<html>")
    reasons.append(read(path, 10_000, 10_000))
    assert [drop.reason for drop in reasons if not isinstance(drop, Picture)] == [
        "too_large", "too_many_pixels", "unreadable_file", "not_a_picture",
    ]  # fmt: skip


def test_an_unclosed_quote_is_an_error_not_lost_rows(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('identity_id,url\na,"http://x.test/1\nb,http://x.test/2\nc,http://x.test/3')
    with pytest.raises(DataError, match=r"list\.csv:"):
        from_url_list(path, Identities({}))


def test_lists_as_vggface_was_published_and_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "A.J._Buckley.txt").write_text(
        "00000001 http://example.org/a.jpg 149.19 41.12 302.8 194.9 2.66 3.42 1\n"
        "00000002 http://example.org/b.jpg 1.0 2.0 3.0 4.0 1.0 0.5 0\r\n\n"
    )
    (tmp_path / "stranger.txt").write_text("https://example.org/c.jpg\nhttps://example.org/c.jpg\n")
    (tmp_path / "README.md").write_text("not a list")
    (tmp_path / "folder.txt").mkdir()
    rows = from_people_lists(tmp_path, PEOPLE)
    assert [(row["identity_id"], row["source"]) for row in rows] == [
        ("id10001", "http://example.org/a.jpg"), ("id10001", "http://example.org/b.jpg"),
        ("stranger", "https://example.org/c.jpg"), ("stranger", "https://example.org/c.jpg"),
    ]  # fmt: skip
    assert [row["fault"] for row in rows] == [None, None, None, "duplicate_address"]


def test_a_line_without_an_address_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "ann.txt").write_text("https://example.org/c.jpg\n00000002 no address\n")
    with pytest.raises(DataError, match=r"ann\.txt:2: no address"):
        from_people_lists(tmp_path, PEOPLE)
    with pytest.raises(Missing, match="nowhere"):
        from_people_lists(tmp_path / "nowhere", PEOPLE)


def test_of_each_person_the_first_so_many_are_wanted(tmp_path: Path) -> None:
    found = [(person, f"http://example.org/{person}{i}", None, None) for person in ("a", "b") for i in range(3)]
    rows = at_most(from_found([("a", "nonsense", None, None), *found], PEOPLE), 2)
    assert [row["fault"] for row in rows] == [
        "bad_address", None, None, "over_per_identity", None, None, "over_per_identity",
    ]  # fmt: skip
