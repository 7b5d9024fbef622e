"""The removals list: what is on it stays out, and the file gives away nothing it need not."""

import json

import pytest

from manifests.errors import DataError, Missing, UsageError
from manifests.removals import NOTHING, add, load

URL = "https://example.org/a.jpg"
SHA = "ab" * 32


def test_each_kind_blocks_only_what_was_removed(tmp_path):
    path = tmp_path / "removals.jsonl"
    add(path, identity_id="id10001")
    add(path, source=URL)
    add(path, sha256=SHA.upper())
    removals = load(path)
    assert removals.blocks("id10001", "https://other.example/b.jpg", "cd" * 32)
    assert removals.blocks("id10002", URL)
    assert removals.blocks("id10002", "https://other.example/b.jpg", SHA)
    assert not removals.blocks("id10002", "https://other.example/b.jpg", "cd" * 32)
    assert not removals.blocks(source="id10001"), "an id on the list is no address"


def test_an_empty_list_blocks_nothing():
    assert not NOTHING.blocks("id10001", URL, SHA)
    assert load(None) is NOTHING


def test_adding_returns_the_list_as_a_reader_sees_it(tmp_path):
    path = tmp_path / "removals.jsonl"
    added = add(path, identity_id="id10001", source=URL)
    assert added == load(path)


def test_the_file_holds_no_plain_text_and_two_lists_share_no_hash(tmp_path):
    for name in ("a", "b"):
        add(tmp_path / name, identity_id="id10001", source=URL)
    first, second = ((tmp_path / name).read_text() for name in ("a", "b"))
    assert "id10001" not in first
    assert "example" not in first
    assert not load(tmp_path / "a").hashes & load(tmp_path / "b").hashes
    assert json.loads(first.splitlines()[0])["salt"] != json.loads(second.splitlines()[0])["salt"]


def test_adding_twice_changes_nothing_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "removals.jsonl"
    add(path, identity_id="id10001")
    before = path.read_bytes()
    add(path, identity_id="id10001")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["removals.jsonl"]


def test_a_hand_edited_list_without_final_newline_still_grows_by_whole_lines(tmp_path):
    path = tmp_path / "removals.jsonl"
    add(path, identity_id="id10001")
    path.write_text(path.read_text().rstrip("\n"))
    add(path, identity_id="id10002")
    assert load(path).blocks("id10001")
    assert load(path).blocks("id10002")


def test_a_list_that_was_asked_for_but_is_absent_is_an_error_not_an_empty_list(tmp_path):
    with pytest.raises(Missing, match=r"removals\.jsonl"):
        load(tmp_path / "removals.jsonl")


def test_every_broken_line_is_named(tmp_path):
    path = tmp_path / "removals.jsonl"
    add(path, identity_id="id10001")
    path.write_text(path.read_text() + 'nonsense\n{"kind": "url", "hash": "00"}\n')
    with pytest.raises(DataError) as caught:
        load(path)
    assert "removals.jsonl:3" in str(caught.value)
    assert "removals.jsonl:4" in str(caught.value)


@pytest.mark.parametrize("text", ["\n", "{}", "[]\n", '{"format": "hq-vox removals 1"}\n', "id10001\n"])
def test_a_file_that_is_no_removals_list_is_refused(tmp_path, text):
    path = tmp_path / "removals.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="header"):
        load(path)


def test_nothing_to_add_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        add(tmp_path / "removals.jsonl")


def test_an_empty_file_removes_nothing_and_takes_the_first_entry(tmp_path):
    path = tmp_path / "list.jsonl"
    path.touch()
    assert not load(path).blocks("id10001")
    assert add(path, identity_id="id10001").blocks("id10001")
    assert load(path).blocks("id10001")


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64])
def test_what_is_no_sha256_is_refused(tmp_path, digest):
    with pytest.raises(UsageError, match=r"64 hexadecimal|nothing to remove"):
        add(tmp_path / "list.jsonl", sha256=digest)
