"""Opt-outs: every form in which a server may refuse, and nothing else."""

import pytest

from pipeline.crawl.optout import opted_out
from pipeline.crawl.tdmrep import covers, reserved_locations


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["noai"], "X-Robots-Tag: noai"),
        (["NoImageAI"], "X-Robots-Tag: noimageai"),
        (["noindex, noml"], "X-Robots-Tag: noml"),
        (["noindex", "noai"], "X-Robots-Tag: noai"),
        (["hq-vox: noai"], "X-Robots-Tag: noai"),
        (["otherbot: noai, noml"], None),
        (["otherbot: noindex", "noai"], "X-Robots-Tag: noai"),
        (["*: noai"], "X-Robots-Tag: noai"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "X-Robots-Tag: noai"),
        (["max-snippet: 5, noimageai"], "X-Robots-Tag: noimageai"),
        (["noindex, nofollow"], None),
        (["noairport"], None),
        ([], None),
    ],
)
def test_robots_tags(tags, words):
    assert opted_out({}, tags, "HQ-Vox") == words


@pytest.mark.parametrize(("value", "refuses"), [("1", True), (" 1 ", True), ("0", False), ("", False)])
def test_the_reservation_of_text_and_data_mining(value, refuses):
    assert (opted_out({"tdm-reservation": value}, [], "HQ-Vox") == "TDM-Reservation: 1") is refuses


@pytest.mark.parametrize(
    ("location", "path", "covered"),
    [
        ("/", "/a/b.jpg", True),
        ("/a/", "/a/b.jpg", True),
        ("/a/", "/b/a/", False),
        ("/*.jpg", "/a/b.jpg?x=1", True),
        ("/*.jpg$", "/a/b.jpg?x=1", False),
        ("/*.jpg$", "/a/b.jpg", True),
        ("/a*a$", "/a", False),  # one letter is not the first and the last
        ("/a$", "/a", True),
        ("/a$", "/ab", False),
        ("*", "/a", True),
        ("/b*c*d", "/bdc", False),
        ("/b*c*d", "/b-c-d-", True),
    ],
)
def test_a_location_of_tdmrep_covers_paths_as_robots_txt_does(location, path, covered):
    assert covers(location, f"https://example.org{path}") == covered


def test_a_hostile_location_costs_no_time():
    assert not covers("/" + "*a" * 2000 + "b", "https://example.org/" + "a" * 8000)


@pytest.mark.parametrize(
    ("text", "locations"),
    [
        ('[{"location": "/a", "tdm-reservation": 1}, {"location": "/b", "tdm-reservation": 0}]', ("/a",)),
        ('[{"location": "/a", "tdm-reservation": "1", "tdm-policy": "https://x"}, 7, {}]', ("/a",)),
        ('[{"location": 3, "tdm-reservation": 1}, {"tdm-reservation": 1}]', ()),
        ('{"location": "/a", "tdm-reservation": 1}', ()),
        ("<html>not found</html>", ()),
        ("[" * 100_000, ()),
        ("", ()),
    ],
)
def test_only_a_file_of_the_protocol_reserves_anything(text, locations):
    assert reserved_locations(text) == locations
