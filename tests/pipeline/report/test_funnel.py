"""The yield of a stage: counted from its tables, and none at all where no row was given."""

from pathlib import Path

from manifests.schema import DROPS, WHITEN
from pipeline.report.funnel import funnel, stage_yield
from tests.factories import make_rows, write_stage


def test_kept_and_dropped_rows_are_counted(tmp_path: Path) -> None:
    write_stage(tmp_path, WHITEN, make_rows(WHITEN, 6), make_rows(DROPS, 2, stage="whiten", reason="blurred"))
    found = stage_yield(tmp_path, "whiten")
    assert found is not None
    assert (found.input, found.kept, found.people, found.share) == (8, 6, 2, 0.75)
    assert found.reasons == {"blurred": 2}


def test_no_rows_are_no_yield_rather_than_a_full_one(tmp_path: Path) -> None:
    write_stage(tmp_path, WHITEN, [])
    (found,) = funnel(tmp_path, ["landmarks", "whiten"])
    assert (found.stage, found.input, found.share) == ("whiten", 0, None)
