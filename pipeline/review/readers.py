"""Read what reviewers send back: the page's JSON Lines, a Label Studio export, FiftyOne samples, a filled-in CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import DataError
from pipeline.review import label_studio, table
from pipeline.review.decisions import DECISIONS, Decision, broken, decision_of, parse, read_text

_KEYS = ("task_id", "sample_id", "shown_sha256", "round")
_FORMS = "the page's .jsonl, a Label Studio export (JSON), a FiftyOne samples.json, or the CSV of `review-export`"

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What one file holds."""

    form: str
    decisions: tuple[Decision, ...]
    undecided: int = 0  # tasks without a decision
    cancelled: int = 0  # Label Studio: annotations that their author skipped


def read(path: Path) -> Found:
    """The decisions of a file, whose format its content tells.

    Raises DataError where it has none of the formats, or naming everything in it that is broken.
    """
    text = read_text(path)
    start = text.lstrip()[:1]
    if not start:
        raise DataError(f"{path} is empty; expected {_FORMS}")
    if start == "[":
        return _label_studio(_whole(text, path), str(path))
    if start == "{":
        if '"samples"' in text.lstrip()[:200]:
            return _fiftyone(_whole(text, path), str(path))
        return Found("JSON Lines", tuple(parse(text, str(path))))
    if "task_id" in text.split("\n", 1)[0]:
        return _csv(text, str(path))
    raise DataError(f"{path} is of no known format; expected {_FORMS}")


def _whole(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not whole JSON ({error}): was it cut off? Export it again") from error


def _built(items: Iterable[tuple[str, Fields | list[str]]], name: str) -> tuple[Decision, ...]:
    """The decisions of (place in the file, fields or faults). Raises DataError naming all faults."""
    found: list[Decision] = []
    faults: list[str] = []
    for place, fields in items:
        result = fields if isinstance(fields, list) else decision_of(fields)
        if isinstance(result, list):
            faults += [f"  {place}: {fault}" for fault in result]
        else:
            found.append(result)
    if faults:
        raise DataError(broken(name, faults))
    return tuple(found)


def _keys(source: Mapping[str, Any]) -> Fields:
    """The fields that say which picture is meant; an absent one stays absent, to be reported."""
    return {name: source[name] for name in _KEYS if name in source}


def _label_studio(tasks: Any, name: str) -> Found:
    odd = [number for number, task in enumerate(tasks, start=1) if not _is_task(task)]
    if odd:
        raise DataError(
            f"{name}: task {odd[0]} has no `data` and `annotations`: export from Label Studio as JSON, not JSON-MIN"
        )
    given = [(number, task["data"], one) for number, task in enumerate(tasks, start=1) for one in task["annotations"]]
    cancelled = sum(bool(one.get("was_cancelled")) for _, _, one in given)
    answers = [item for item in given if not item[2].get("was_cancelled") and _answer(item[2], label_studio.DECISION)]
    alone = len({_annotator(one) for _, _, one in answers}) == 1
    items = ((f"task {number}", _annotated(data, one, alone)) for number, data, one in answers)
    answered = {number for number, _, _ in answers}
    return Found("Label Studio", _built(items, name), len(tasks) - len(answered), cancelled)


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return False
    annotations = task.get("annotations")
    return isinstance(annotations, list) and all(isinstance(one, dict) for one in annotations)


def _annotated(data: Fields, annotation: Fields, alone: bool) -> Fields | list[str]:
    chosen = _answer(annotation, label_studio.DECISION)
    if len(chosen) != 1:
        return [f"{len(chosen)} decisions in one annotation; expected one"]
    who = _annotator(annotation)
    return _keys(data) | {
        "decision": chosen[0],
        "reasons": _answer(annotation, label_studio.REASON),
        "comment": "\n".join(map(str, _answer(annotation, label_studio.COMMENT))),
        # A server of one knows its user by a number only: then the batch says whose it is.
        "reviewer": data.get("reviewer", who) if alone and "@" not in who else who,
        "seconds": annotation.get("lead_time"),
        "at": annotation.get("updated_at") or annotation.get("created_at"),
    }


def _answer(annotation: Fields, control: str) -> list[Any]:
    """What was chosen or typed in one control of the labelling interface."""
    found: list[Any] = []
    results = annotation.get("result")
    for result in results if isinstance(results, list) else ():
        value = result.get("value") if isinstance(result, dict) and result.get("from_name") == control else None
        if isinstance(value, dict):
            given = value.get("choices", value.get("text", []))
            found += given if isinstance(given, list) else [given]
    return found


def _annotator(annotation: Fields) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        return str(who.get("email") or f"annotator {who.get('id')}")
    return f"annotator {who}"


def _fiftyone(value: Any, name: str) -> Found:
    samples = value.get("samples") if isinstance(value, dict) else None
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise DataError(f"{name} has no list of `samples`: expected the samples.json of a FiftyOneDataset folder")
    tags = [sample["tags"] if isinstance(sample.get("tags"), list) else [] for sample in samples]
    words = [[tag for tag in each if tag in DECISIONS] for each in tags]
    items = (
        (f"sample {number}", _tagged(sample, each, chosen))
        for number, (sample, each, chosen) in enumerate(zip(samples, tags, words, strict=True), start=1)
        if chosen
    )
    return Found("FiftyOne", _built(items, name), words.count([]))


def _tagged(sample: Fields, tags: Sequence[Any], chosen: Sequence[str]) -> Fields | list[str]:
    if len(set(chosen)) > 1:
        return [f"tags {', '.join(sorted(set(chosen)))} contradict each other; leave one"]
    return _keys(sample) | {
        "decision": chosen[0],
        "reasons": [tag for tag in tags if tag not in DECISIONS],
        "comment": sample.get("comment") or "",  # FiftyOne writes null for what nobody filled in
        "reviewer": sample.get("reviewer"),
    }


def _csv(text: str, name: str) -> Found:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets write what their country writes
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    missing = {*table.KEYS, "decision"} - set(reader.fieldnames or ())
    if missing:
        raise DataError(f"{name} lacks the columns {', '.join(sorted(missing))}; keep all columns of the export")
    try:
        rows = [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{name} is not whole CSV after line {reader.line_num} ({error}): was it cut off?") from error
    cut = [place for place, row in rows if None in row.values() or None in row]
    if cut:
        raise DataError(f"{name}, {cut[0]}: more or fewer fields than the header has columns: was the file cut off?")
    decided = [(place, row) for place, row in rows if row["decision"].strip()]
    return Found("CSV", _built(((place, _filled_in(row)) for place, row in decided), name), len(rows) - len(decided))


def _filled_in(row: Mapping[str, str]) -> Fields:
    keys: Fields = {key: table.unguarded(row[key].strip()) for key in table.KEYS}
    number = keys["round"]
    return keys | {
        "round": int(number) if number.isdecimal() and len(number) < 10 else number,
        "decision": "_".join(row["decision"].lower().split()),
        "reasons": (row.get("reasons") or "").replace(",", " ").replace(";", " ").split(),
        "comment": row.get("comment") or "",
    }
