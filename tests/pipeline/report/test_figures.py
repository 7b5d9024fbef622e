"""Figures: one drawing per theme, the same bytes every time, strangers' text drawn as text."""

import xml.etree.ElementTree as ElementTree

import pytest

from pipeline.report.figures import DARK, LIGHT, draw_bars, draw_columns, draw_histogram
from pipeline.report.statistics import histogram

FOUND = histogram("Head turn", "degrees", (-10.0, 10.0, 5), [-3.0, 0.0, 1.0, 9.0], [0.0])


def texts(svg: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")
    ]


def test_a_histogram_names_its_title_and_unit() -> None:
    assert {"Head turn", "degrees"} <= set(texts(draw_histogram(FOUND, LIGHT)))


def test_the_same_figure_has_the_same_bytes_and_no_date() -> None:
    first, second = (draw_histogram(FOUND, LIGHT) for _ in range(2))
    assert first == second
    assert "date" not in first


def test_light_and_dark_pages_get_their_own_colours() -> None:
    light, dark = (draw_columns("t", "u", {"0": 1, "1": 2}, theme) for theme in (LIGHT, DARK))
    assert LIGHT.kept in light
    assert DARK.kept in dark
    assert DARK.kept not in light


def test_the_long_tail_is_one_bar_that_loses_nobody() -> None:
    counts = {f"Country {i}": 30 - i for i in range(20)}
    drawn = texts(draw_bars("People", counts, LIGHT, most=5))
    assert "16 others" in drawn
    assert [text for text in drawn if text.isdigit()] == [
        "30",
        "29",
        "28",
        "27",
        str(sum(30 - i for i in range(4, 20))),
    ]


@pytest.mark.parametrize("name", ["<b>&amp;</b>", "$\\frac{a}{b}$", "a" * 300, "$x", "名前"])
def test_strangers_text_is_drawn_as_it_is(name: str) -> None:
    drawn = texts(draw_bars("People", {name: 3}, LIGHT))
    assert any(text == name or (text.endswith("…") and name.startswith(text[:-1])) for text in drawn)


def test_nothing_to_draw_is_drawn() -> None:
    assert "People" in texts(draw_bars("People", {}, LIGHT))
    assert "t" in texts(draw_columns("t", "u", {}, LIGHT))
    empty = histogram("t", "u", (0.0, 1.0, 2), [], [])
    assert "t" in texts(draw_histogram(empty, DARK))
