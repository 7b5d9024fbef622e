"""Agreement figures against worked examples and against the formulas written out."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.review.agreement import Agreement, by_task, measure
from pipeline.review.decisions import DECISIONS, Decision
from tests.pipeline.review.said import at, said

# reviewer -> words over ten pictures, as letters; a dot where they were not asked
WORDS = dict(zip("krwu", DECISIONS, strict=True))


def panel(**rows: str) -> list[Decision]:
    return [
        said(WORDS[letter], reviewer, f"s{place}")
        for reviewer, letters in rows.items()
        for place, letter in enumerate(letters)
        if letter != "."
    ]


def test_krippendorffs_own_example() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section A: two observers, 0.095."""
    decisions = panel(meg="krkkkkkkrk", owen="rrrkkrkkkk")
    assert measure(by_task(decisions)).krippendorff_alpha == pytest.approx(0.095, abs=5e-4)


def test_alpha_with_missing_decisions_against_its_formula() -> None:
    """Krippendorff (2011): one minus observed by expected disagreement; units of one reviewer do not count."""
    decisions = panel(a="krrkkk.", b="krrkkr.", c=".rrkrr.")
    pairs = [["k", "k"], ["r"] * 3, ["r"] * 3, ["k"] * 3, ["k", "k", "r"], ["k", "r", "r"]]
    values = Counter(letter for unit in pairs for letter in unit)
    n = sum(values.values())
    observed = sum(2 * sum(one != other for one, other in combinations(unit, 2)) / (len(unit) - 1) for unit in pairs)
    expected = sum(values[a] * values[b] for a in values for b in values if a != b) / (n - 1)
    assert measure(by_task(decisions)).krippendorff_alpha == pytest.approx(1 - observed / expected)


def test_cohens_kappa_of_a_textbook_table() -> None:
    """Cohen (1960): kappa = (p_o - p_e) / (1 - p_e); 20, 5, 10, 15 of 50 give 0.4."""
    decisions = panel(ann="k" * 25 + "r" * 25, bob="k" * 20 + "r" * 5 + "k" * 10 + "r" * 15)
    (pair,) = measure(by_task(decisions)).pairs
    assert (pair.first, pair.second, pair.pictures, pair.agreed) == ("ann", "bob", 50, 0.7)
    assert pair.cohen_kappa == pytest.approx(0.4)


def test_fleiss_kappa_against_its_formula() -> None:
    """Fleiss (1971), equations 3 to 7, three reviewers."""
    letters = {"a": "kkrrwkkr", "b": "krrrwkkk", "c": "kkrwukkr"}
    units = [Counter(column) for column in zip(*letters.values(), strict=True)]
    n, total = 3, 3 * len(units)
    per_unit = [(sum(c * c for c in unit.values()) - n) / (n * (n - 1)) for unit in units]
    shares = [sum(unit[word] for unit in units) / total for word in "krwu"]
    chance = sum(share * share for share in shares)
    kappa = (sum(per_unit) / len(units) - chance) / (1 - chance)
    found = measure(by_task(panel(**letters)))
    assert found.fleiss_kappa == pytest.approx(kappa)
    assert (found.fleiss_reviewers, found.fleiss_pictures) == (3, 8)
    assert found.agreed == pytest.approx(sum(per_unit) / len(units))


def test_fleiss_takes_the_pictures_with_the_commonest_number_of_reviewers() -> None:
    found = measure(by_task(panel(a="kkrrk", b="krrrk", c="k....")))
    assert (found.pictures, found.fleiss_reviewers, found.fleiss_pictures) == (5, 2, 4)


def test_where_one_word_is_all_that_was_said_chance_explains_it() -> None:
    found = measure(by_task(panel(a="kkk", b="kkk")))
    assert (found.agreed, found.krippendorff_alpha, found.fleiss_kappa) == (1.0, None, None)
    assert found.pairs[0].cohen_kappa is None


def test_pictures_of_one_reviewer_do_not_count() -> None:
    assert measure(by_task(panel(a="kkk", b="...rr"))) == Agreement(0, None, None, None, 0, 0, ())


def test_a_changed_mind_is_not_a_disagreement() -> None:
    before, after = said("keep", "a", at=at(1)), said("reject", "a", at=at(2))
    found = measure(by_task([after, before, said("reject", "b", at=at(0))]))
    assert found.agreed == 1.0


@settings(deadline=None, max_examples=30)  # the statistics packages load in the first
@given(st.dictionaries(st.sampled_from("abcd"), st.text("krwu.", min_size=6, max_size=6), min_size=2))
def test_perfect_agreement_is_one_and_order_does_not_matter(rows: dict[str, str]) -> None:
    found = measure(by_task(panel(**rows)))
    turned = measure(by_task(panel(**rows)[::-1]))
    assert found.pairs == turned.pairs
    for one, other in zip(
        (found.agreed, found.krippendorff_alpha, found.fleiss_kappa),
        (turned.agreed, turned.krippendorff_alpha, turned.fleiss_kappa),
        strict=True,
    ):
        assert (one is None and other is None) or one == pytest.approx(other)
    if found.krippendorff_alpha is not None:
        assert found.krippendorff_alpha <= 1.0
        assert (found.agreed == 1.0) == (found.krippendorff_alpha == pytest.approx(1.0))
