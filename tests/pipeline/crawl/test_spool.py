"""The spool: what was written whole is read back whole, whatever happened to the rest."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.crawl.record import Facts, Record, Trace, packed, unpacked
from pipeline.crawl.spool import DamagedBody, Spool, SpoolWriter, clear
from pipeline.stage import Drop


def record(row_id: str, body: bytes = b"") -> Record:
    result = Facts("0" * 64, len(body), "JPEG", 3, 4) if body else Drop("http_error", 404, detail="HTTP status 404")
    return Record(row_id, result, Trace("2026-01-01T00:00:00+00:00", 1, "http://a.test/", etag='"x"'))


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def test_records_and_bodies_come_back(tmp_path):
    with SpoolWriter(tmp_path) as spool:
        spool.append(record("a", b"picture"), b"picture")
        spool.append(record("b"))
    found = Spool(tmp_path)
    assert set(found) == {"a", "b"}
    assert (found.record("a"), found.body("a")) == (record("a", b"picture"), b"picture")
    assert (found.record("b"), found.has_body("b")) == (record("b"), False)


def test_of_two_answers_for_a_row_the_newer_counts(tmp_path):
    with SpoolWriter(tmp_path) as spool:
        spool.append(record("a"))
        spool.append(record("a", b"new"), b"new")
    assert Spool(tmp_path).body("a") == b"new"
    with SpoolWriter(tmp_path) as spool:
        spool.append(record("a"))
    assert Spool(tmp_path).record("a").drop is not None
    assert len(segments(tmp_path)) == 2, "each writer has a segment of its own"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(cut=st.integers(0, 10_000), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_a_torn_end_costs_only_what_was_torn(tmp_path, cut, sizes):
    """As after kill -9 or a power cut: any prefix of a segment is a spool of the records that are whole in it."""
    clear(tmp_path)
    ends = []
    with SpoolWriter(tmp_path) as spool:
        for i, size in enumerate(sizes):
            spool.append(record(str(i), bytes(size)), bytes(size))
            ends.append(segments(tmp_path)[0].stat().st_size)
    whole = segments(tmp_path)[0].read_bytes()
    cut = min(cut, len(whole))
    segments(tmp_path)[0].write_bytes(whole[:cut])
    found = Spool(tmp_path)
    assert len(found) == sum(end <= cut for end in ends)
    assert all(found.body(str(i)) == bytes(sizes[i]) for i in range(len(found)))


def test_a_flipped_bit_in_a_body_is_found_and_in_a_record_ends_the_segment(tmp_path):
    with SpoolWriter(tmp_path) as spool:
        spool.append(record("a", b"picture"), b"picture")
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedBody):
        Spool(tmp_path).body("a")
    data[30] ^= 1
    path.write_bytes(data)
    assert len(Spool(tmp_path)) == 0


@given(st.text(max_size=30), st.none() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_record_survives_being_packed(text, number):
    dropped = Record(text, Drop(text, number, number, text), None)
    assert unpacked(packed(dropped)) == dropped
