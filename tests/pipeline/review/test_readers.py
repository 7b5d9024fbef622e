"""What comes back is recognised by its content, read whole or refused with its faults named."""

import json
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import DataError
from pipeline.review.decisions import line
from pipeline.review.readers import Found, read
from pipeline.review.tasks import task_id
from tests.pipeline.review.said import SHOWN, at, said

KEYS = {"task_id": task_id("s1", SHOWN, 1), "sample_id": "s1", "shown_sha256": SHOWN, "round": 1}


def write(folder: Path, text: str, name: str = "back.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def annotation(word: str | None = "keep", **more: Any) -> dict[str, Any]:
    result = [{"from_name": "decision", "type": "choices", "value": {"choices": [word]}}] if word else []
    return {"result": result, "completed_by": 1, "was_cancelled": False, "lead_time": 2.5, "created_at": at(0)} | more


def exported(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 7, "data": KEYS | {"reviewer": "ann", "white": "x.jpg"} | data, "annotations": list(annotations)}


def sample(*tags: str, **more: Any) -> dict[str, Any]:
    return {"filepath": "data/x.jpg", "tags": list(tags), "reviewer": "ann", "comment": "", **KEYS, **more}


def table(*rows: str, delimiter: str = ",") -> str:
    header = ("decision", "reasons", "comment", "name", "task_id", "sample_id", "shown_sha256", "round", "reviewer")
    keys = (KEYS["task_id"], "s1", SHOWN, "1", "ann")
    return "\ufeff" + "\r\n".join(
        delimiter.join((*row.split("|"), "A", *map(str, keys))) if row != "header" else delimiter.join(header)
        for row in ("header", *rows)
    )


def test_the_pages_file_is_read_as_it_is(tmp_path: Path) -> None:
    decision = said(reasons=("blurred",), comment='"samples": [', seconds=1.25, at=at(5))
    assert read(write(tmp_path, line(decision) + "\n")) == Found("JSON Lines", (decision,))


def test_label_studio_gives_annotator_time_and_seconds_and_skips_what_was_cancelled(tmp_path: Path) -> None:
    full = annotation("reject", completed_by={"id": 3, "email": "bob@example.org"}, updated_at=at(9))
    full["result"] += [
        {"from_name": "reasons", "type": "choices", "value": {"choices": ["blurred", "cut"]}},
        {"from_name": "comment", "type": "textarea", "value": {"text": ["soft", "dark"]}},
        {"from_name": "something else", "type": "rectanglelabels", "value": {"x": 1}},
    ]
    tasks = [exported(full), exported(annotation("keep", was_cancelled=True)), exported(), exported(annotation(None))]
    found = read(write(tmp_path, json.dumps(tasks)))
    assert found == Found(
        "Label Studio",
        (said("reject", "bob@example.org", reasons=("blurred", "cut"), comment="soft\ndark", seconds=2.5, at=at(9)),),
        undecided=3,
        cancelled=1,
    )


def test_a_lone_numbered_annotator_is_the_batchs_reviewer_and_several_stay_apart(tmp_path: Path) -> None:
    alone = read(write(tmp_path, json.dumps([exported(annotation())])))
    assert [one.reviewer for one in alone.decisions] == ["ann"]
    both = read(write(tmp_path, json.dumps([exported(annotation(), annotation("reject", completed_by=2))])))
    assert [(one.reviewer, one.decision) for one in both.decisions] == [
        ("annotator 1", "keep"),
        ("annotator 2", "reject"),
    ]


def test_fiftyone_decides_by_tag(tmp_path: Path) -> None:
    samples = [sample("blurred", "reject", comment="soft"), sample(), sample("pose"), sample("keep", comment=None)]
    found = read(write(tmp_path, json.dumps({"samples": samples})))
    assert found == Found("FiftyOne", (said("reject", reasons=("blurred",), comment="soft"), said("keep")), undecided=2)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_as_any_spreadsheet_saves_it(tmp_path: Path, delimiter: str) -> None:
    text = table("Wrong Person|blurred cut|soft", "||", "keep||", delimiter=delimiter)
    found = read(write(tmp_path, text))
    assert found == Found(
        "CSV", (said("wrong_person", reasons=("blurred", "cut"), comment="soft"), said("keep")), undecided=1
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; expected the page's"),
        ("hello", "no known format; expected the page's"),
        (line(said()) + "\n" + line(said())[:70], "line 2: not JSON"),
        (line(said()).replace('"keep"', '"kept"'), "decision is 'kept'; expected one of keep, reject"),
        (line(said()).replace("a" * 64, "a" * 63), "shown_sha256 is"),
        (json.dumps([exported(annotation())])[:-20], "not whole JSON .* cut off"),
        ("[" * 100_000, "not whole JSON"),
        ("[1]", "no `data` and `annotations`: export from Label Studio as JSON, not JSON-MIN"),
        (json.dumps([{"id": 1, "decision": "keep"}]), "not JSON-MIN"),
        (json.dumps([exported(annotation(), task_id=None)]), "task 1: task_id is None"),
        (json.dumps([exported(annotation("maybe"))]), "task 1: decision is 'maybe'"),
        (json.dumps({"samples": [sample("keep", "reject")]}), "sample 1: tags keep, reject contradict"),
        (json.dumps({"samples": [sample("keep")]})[:-9], "not whole JSON"),
        (json.dumps({"samples": {}}), "no list of `samples`"),
        (json.dumps({"samples": [sample("keep", reviewer=None)]}), "reviewer is None"),
        (table("keep||").replace("shown_sha256", "sha"), "lacks the columns shown_sha256"),
        (table("keep||")[:-8], "fields than the header has columns"),
        (table("keep||").replace(SHOWN, "1E+30"), "shown_sha256 is '1E"),
        (table('keep||"open'), "not whole CSV"),
        (table("perhaps||"), "line 2: decision is 'perhaps'"),
    ],
    ids=lambda value: value[:24],
)
def test_what_is_broken_is_refused_and_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(write(tmp_path, text))


def test_a_file_full_of_faults_is_not_printed_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(write(tmp_path, "{}\n" * 1000))
    assert "has 6000 faults" in str(error.value)
    assert "and 5980 more" in str(error.value)
    assert len(str(error.value).splitlines()) == 22


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table("keep||soft \u00e9").encode("cp1252", "ignore"))
    with pytest.raises(DataError, match="not UTF-8"):
        read(tmp_path / "t.csv")
