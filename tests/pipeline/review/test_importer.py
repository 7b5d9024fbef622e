"""Decisions are added once each, all or none, by any number of processes, and are on disk when the call returns."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests import storage
from manifests.errors import DataError
from pipeline.review import importer
from pipeline.review.decisions import DECISIONS, Decision, line, parse, read
from pipeline.review.importer import Appended, append
from tests.pipeline.review.said import at, said

ROOT = Path(__file__).resolve().parents[3]
TEXTS = st.text(max_size=20).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))

decisions = st.builds(
    Decision,
    task_id=st.sampled_from(["t1", "t2", "t3"]),
    sample_id=st.just("s"),
    shown_sha256=st.just("a" * 64),
    decision=st.sampled_from(DECISIONS),
    reviewer=st.sampled_from(["ann", "bob", "Zoë"]),
    round=st.integers(1, 3),
    reasons=st.lists(TEXTS, max_size=2).map(tuple),
    comment=TEXTS,
    seconds=st.none() | st.floats(0, 1e6),
    at=st.sampled_from([None, at(1), at(2)]),
)


@given(st.lists(decisions, max_size=8))
def test_a_line_is_read_back_as_it_was(given_: list[Decision]) -> None:
    assert parse("".join(line(one) + "\n" for one in given_), "f") == given_


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(calls=st.lists(st.lists(decisions, max_size=5), max_size=5))
def test_whatever_is_given_is_there_once_in_order(
    calls: list[list[Decision]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("review") / "decisions.jsonl"
    counts = [append(path, call) for call in calls]
    flat = [one for call in calls for one in call]
    first = {importer.key(one): one for one in reversed(flat)}
    assert [importer.key(one) for one in read(path)] == list(dict.fromkeys(map(importer.key, flat)))
    assert sum(count.new for count in counts) == len(first)
    assert sum(count.new + count.duplicates for count in counts) == len(flat)


def test_lines_that_are_there_are_never_rewritten_even_as_an_editor_left_them(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    before = "\ufeff" + line(said()).replace('": "', '" : "') + "\r\n\n" + line(said("reject", "bob"))
    path.write_bytes(before.encode())
    assert append(path, [said(), said("unsure", "cy")]) == Appended(1, 1)
    many = [said(sample=f"n{n}") for n in range(100)]  # more than one write holds
    assert append(path, many) == Appended(100, 0)
    assert path.read_bytes().startswith(before.encode() + b"\n")
    assert len(read(path)) == 103


def test_a_file_that_somebody_else_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    append(path, [said(), said("reject", "bob")])
    path.write_text(line(said()) + "\n")
    assert append(path, [said(), said("reject", "bob")]) == Appended(1, 1)
    path.unlink()
    assert append(path, [said()]) == Appended(1, 0)


def test_a_broken_file_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(line(said()) + "\n" + line(said())[:50])
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"line 2: not JSON.*cut off"):
        append(path, [said("reject")])
    assert path.read_bytes() == before


@pytest.mark.parametrize("count", [1, 100])
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    path = tmp_path / "decisions.jsonl"
    append(path, [said("reject")])
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    new = [said(sample=f"n{n}") for n in range(count)]
    with monkeypatch.context() as patched:
        patched.setattr(importer.os, "fsync", full)
        patched.setattr(storage.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            append(path, new)
    assert path.read_bytes() == before
    assert append(path, new) == Appended(count, 0)


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    code = (
        "import sys; from pathlib import Path; from pipeline.review.importer import append\n"
        "from tests.pipeline.review.said import said\n"
        "for n in range(40):\n"
        "    append(Path(sys.argv[1]), [said('keep', name, f's{n}') for name in (sys.argv[2], 'all')])"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name], cwd=ROOT, env=os.environ | {"PYTHONPATH": "."})
        for name in ("ann", "bob", "cy")
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    names = [one.reviewer for one in read(path)]
    assert {name: names.count(name) for name in names} == {"ann": 40, "bob": 40, "cy": 40, "all": 40}
