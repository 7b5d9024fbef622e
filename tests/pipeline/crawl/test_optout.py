"""Opt-outs: every form in which a server may refuse, and nothing else."""

import pytest

from pipeline.crawl.optout import opted_out


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
