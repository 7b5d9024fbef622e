"""Export, decide, import: every format brings the same decisions home, and then nothing is left to ask."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from manifests.schema import ALIGN, WHITEN
from pipeline.review import decisions, page
from pipeline.review.decisions import DECISIONS, Decision
from pipeline.review.export import FORMATS
from stages.cli import main
from tests.factories import make_rows, write_stage
from tests.pipeline.review.said import said

Said = dict[str, Decision]  # by task_id
HOSTILE = '=1+1</script>\u202e"<b>,;'


def by_page(batch: Path, words: Said) -> Path:
    """What the page downloads."""
    tasks = [task for person in page.read(batch / "index.html")["people"] for task in person["tasks"]]
    path = batch / "decisions.jsonl"
    path.write_text("".join(decisions.line(words[task["task_id"]]) + "\n" for task in tasks))
    return path


def by_label_studio(batch: Path, words: Said) -> Path:
    """What Label Studio exports as JSON: each task with an annotation."""
    tasks = json.loads((batch / "tasks.json").read_text())

    def result(name: str, kind: str, value: list[str]) -> dict[str, Any]:
        key = "text" if kind == "textarea" else "choices"
        return {"id": name, "from_name": name, "to_name": "white", "type": kind, "value": {key: value}}

    for number, task in enumerate(tasks):
        one = words[task["data"]["task_id"]]
        task |= {
            "id": number,
            "annotations": [
                {
                    "id": number,
                    "completed_by": 1,
                    "was_cancelled": False,
                    "result": [
                        result("decision", "choices", [one.decision]),
                        result("reasons", "choices", list(one.reasons)),
                        result("comment", "textarea", [one.comment]),
                    ],
                    "lead_time": one.seconds,
                    "created_at": one.at,
                    "updated_at": one.at,
                }
            ],
        }
    path = batch / "project-1.json"
    path.write_text(json.dumps(tasks))
    return path


def by_fiftyone(batch: Path, words: Said) -> Path:
    """What FiftyOne exports after samples were tagged."""
    found = json.loads((batch / "samples.json").read_text())
    for number, sample in enumerate(found["samples"]):
        one = words[sample["task_id"]]
        sample |= {"_id": {"$oid": f"{number:024x}"}, "tags": [one.decision, *one.reasons], "comment": one.comment}
    path = batch / "samples.json"
    path.write_text(json.dumps(found))
    return path


def by_spreadsheet(batch: Path, words: Said) -> Path:
    """A spreadsheet that was filled in and saved with semicolons."""
    path = batch / "tasks.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=";")
    writer.writeheader()
    for row in rows:
        one = words[row["task_id"].removeprefix("'")]
        answers = {"decision": one.decision, "reasons": " ".join(one.reasons), "comment": one.comment}
        writer.writerow(row | answers)
    path.write_text(out.getvalue(), encoding="utf-8-sig", newline="")
    return path


TOOLS: dict[str, Callable[[Path, Said], Path]] = {
    "html": by_page, "label-studio": by_label_studio, "fiftyone": by_fiftyone, "csv": by_spreadsheet,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_brings_the_same_decisions_home(tmp_path: Path, form: str) -> None:
    paths = {name: str(tmp_path / name) for name in ("data", "reports", "metrics", "review")}
    settings = tmp_path / "params.yaml"
    settings.write_text(json.dumps({"paths": paths, "run": {"workers": 1}}))
    rows = []
    for table in (ALIGN, WHITEN):
        rows = make_rows(table, 12, row_id=lambda i: f"{i:032x}", name=HOSTILE)
        write_stage(tmp_path / "data", table, rows)

    def run(*command: str) -> str:
        done = CliRunner().invoke(main, [*command, "--params", str(settings)])
        assert done.exit_code == 0, done.output
        return done.output

    words = {}
    for number, row in enumerate(rows):
        more = {"reasons": ("blurred", "pose"), "comment": "soft, at the eyes"} if number % 3 == 1 else {}
        one = said(DECISIONS[number % 3], "anna", row["sample_id"], shown=row["image_sha256"], **more)
        words[one.task_id] = replace(one, seconds=1.5, at=f"2026-03-01T10:00:{number:02d}+00:00")
    run("review-export", "--format", form, "--reviewers", "anna")
    (batch,) = (path for path in (tmp_path / "data" / "review_batches").iterdir() if path.is_dir())
    run("review-import", str(TOOLS[form](batch, words)))

    found = {one.task_id: one for one in decisions.read(tmp_path / "review" / "decisions.jsonl")}
    timed = form in ("html", "label-studio")  # the others know neither when nor how long
    assert found == (words if timed else {key: replace(one, seconds=None, at=None) for key, one in words.items()})
    assert "nothing waits for a decision" in run("review-export", "--format", form, "--reviewers", "anna")
