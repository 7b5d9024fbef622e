"""Contact sheets of the report: a fair, steady choice of pictures, each with what was measured."""

from pathlib import Path
from typing import Any

import pytest

from manifests.schema import ALIGN, CRAWL, DROPS, EMOTION, REVIEW, WHITEN
from pipeline.report.samples import dropped, kept, measured
from tests.factories import make_rows, picture, write_stage

SIDE = 32


def ids(prefix: str) -> Any:
    return lambda i: f"{prefix}{i}"


@pytest.mark.parametrize(
    ("value", "limit", "detail", "words"),
    [
        (23.456789, 5.0, None, "23.46, limit 5"),
        (3.0, None, None, "3"),
        (None, None, "zero bytes", "zero bytes"),
        (1.0, 2.0, "few", "1, limit 2; few"),
        (None, None, None, ""),
    ],
)
def test_a_drop_is_put_into_words(value: Any, limit: Any, detail: Any, words: str) -> None:
    assert measured({"value": value, "limit": limit, "detail": detail}) == words


def test_reasons_come_commonest_first_with_at_most_so_many_samples(tmp_path: Path) -> None:
    write_stage(tmp_path, CRAWL, make_rows(CRAWL, 9, row_id=ids("r")))
    drops = make_rows(DROPS, 9, row_id=ids("r"), stage="emotion", reason=lambda i: "rare" if i < 2 else "common")
    write_stage(tmp_path, EMOTION, [], drops)
    found = dropped(tmp_path, ("crawl", "emotion"), 3, 10**6, SIDE)
    assert [(r.stage, r.reason, r.count, len(r.samples)) for r in found] == [
        ("emotion", "common", 7, 3),
        ("emotion", "rare", 2, 2),
    ]
    assert all(sample.thumbnail for reason in found for sample in reason.samples)


def test_the_choice_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = make_rows(DROPS, 20, row_id=ids("r"), stage="voices", reason="no_speech")
    choices = []
    for folder, order in (("a", 1), ("b", -1)):
        write_stage(tmp_path / folder, EMOTION, [], rows[::order])
        choices.append(dropped(tmp_path / folder, ("emotion",), 4, 10**6, SIDE))
    assert choices[0] == choices[1]


def test_what_the_network_saw_is_shown_for_a_bad_edge_and_no_picture_for_what_does_not_open(tmp_path: Path) -> None:
    write_stage(tmp_path, ALIGN, make_rows(ALIGN, 2, row_id=ids("r"), image=lambda i: b"junk" if i else picture(7)))
    write_stage(tmp_path, WHITEN, [], make_rows(DROPS, 2, row_id=ids("r"), stage="whiten", reason="edge_unclear"))
    (reason,) = dropped(tmp_path, ("whiten",), 8, 10**6, SIDE)
    assert [sample.thumbnail is None for sample in reason.samples] == [False, True]


def test_everybodys_best_face_comes_before_anybodys_second(tmp_path: Path) -> None:
    write_stage(tmp_path, WHITEN, make_rows(WHITEN, 12, row_id=ids("r")))
    write_stage(tmp_path, REVIEW, make_rows(REVIEW, 12, row_id=ids("r")))
    shown = kept(tmp_path, 4, 10**6, SIDE)
    assert {sample.identity_id for sample in shown} == {"id10001", "id10002", "id10003"}
    assert all(sample.thumbnail for sample in shown)
