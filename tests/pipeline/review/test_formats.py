"""What each export format holds: all that an import needs, nothing that a batch hides, and text that stays text."""

import csv
import io
import json
from datetime import date
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.review import fiftyone, gallery, label_studio, page, table
from pipeline.review.batches import Batch, Options, anonymous, blind, plan
from pipeline.review.decisions import DECISIONS
from pipeline.review.export import FORMATS
from pipeline.review.people import Person
from pipeline.review.table import guarded, unguarded
from pipeline.review.tasks import REASONS, Task
from pipeline.review.view import View

VIEW = View("0123456789ab", 3, 7, expires=date(2030, 1, 2))
HOSTILE = '=cmd|"/C calc"!A0</script><img src=x onerror=alert(1)>,\n\u2028&amp;{{ 7 * 7 }}'
KEYS = ("task_id", "sample_id", "shown_sha256")


def batch(text: str = "Zoë", reviewer: str = "anna", score: str = "") -> Batch:
    """Two people with three pictures; the text is in every place that holds one."""
    people = []
    for name, count in (("first", 2), ("second", 1)):
        tasks = tuple(
            Task(f"{i:016d}", f"{name}{i}", f"{i}" * 64, f"{name} {text}", "row", 1, "keep" if i else "reject", 0.75,
                 (("turn", score or text),), f"https://example.org/{text}", i == 1)
            for i in range(count)
        )  # fmt: skip
        people.append(Person(f"{name} {text}", f"Name {text}", "f", text, 2, 1, frozenset(), 2, tasks))
    return Batch("round1-batch001-anna", reviewer, 1, tuple(people))


