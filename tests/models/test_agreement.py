"""Confusion matrices against scikit-learn, shares by class, groups of ages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import agreement

LABELS = ("f", "m", "x")


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1))
def test_confusion_equals_scikit_learn(called: list[tuple[str, str]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    wanted, found = zip(*called, strict=True)
    counts = agreement.confusion(wanted, found, LABELS)
    assert (counts == sklearn.confusion_matrix(wanted, found, labels=list(LABELS))).all()
    shares = agreement.by_row(counts)
    assert [sum(row) for row in shares if row[0] is not None] == pytest.approx([1] * len(set(wanted)))
    total = agreement.agreement(wanted, found, LABELS)["total"]
    assert total is not None and total["mean"] == pytest.approx(sklearn.accuracy_score(wanted, found))


def test_rows_of_nobody_have_no_share() -> None:
    counts = agreement.confusion("ffm", "fmm", LABELS)
    assert agreement.by_row(counts) == [[0.5, 0.5, 0], [0, 1, 0], [None, None, None]]
    told = agreement.agreement("ffm", "fmm", LABELS)
    assert {name: one and one["mean"] for name, one in told.items()} == {
        "f": 0.5, "m": 1, "x": None, "total": pytest.approx(2 / 3)
    }  # fmt: skip
    assert told["f"] is not None and told["f"]["interval"] == [0, 1] and told["f"]["items"] == 2


def test_nobody_at_all_has_no_share() -> None:
    assert agreement.agreement("", "", ("f",)) == {"f": None, "total": None}


def test_age_groups_end_where_the_paper_says() -> None:
    assert [agreement.age_group(years) for years in (34.9, 35, 65, 65.1)] == ["young", "middle", "middle", "elder"]
    assert [agreement.decade(years) for years in (3, 19, 20, 79, 95)] == [10, 10, 20, 70, 70]
