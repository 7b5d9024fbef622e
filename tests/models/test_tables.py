"""Evaluations as Markdown: what may share a column, what a foreign file may do."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from manifests.errors import DataError, Missing
from models import scores, tables
from models.cli import main
from models.scores import Asked
from tests.models.test_metrics import unit

Report = dict[str, Any]


def report(experiment: str = "sf2f-64", judge: str = "dlib", seed: int = 0) -> Report:
    """A report of real scores of noise."""
    wanted = unit(30, seed=1)
    asked = Asked(wanted, wanted, ["m", "f"] * 15, [None] * 30, [torch.arange(15), torch.arange(15, 30)], 0)
    share = scores.figure([torch.ones(30)])
    row = {"name": "5 s", "way": "crop", "seconds": [5.0, 5.0]} | scores.row(asked, [unit(30, seed=seed + 2)])
    vfs = {"faces": 30, "splits": 5} | {key: {"mean": 1.5, "spread_over_splits": 0.25} for key in ("rgb", "bgr")}
    return {
        "format": tables.FORMAT,
        "checkpoint": {"experiment": experiment, "seed": seed, "sha256": f"{seed:064d}"},
        "trained_on": {"manifest": "a" * 64},
        "judge": {"name": judge, "sha256": "b" * 64},
        "classifier": {"name": "vggface2-resnet50", "sha256": "c" * 64},
        "data": {"manifest": "a" * 64, "split": "test", "people": 30, "left_out": {"no face": 2, "no speech": 0}},
        "protocol": {"name": "default", "seed": 0, "gallery": [15, 15]},
        "real": {"why": "nobody has two"},
        "gender_probe": share,
        "rows": [
            row
            | {"gender": share | {"chance": 0.6, "gender_only": 1.0}, "closed_set": {"why": "other people"}, "vfs": vfs}
        ],
    }


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


def test_chance_and_gender_alone_stand_in_every_table() -> None:
    text = tables.markdown([report()])
    for start in ("chance", "perfect gender only"):
        assert len(lines(text, start)) == 2
    recall, matching = lines(text, "chance")
    assert recall.split(" | ")[4:8] == ["6.7", "13.3", "33.3", "66.7"]
    assert matching.split(" | ")[2:5] == ["50.0", "50.0", "60.0"]


def test_every_table_is_rectangular() -> None:
    for block in tables.markdown([report("sf2f-64"), report("voice2face", seed=1)]).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count(" | ") for line in block.splitlines()}) == 1


def test_the_papers_figures_stand_below_ours_and_only_of_that_experiment() -> None:
    text = tables.markdown([report("sf2f-64")])
    assert len(lines(text, "*SF2F, Table 3: sf2f-64")) == 3 and "5.75 | 9.32 | 20.36 | 36.65" in text
    assert "voice2face" not in text
    assert "76.07 | 59.69 | 96.45" in tables.markdown([report("voice2face")])


def test_a_row_without_a_score_says_why_not() -> None:
    one = report()
    one["classifier"] = {"why": "fetch them: pipeline weights fetch vggface2-resnet50"}
    one["rows"][0]["vfs"] = one["classifier"]
    text = tables.markdown([one])
    assert "VFS: fetch them: pipeline weights fetch vggface2-resnet50" in text
    assert lines(text, "sf2f-64")[0].endswith("| - | - |")
    assert "no ceiling: nobody has two" in text and "left out: 2 with no face" in text


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("judge", {"sha256": "e" * 64}),
        ("classifier", {"sha256": "e" * 64}),
        ("data", {"manifest": "e" * 64}),
        ("data", {"split": "val"}),
        ("protocol", {"name": "authors"}),
        ("protocol", {"seed": 1}),
    ],
)
def test_numbers_that_cannot_be_compared_never_share_a_table(part: str, changed: Report) -> None:
    one, other = report(), report(seed=1)
    assert tables.markdown([one, other]).count("Judge `") == 1
    other[part] |= changed
    assert tables.markdown([one, other]).count("Judge `") == 2


def test_the_ceiling_stands_once() -> None:
    one, other = report(), report(seed=1)
    for each in (one, other):
        each["real"] = copy.deepcopy(each["rows"][0]) | {"name": "real photograph"}
    assert len(lines(tables.markdown([one, other]), "real photograph")) == 2  # in each of the two tables


def test_a_name_can_neither_leave_its_cell_nor_steer_the_terminal() -> None:
    text = tables.markdown([report("a | b\n\x1b[31m# c")])
    assert "\x1b" not in text and len(lines(text, "a \\| b")) == 2


def test_a_report_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(report()))
    assert tables.read(path) == report()


FOREIGN = {
    "no JSON": "{",
    "not text": b"\xff\xfe\x00",
    "a list": "[]",
    "another tool's": '{"format": "x"}',
    "cut": json.dumps({"format": tables.FORMAT, "judge": {}}),
    "of other types": json.dumps({**report(), "rows": 3}),
    "without rows": json.dumps({**report(), "rows": []}),
    "deep": "[" * 100_000,
    "figures as words": json.dumps(report()).replace('"mean": 1.5', '"mean": "1.5"'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_broken_or_foreign_report_is_an_error_of_data(name: str, tmp_path: Path) -> None:
    content, path = FOREIGN[name], tmp_path / "r.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"r\.json"):
        tables.read(path)


def test_no_report_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="models evaluate"):
        tables.read(tmp_path / "r.json")


def compare(*paths: Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, paths)])


def test_compare_puts_runs_side_by_side(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "evaluation-x.json").write_text(json.dumps(report(seed=seed)))
    found = compare(tmp_path / "0", tmp_path / "1" / "evaluation-x.json")
    assert found.exit_code == 0
    assert len(lines(found.output, "sf2f-64, seed 0")) == len(lines(found.output, "sf2f-64, seed 1")) == 2


def test_compare_ends_with_3_for_a_foreign_file_and_4_for_none(tmp_path: Path) -> None:
    assert compare(tmp_path).exit_code == 4
    (tmp_path / "evaluation-x.json").write_text("{}")
    found = compare(tmp_path)
    assert found.exit_code == 3 and "evaluation-x.json" in found.output


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_mean_that_is_no_number_is_refused_with_its_place(tmp_path: Path, value: str) -> None:
    held = report()
    held["rows"][0]["cosine"]["mean"] = "here"
    (tmp_path / "evaluation-x.json").write_text(json.dumps(held).replace('"here"', value))
    result = CliRunner().invoke(main, ["compare", str(tmp_path)])
    assert result.exit_code == 3 and "rows.0.cosine.mean is no finite number" in result.output


def test_a_checkpoint_chosen_on_val_says_by_what() -> None:
    held = report()
    held["checkpoint"]["chosen_by"] = "recall_10"
    assert "as the best of its run by recall_10." not in tables.markdown([report()])
    assert "as the best of its run by recall_10;" in tables.markdown([held])
    held["trained_on"]["validation_judge"] = {"name": "own-a", "sha256": "b" * 64}
    assert "as the best of its run by recall_10 (judge own-a);" in tables.markdown([held])
