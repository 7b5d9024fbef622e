"""The papers' figures are whole, and belong to experiments that exist."""

from models.experiments import EXPERIMENTS
from models.literature import MATCHERS, PUBLISHED, VOICE2FACE

NAMES = {experiment.name for experiment in EXPERIMENTS}


def test_every_published_row_belongs_to_an_experiment() -> None:
    named = {row.experiment for row in (*PUBLISHED, *MATCHERS)} | {row.system for row in VOICE2FACE}
    assert named <= NAMES


def test_every_experiment_that_reproduces_a_table_has_its_row() -> None:
    with_row = {row.experiment for row in PUBLISHED} | {row.system for row in VOICE2FACE}
    of_judged_faces = [one for one in EXPERIMENTS if one.system in ("sf2f", "voice2face")]
    assert {one.name for one in of_judged_faces if "Table" in one.reproduces} == with_row


def test_recall_grows_with_k_and_shares_are_per_cents() -> None:
    for row in PUBLISHED:
        assert list(row.recall) == sorted(row.recall) and row.recall[0] > 0 and row.recall[-1] < 100
        assert 0 < row.cosine < 1 < row.l1


def test_the_sums_of_the_tables_are_those_of_the_facts() -> None:
    """A digit mistyped anywhere changes a sum; these were added up from the paper's tables apart from the rows."""
    of_table = {table: [row for row in PUBLISHED if row.table == table] for table in "3457"}
    assert [len(rows) for rows in of_table.values()] == [6, 5, 2, 6]
    fused = [row for row in of_table["7"] if row.fused]
    assert round(sum(row.recall[0] for row in fused), 2) == 24.53
    assert round(sum(row.vfs for row in fused), 2) == 110.30
    assert round(sum(row.l1 for row in of_table["4"]), 2) == 100.28
    assert round(sum(row.cosine for row in of_table["4"]), 3) == 1.321


def test_published_matching_is_above_chance_and_easier_against_anybody() -> None:
    for row in MATCHERS:
        for found in (row.v_f, row.f_v):
            assert all(100 / candidates < value < 100 for (candidates, _), value in found.items())
            assert (2, "G") not in found or found[2, "G"] < found[2, "U"]
    by_name = {row.experiment: row for row in MATCHERS}
    sums = [
        round(sum(row.v_f[2, "U"] for row in MATCHERS if (2, "U") in row.v_f), 2),
        round(sum(by_name["dimnet-g"].v_f.values()), 2),
    ]
    assert sums == [321.47, 123.22]
