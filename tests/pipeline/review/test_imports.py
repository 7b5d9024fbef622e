"""Files that come back become decisions once, and whatever is refused is counted and shown."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from manifests.schema import WHITEN
from manifests.table import read_rows
from pipeline.review.decisions import Decision, line, read
from stages.cli import main
from tests.factories import make_rows, write_stage
from tests.pipeline.review.said import at, said

Command = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with twelve whitened pictures."""
    write_stage(tmp_path / "data", WHITEN, make_rows(WHITEN, 12))
    (tmp_path / "params.yaml").write_text("review: {mode: human}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def pictures(project: Path) -> list[tuple[str, str]]:
    rows = read_rows(project / "data/whiten/part-0000.parquet", ["sample_id", "image_sha256"])
    return [(row["sample_id"], row["image_sha256"]) for row in rows]


def about(project: Path, word: str = "keep", reviewer: str = "ann", second: int = 0, round_: int = 1) -> list[Decision]:
    """One decision about every picture."""
    return [
        said(word, reviewer, sample, round_, shown=shown, at=at(second + i), seconds=1.0)
        for i, (sample, shown) in enumerate(pictures(project))
    ]


def write(project: Path, name: str, decisions: list[Decision]) -> str:
    (project / name).write_text("".join(line(one) + "\n" for one in decisions))
    return name


def stored(project: Path) -> list[Decision]:
    return list(read(project / "review/decisions.jsonl"))


def test_a_file_is_imported_once_however_often_it_is_given(project: Path) -> None:
    name = write(project, "ann.jsonl", about(project))
    first = command("review-import", name)
    assert (first.exit_code, first.output) == (
        0,
        "ann.jsonl: JSON Lines, 12 decisions\n12 decisions added, 0 known already.\n",
    )
    before = (project / "review/decisions.jsonl").read_bytes()
    again = command("review-import", name, name)
    assert again.exit_code == 0
    assert "0 decisions added, 24 known already." in again.output
    assert (project / "review/decisions.jsonl").read_bytes() == before


def test_what_does_not_fit_is_refused_with_examples_and_the_rest_comes_in(project: Path) -> None:
    good = about(project)
    (first, shown), *_ = pictures(project)
    odd = [
        said("keep", "ann", "elsewhere"),
        said("keep", "ann", first, shown="b" * 64),
        Decision("no such task", first, shown, "reject", "ann", 1),
    ]
    result = command("review-import", write(project, "ann.jsonl", [*odd, *good]))
    assert result.exit_code == 3
    assert "12 decisions added, 0 known already." in result.output
    for words in (
        f"1 refused: about pictures that are not here (another data set, or removed since): task {odd[0].task_id}",
        f"1 refused: the picture has changed since it was shown; it will be asked again: task {odd[1].task_id}",
        "1 refused: task, picture and round do not belong together (edited by hand?): task no such task",
        "error: 3 decisions refused, see above; all others are in",
    ):
        assert words in result.output
    assert stored(project) == good


def test_a_truncated_file_adds_nothing_of_any_file(project: Path) -> None:
    whole = write(project, "whole.jsonl", about(project))
    (project / "cut.jsonl").write_text((project / "whole.jsonl").read_text()[:-40])
    result = command("review-import", whole, "cut.jsonl")
    assert result.exit_code == 3
    assert "error: cut.jsonl has 1 faults" in result.output
    assert "line 12: not JSON" in result.output
    assert "was it cut off?" in result.output
    assert not (project / "review/decisions.jsonl").exists()


def test_decisions_for_another_dataset_are_refused_whole(project: Path) -> None:
    elsewhere = [said("keep", "ann", f"s{n}") for n in range(5)]
    result = command("review-import", write(project, "other.jsonl", elsewhere))
    assert result.exit_code == 3
    assert (
        "none of the 5 decisions is about a picture of data/whiten: they belong to another data set, or"
        in result.output
    )
    assert not (project / "review").exists()


def test_without_pictures_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}\n")
    for arguments in (["review-import", write(tmp_path, "a.jsonl", [said()])], ["review-status"]):
        result = command(*arguments)
        assert result.exit_code == 4
        assert "pipeline run whiten" in result.output


def test_of_two_files_that_disagree_the_later_decision_holds_in_either_order(project: Path) -> None:
    old = write(project, "monday.jsonl", about(project, "keep"))
    new = write(project, "friday.jsonl", about(project, "reject", second=1000))
    for files in ([old, new], [new], [old]):
        result = command("review-import", *files)
        assert result.exit_code == 0
    status = json.loads(command("review-status", "--format", "json").output)
    assert (status["lines"], status["settled"], status["kept"]) == (24, 12, 0)


def test_a_revision_is_said_to_be_one(project: Path) -> None:
    command("review-import", write(project, "monday.jsonl", about(project, "keep")))
    result = command("review-import", write(project, "friday.jsonl", about(project, "reject", second=1000)))
    assert "12 differ from what the same reviewer said before: the later one holds: task" in result.output


def test_what_is_given_again_after_its_revision_changes_nothing_and_that_is_said(project: Path) -> None:
    """A table has no times: who goes back to their first word must learn that it does not hold."""
    words = ("keep", "reject", "keep")
    plain = [[said(word, "ann", sample, shown=shown) for sample, shown in pictures(project)] for word in words]
    results = [command("review-import", write(project, "ann.jsonl", each)) for each in plain]
    assert "revised since" not in results[0].output + results[1].output
    assert "0 decisions added, 12 known already." in results[2].output
    assert "12 known already, and revised since by the same reviewer: the revision holds: task" in results[2].output
    assert "0 kept" in command("review-status").output


def test_two_files_without_times_that_disagree_are_refused(project: Path) -> None:
    plain = [(sample, shown) for sample, shown in pictures(project)]
    names = [
        write(project, f"{word}.jsonl", [said(word, "ann", sample, shown=shown) for sample, shown in plain])
        for word in ("keep", "reject")
    ]
    result = command("review-import", *names)
    assert result.exit_code == 3
    assert "the files disagree about 12 tasks of the same reviewer" in result.output
    assert not (project / "review").exists()


def test_reviewers_who_disagree_both_come_in_and_the_next_round_settles_it(project: Path) -> None:
    ann = write(project, "ann.jsonl", about(project, "keep"))
    bob = write(project, "bob.jsonl", about(project, "reject", "bob"))
    assert command("review-import", ann, bob).exit_code == 0
    status = command("review-status").output
    assert "0 pictures that nobody has seen, 12 on which reviewers differ" in status
    assert "ann: keep, bob: reject" in status
    assert "pipeline review-export" in status
    cy = write(project, "cy.jsonl", about(project, "keep", "cy", round_=2))
    assert command("review-import", cy).exit_code == 0
    assert "12 of 12 pictures settled, 12 kept" in command("review-status").output
    late = write(project, "late.jsonl", about(project, "reject", "dan"))
    assert "12 came after a later round had spoken" in command("review-import", late).output
    assert "12 of 12 pictures settled, 12 kept" in command("review-status").output


def test_names_from_a_file_do_not_steer_the_terminal(project: Path) -> None:
    evil = about(project, reviewer="\x1b[2Jann\u202e")
    result = command("review-import", write(project, "e.jsonl", [*evil, said("keep", "\x1b[2Jann\u202e", "gone")]))
    status = command("review-status")
    assert "\x1b" not in result.output + status.output
    assert "\u202e" not in result.output + status.output
