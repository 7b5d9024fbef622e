"""The report's figures: Table 1 and the funnel count what is in the tables, no more and no less."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import Missing
from manifests.schema import CRAWL, DROPS, LANDMARKS, MANIFEST
from manifests.table import write_table
from pipeline.report.funnel import StageYield, funnel
from pipeline.report.statistics import (
    PAPER_TABLE_1,
    Holdings,
    collect,
    histogram,
    holdings,
    licences,
    people,
    shares,
    table_1,
)
from tests.factories import make_rows, write_stage

FACE: dict[str, Any] = {"kind": "face", "duration_s": None}
SPEECH: dict[str, Any] = {"kind": "speech", "width": None}


def test_table_1_counts_people_pictures_and_clips_by_split() -> None:
    def of(i: int) -> str:
        return "train" if i < 4 else "test"

    rows = make_rows(MANIFEST, 8, split=of, width=lambda i: 100 + i, **FACE)
    rows += make_rows(MANIFEST, 3, split="train", **SPEECH)
    assert table_1(rows) == {
        "total": Holdings(2, 8, 3, 103.5),
        "train": Holdings(1, 4, 3, 101.5),
        "val": Holdings(0, 0, 0, None),
        "test": Holdings(1, 4, 0, 105.5),
    }


def test_the_papers_splits_add_up_to_its_totals() -> None:
    parts = [PAPER_TABLE_1[split] for split in ("train", "val", "test")]
    total = PAPER_TABLE_1["total"]
    assert sum(p.identities for p in parts) == total.identities == 3638
    assert sum(p.images for p in parts) == total.images == 8028
    assert sum(p.speech_clips for p in parts) == total.speech_clips == 609_700
    mean = sum(p.images * (p.average_resolution_px or 0) for p in parts) / total.images
    assert mean == pytest.approx(total.average_resolution_px, abs=0.02)


def test_nothing_has_no_resolution() -> None:
    assert holdings([]) == Holdings(0, 0, 0, None)


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6))), st.integers(1, 50))
def test_a_histogram_loses_no_value(values: list[float | None], bins: int) -> None:
    found = histogram("t", "u", (-10.0, 10.0, bins), values, values[:3])
    assert sum(found.scored) == sum(value is not None for value in values)
    assert sum(found.kept) == sum(value is not None for value in values[:3])
    assert len(found.edges) == bins + 1 == len(found.scored) + 1


def test_values_beyond_the_axis_fall_into_the_end_bins() -> None:
    assert histogram("t", "u", (0.0, 4.0, 4), [-9.0, 0.5, 99.0], [None]).scored == (2, 0, 0, 1)


def test_gender_counts_people_and_not_rows() -> None:
    rows = make_rows(MANIFEST, 12, gender=lambda i: ["m", "m", None][i // 4])
    assert shares(rows, "gender") == {"m": 2, "not stated": 1}


def test_licences_are_listed_by_kind_as_the_source_states_them() -> None:
    rows = make_rows(MANIFEST, 5, licence=lambda i: None if i == 0 else "CC0", **FACE)
    rows += make_rows(MANIFEST, 1, licence="CC-BY", **SPEECH)
    assert [(e["kind"], e["licence"], e["rows"]) for e in licences(rows)] == [
        ("face", "CC0", 4),
        ("face", "not stated", 1),
        ("speech", "CC-BY", 1),
    ]


def test_people_who_lost_everything_are_listed_too() -> None:
    rows = make_rows(MANIFEST, 2, **FACE) + make_rows(MANIFEST, 1, kind="speech", duration_s=2.5)
    found = people(rows, {"id10001": 9, "id10009": 4}, {"id10009": "Gone"})
    assert [(p["identity_id"], p["pictures"], p["faces"], p["clips"], p["voiced_s"], p["split"]) for p in found] == [
        ("id10001", 9, 2, 1, 2.5, "train"),
        ("id10009", 4, 0, 0, 0.0, None),
    ]


def test_the_funnel_adds_up_and_names_the_commonest_reason_first(tmp_path: Path) -> None:
    crawled = make_rows(CRAWL, 10)
    drops = make_rows(DROPS, 3, stage="landmarks", reason=lambda i: "turned" if i else "a_rare_one")
    write_stage(tmp_path, CRAWL, crawled)
    write_stage(tmp_path, LANDMARKS, make_rows(LANDMARKS, 4), drops, bucket=0)
    write_stage(tmp_path, LANDMARKS, make_rows(LANDMARKS, 3, identity_id="id9"), bucket=1)
    assert funnel(tmp_path, ("crawl", "landmarks", "emotion")) == [
        StageYield("crawl", 10, 10, 3, {}),
        StageYield("landmarks", 10, 7, 2, {"turned": 2, "a_rare_one": 1}),
    ]


def test_without_a_manifest_there_is_nothing_to_count(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="hq_voxceleb"):
        collect(tmp_path, tmp_path, ("crawl",))


def test_an_empty_manifest_is_counted_as_nothing(tmp_path: Path) -> None:
    write_table(tmp_path / "hq_voxceleb.parquet", MANIFEST, [], {"stage": "manifest"})
    stats = collect(tmp_path, tmp_path, ("crawl", "manifest"))
    assert stats["table_1"]["total"]["identities"] == 0
    assert stats["hours"] == 0