def read(form: str, given: Batch, view: View = VIEW) -> list[dict[str, Any]]:
    """The entries of a batch in any format, in order, one per picture."""
    files = FORMATS[form].files(given, view)
    assert set(files) == set(FORMATS[form].names)
    if form == "html":
        (text,) = files.values()
        found = page._BATCH.search(text)
        assert found is not None
        people = json.loads(found[1])["people"]
        return [task | {"round": 1, "reviewer": "anna"} for person in people for task in person["tasks"]]
    if form == "label-studio":
        return [task["data"] for task in json.loads(files[label_studio.TASKS])]
    if form == "fiftyone":
        return json.loads(files[fiftyone.SAMPLES])["samples"]
    text = files[table.FILE]
    assert text.startswith("\ufeff")
    rows = csv.DictReader(io.StringIO(text[1:], newline=""))
    return [{k: int(v) if k == "round" else unguarded(v) for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", ["Zoë", HOSTILE], ids=["plain", "hostile"])
def test_every_picture_is_there_once_with_what_an_import_needs(form: str, text: str) -> None:
    given = batch(text)
    entries = read(form, given)
    assert [tuple(entry[key] for key in KEYS) for entry in entries] == [
        (task.task_id, task.sample_id, task.shown_sha256) for task in given.tasks
    ]
    assert {(entry["round"], entry["reviewer"]) for entry in entries} == {(1, "anna")}


@pytest.mark.parametrize("form", FORMATS)
@settings(deadline=None)
@given(text=st.text())
def test_any_text_comes_back_as_it_was(form: str, text: str) -> None:
    entries = read(form, batch(text))
    assert [entry["source"] for entry in entries] == [f"https://example.org/{text}"] * 3


@pytest.mark.parametrize("form", FORMATS)
def test_no_format_tells_which_answers_are_known(form: str) -> None:
    text = "".join(FORMATS[form].files(batch(), VIEW).values()).lower()
    entries = json.dumps(read(form, batch())).lower()
    assert '"gold"' not in text and "gold" not in entries


@pytest.mark.parametrize("form", FORMATS)
def test_an_anonymous_batch_leaks_no_name_id_or_address(form: str) -> None:
    shown = anonymous(batch("Xanthippe", score="+1.0°"))
    text = (
        json.dumps(gallery.data(shown, VIEW)) if form == "html" else "".join(FORMATS[form].files(shown, VIEW).values())
    )
    assert not [word for word in ("Xanthippe", "first ", "second ", "example.org/") if word in text]
    assert "person 2" in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_blind_batch_suggests_nothing_and_scores_nothing(form: str) -> None:
    view = View("0123456789ab", 3, 7, blind=True)
    files = FORMATS[form].files(blind(batch(), 0), view)
    entries = json.dumps(read(form, blind(batch(), 0), view))
    assert "turn" not in entries and "0.75" not in entries
    if form == "label-studio":
        assert {len(task["predictions"]) for task in json.loads(files[label_studio.TASKS])} == {0}
    else:
        assert not [entry for entry in read(form, blind(batch(), 0), view) if entry.get("suggested")]


def test_hostile_text_opens_no_element_in_the_page() -> None:
    text = gallery.files(batch(HOSTILE), VIEW)["index.html"]
    assert "<img src=x" not in text and "</script><img" not in text


def test_the_page_has_all_that_its_contract_names() -> None:
    data = gallery.data(batch(), VIEW)
    assert {"schema", "batch", "dataset", "round", "reviewer", "made", "expires", "blind", "least", "most", "reasons",
            "people"} == set(data)  # fmt: skip
    assert (data["dataset"], data["expires"], data["made"]) == ("0123456789ab", "2030-01-02", None)
    assert set(data["people"][0]) == {"identity", "name", "gender", "nationality", "kept", "tasks"}
    first = data["people"][0]["tasks"][0]
    assert first["original"] == first["white"].replace(".jpg", "o.jpg")


def test_label_studio_predicts_by_the_controls_of_its_labelling_interface() -> None:
    files = label_studio.files(batch(), VIEW)
    view = ElementTree.fromstring(files["labels.xml"])
    controls = {tag.attrib["name"]: tag for tag in view.iter() if "toName" in tag.attrib}
    assert list(controls) == [label_studio.DECISION, label_studio.REASON, label_studio.COMMENT]
    keys = [tag.attrib["hotkey"] for tag in view.iter("Choice")]
    assert len(set(keys)) == len(keys)
    assert [tag.attrib["value"] for tag in controls["decision"]] == list(DECISIONS)
    assert [tag.attrib["value"] for tag in controls["reasons"]] == [value for _, value, _ in REASONS]
    tasks = json.loads(files["tasks.json"])
    used = {tag.attrib["value"][1:] for tag in view.iter() if tag.attrib.get("value", "").startswith("$")}
    assert all(used <= set(task["data"]) for task in tasks)
    for task in tasks:
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert (result["from_name"], result["type"]) == ("decision", "choices")
        assert result["to_name"] in {tag.attrib["name"] for tag in view.iter("Image")}
        assert result["value"]["choices"] in [["keep"], ["reject"]]
        assert (prediction["model_version"], prediction["score"]) == (label_studio.MODEL, 0.75)


def test_label_studio_finds_the_pictures_below_the_prefix() -> None:
    view = View("0123456789ab", 3, 7, files_prefix="https://host.example/faces/")
    (first, *_) = json.loads(label_studio.files(batch(), view)["tasks.json"])
    assert first["data"]["white"].startswith("https://host.example/faces/round1-batch001-anna/pictures/")
    assert "base64" not in json.dumps(first)


def test_a_fiftyone_folder_names_relative_pictures_and_the_machines_choice() -> None:
    files = fiftyone.files(batch(), VIEW)
    samples = json.loads(files["samples.json"])["samples"]
    assert {sample["filepath"].split("/")[0] for sample in samples} == {"data"}
    assert samples[1]["suggested"] == {"_cls": "Classification", "label": "keep", "confidence": 0.75}
    assert {tuple(sample["tags"]) for sample in samples} == {()}
    metadata = json.loads(files["metadata.json"])
    assert "version" not in metadata
    assert metadata["info"]["tags"]["decision"] == list(DECISIONS)


@settings(deadline=None)
@given(st.text())
@example("=1+1").via("a formula")
@example("\t=1+1").via("hidden behind a tab")
@example(" @SUM(A1)").via("behind a space")
@example("'quoted").via("the guard's own mark")
@example("12345678901e2345").via("an id that reads as a number")
def test_no_cell_is_a_formula_or_a_number_and_what_was_there_comes_back(text: str) -> None:
    cell = guarded(text)
    assert unguarded(cell) == text
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    if cell and set(cell) <= set("0123456789.eE+-"):
        with pytest.raises(ValueError, match="float"):
            float(cell)


def test_the_csv_has_an_empty_decision_first_and_guards_each_cell() -> None:
    given = batch("=1+1", reviewer="-x")
    text = table.files(given, VIEW)["tasks.csv"]
    rows = list(csv.DictReader(io.StringIO(text[1:], newline="")))
    assert list(rows[0])[:3] == ["decision", "reasons", "comment"]
    assert {row["decision"] for row in rows} == {""}
    assert {row["reviewer"] for row in rows} == {"'-x"}
    assert rows[0]["task_id"] == "'0000000000000000", "sixteen digits are an id, not a number"
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


def test_a_real_plan_fits_every_format() -> None:
    (planned,) = plan(batch().people, Options())
    for form in FORMATS:
        assert len(read(form, planned)) == 3
