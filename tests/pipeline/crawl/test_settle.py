"""What still holds, and what is kept, decided without a byte of any picture."""

from dataclasses import replace

import pytest

from manifests.removals import NOTHING, Removals
from pipeline.crawl.outcome import Outcome, outcome_of
from pipeline.crawl.politeness import FetchLimits
from pipeline.crawl.record import Facts, Record, Trace
from pipeline.crawl.settle import settle, still_holds
from pipeline.stage import Drop, Row

LIMITS = FetchLimits(max_bytes=1000, max_pixels=10_000)
FACTS = Facts("a" * 64, 500, "JPEG", 50, 60)
TRACE = Trace("2026-01-01T00:00:00+00:00", 1, "http://a.test/1")


def row(row_id: str, person: str = "ann", fault: str | None = None) -> Row:
    return {"row_id": row_id, "identity_id": person, "source": f"http://a.test/{row_id}", "fault": fault,
            "fault_detail": fault}  # fmt: skip


def test_the_same_bytes_are_kept_once_for_a_person_under_the_first_row():
    rows = [row("1", fault="bad_address"), row("2"), row("3"), row("4", "bob")]
    results = settle(rows, lambda row_id: Record(row_id, FACTS), LIMITS, NOTHING)
    assert [isinstance(result, Facts) for result in results] == [False, True, False, True]
    assert results[0] == Drop("bad_address", detail="bad_address")
    assert results[2] == Drop("duplicate", detail="the same bytes as row 2")


def test_tighter_limits_and_new_removals_need_no_request():
    def one(limits: FetchLimits, removed: Removals = NOTHING) -> str:
        (result,) = settle([row("1")], lambda row_id: Record(row_id, FACTS), limits, removed)
        return result.reason if isinstance(result, Drop) else "kept"

    assert one(LIMITS) == "kept"
    assert one(replace(LIMITS, max_bytes=400)) == "too_large"
    assert one(replace(LIMITS, max_pixels=2000)) == "too_many_pixels"


def test_a_row_without_an_answer_is_a_defect_and_counted_as_one():
    (result,) = settle([row("1")], lambda _: None, LIMITS, NOTHING)
    assert isinstance(result, Drop)
    assert result.reason == "error"


@pytest.mark.parametrize(
    ("drop", "holds"),
    [
        (Drop("too_large", 2000, 1000), True),
        (Drop("too_large", 2000, 900), False),
        (Drop("too_many_pixels", limit=10_000), True),
        (Drop("too_many_pixels", limit=5), False),
        (Drop("private_address"), True),
        (Drop("http_error", 404), True),
        (Drop("http_error", 503), True),  # asked for again on demand, `--retry`
        (Drop("error"), False),
        (Drop("unreadable_file"), False),
    ],
)
def test_a_drop_holds_while_its_limit_does(drop, holds):
    assert still_holds(Record("1", drop, TRACE), LIMITS, False, None) is holds
    assert still_holds(Record("1", drop), LIMITS, False, None) is holds


def test_an_allowed_private_address_is_asked_for():
    assert not still_holds(Record("1", Drop("private_address"), TRACE), LIMITS, True, None)


def test_an_answer_from_a_local_file_holds_while_the_file_does():
    of_file = Record("1", Drop("not_a_picture"), replace(TRACE, local="f" * 64))
    assert still_holds(of_file, LIMITS, False, "f" * 64)
    assert not still_holds(of_file, LIMITS, False, "e" * 64)
    assert not still_holds(Record("1", Drop("not_a_picture")), LIMITS, False, "f" * 64)
    assert still_holds(Record("1", FACTS), LIMITS, False, FACTS.sha256)


@pytest.mark.parametrize(
    ("drop", "outcome"),
    [
        (None, Outcome.OK),
        (Drop("http_error", 404), Outcome.FAILED_PERMANENT),
        (Drop("http_error", 429.0), Outcome.FAILED_TRANSIENT),
        (Drop("timeout"), Outcome.FAILED_TRANSIENT),
        (Drop("not_a_picture"), Outcome.REJECTED),
        (Drop("opted_out"), Outcome.OPTED_OUT),
        (Drop("blocked_robots"), Outcome.BLOCKED_ROBOTS),
        (Drop("removed"), Outcome.REMOVED),
    ],
)
def test_every_reason_has_one_outcome(drop, outcome):
    assert outcome_of(drop) is outcome
