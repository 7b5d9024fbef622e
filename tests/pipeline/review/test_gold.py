"""Known answers are read whole, or refused with what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import DataError
from pipeline.review.gold import Gold, read
from tests.pipeline.review.said import SHOWN


def line(**changes: Any) -> str:
    return json.dumps({"sample_id": "s1", "shown_sha256": SHOWN, "decision": "keep"} | changes) + "\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "gold.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_answers_come_in_order_and_whatever_else_a_line_says_is_left_out(tmp_path: Path) -> None:
    text = "\ufeff" + line(reviewer="ann", round=1) + "\r\n" + line(sample_id="s2", decision="unsure") + line()
    first = Gold("s1", SHOWN, "keep")
    assert read(write(tmp_path, text)) == (first, Gold("s2", SHOWN, "unsure"), first)
    assert read(tmp_path / "absent.jsonl") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: expected an object, found list"),
        (line(decision="maybe"), "line 2: decision is 'maybe'; expected one of keep"),
        (line(shown_sha256="a" * 63), "line 2: shown_sha256 is"),
        (line(decision="reject"), "different answers about 1 pictures, such as sample s1"),
        ("{}\n" * 100, "has 300 faults"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(write(tmp_path, line() + text))
