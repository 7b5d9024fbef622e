"""The folders of an export: whole, always the same, nothing left of who is gone, nothing of others touched."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from manifests.errors import DataError, Missing, UsageError
from manifests.schema import ALIGN, REVIEW_TASKS, WHITEN
from manifests.table import read_rows
from manifests.validate import validate_file
from pipeline.review import folders, page, pictures
from pipeline.review.batches import Options
from pipeline.review.decisions import Decision
from pipeline.review.export import FORMATS, Exported, Look, export
from pipeline.review.gold import Gold
from pipeline.review.people import Wanted
from pipeline.review.tasks import table_path
from stages.cli import main
from tests.factories import make_rows, picture, write_stage

WANTED = Wanted(2, 3)
TWO = Options(("anna", "bob"), batch_size=8, overlap=0.5)
Rows = list[dict[str, Any]]


def world(data: Path, side: int = 40) -> Rows:
    """Aligned and whitened pictures of some people in two shards."""
    same = {"row_id": lambda i: f"{i:032x}"}
    aligned = make_rows(ALIGN, 16, image=lambda i: picture(i + 100, side), **same)
    whitened = make_rows(WHITEN, 16, image=lambda i: picture(i, side), **same)
    for bucket, part in enumerate((slice(0, 8), slice(8, 16))):
        write_stage(data, ALIGN, aligned[part], bucket=bucket)
        write_stage(data, WHITEN, whitened[part], bucket=bucket)
    return whitened


def run(
    data: Path, out: Path, options: Options = TWO, look: Look | None = None, said: Any = (), gold: Any = ()
) -> Exported:
    return export(data, out, said, gold, options, WANTED, look or Look())


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pages(out: Path) -> Iterator[dict[str, Any]]:
    return (page.read(path) for path in sorted(out.glob("*/index.html")))


@pytest.mark.parametrize("form", FORMATS)
def test_a_batch_holds_its_files_and_two_pictures_of_each_task(tmp_path: Path, form: str) -> None:
    world(tmp_path)
    written = run(tmp_path, tmp_path / "out", look=Look(form))
    for batch in written.batches:
        folder = tmp_path / "out" / batch.name
        assert {path.name for path in folder.iterdir() if path.is_file()} == set(FORMATS[form].names)
        shown = {task.shown_sha256 for task in batch.tasks}
        expected = {f"{pictures.stem(one)}{end}.jpg" for one in shown for end in ("", "o")}
        assert {path.name for path in (folder / FORMATS[form].pictures).iterdir()} == expected
    assert (written.pictures, written.people) == (16, 4)
    assert written.asked == 16 + 2 * 4, "half of four people are seen twice"


def test_the_table_of_tasks_is_valid_and_says_who_is_asked_what(tmp_path: Path) -> None:
    rows = world(tmp_path)
    written = run(tmp_path, tmp_path / "out")
    path = table_path(tmp_path / "out")
    assert validate_file(path) == []
    found = read_rows(path)
    assert len(found) == written.asked
    assert {(row["sample_id"], row["shown_sha256"]) for row in found} == {
        (r["sample_id"], r["image_sha256"]) for r in rows
    }
    assert {row["batch"] for row in found} == {
        folder.name for folder in (tmp_path / "out").iterdir() if folder.is_dir()
    }
    assert {one["dataset"] for one in pages(tmp_path / "out")} == {
        pq.read_metadata(path).metadata[b"hqvox.digest"][:12].decode()
    }


def test_pictures_are_small_jpegs_of_both_kinds(tmp_path: Path) -> None:
    rows = world(tmp_path, side=400)
    run(tmp_path, tmp_path / "out", Options())
    for one in pages(tmp_path / "out"):
        for task in (task for person in one["people"] for task in person["tasks"]):
            number = next(i for i, row in enumerate(rows) if row["sample_id"] == task["sample_id"])
            for name, drawn in (("white", picture(number, side=400)), ("original", picture(number + 100, side=400))):
                image = Image.open(tmp_path / "out" / one["batch"] / task[name])
                assert (image.format, image.size) == ("JPEG", (pictures.SIDE, pictures.SIDE))
                expected = Image.open(io.BytesIO(drawn)).convert("RGB").getpixel((200, 200))
                found = image.convert("RGB").getpixel((160, 160))
                assert max(abs(a - b) for a, b in zip(expected, found, strict=True)) < 6


def test_a_small_picture_is_not_enlarged() -> None:
    assert Image.open(io.BytesIO(pictures.smaller(picture(1, side=48)))).size == (48, 48)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_command_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path, form: str) -> None:
    world(tmp_path)
    look = Look(form, blind=True, anonymous=True, expires=date(2030, 1, 1))
    for name, workers in (("a", 1), ("b", 2)):
        export(tmp_path, tmp_path / name, (), (), TWO, WANTED, look, workers)
    first = bytes_of(tmp_path / "a")
    assert first == bytes_of(tmp_path / "b")
    run(tmp_path, tmp_path / "a", look=look)
    assert bytes_of(tmp_path / "a") == first


def test_an_interrupted_export_is_finished_without_making_pictures_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world(tmp_path)
    run(tmp_path, tmp_path / "whole")
    made: list[bytes] = []
    real = pictures.smaller

    def until_the_tenth(data: bytes) -> bytes:
        if len(made) == 10:
            raise KeyboardInterrupt
        made.append(data)
        return real(data)

    monkeypatch.setattr(pictures, "smaller", until_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tmp_path / "out")
    (next((tmp_path / "out").rglob("*.jpg"))).write_bytes(b"")  # as a machine that lost power leaves it
    monkeypatch.setattr(pictures, "smaller", lambda data: made.append(data) or real(data))
    run(tmp_path, tmp_path / "out")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert len(made) == 2 * 16 + 1


def test_who_is_gone_leaves_no_file_and_what_others_put_there_stays(tmp_path: Path) -> None:
    world(tmp_path)
    out = tmp_path / "out"
    one_each = Options(("anna",), batch_size=4)
    run(tmp_path, out, one_each)
    assert len(list(out.glob("round1-batch*"))) == 4
    mine = (
        "notes.txt",
        "round1-batch001-anna/anna.jsonl",
        "round1-batch004-anna/pictures/mine.jpg",
        "other/index.html",
    )
    for name in mine:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    gone = read_rows(tmp_path / "whiten" / "part-0001.parquet", ["identity_id", "image_sha256", "source"])
    for stage in ("whiten", "align"):
        (tmp_path / stage / "part-0001.parquet").unlink()
    run(tmp_path, out, one_each)
    assert all((out / name).read_text() == "mine" for name in mine)
    text = b"".join(data for data in bytes_of(out).values())
    for row in gone:
        assert row["identity_id"].encode() not in text and row["source"].encode() not in text
        assert not list(out.rglob(f"{pictures.stem(row['image_sha256'])}*"))


def test_another_format_replaces_the_one_before(tmp_path: Path) -> None:
    world(tmp_path)
    for form in FORMATS:
        run(tmp_path, tmp_path / "out", look=Look(form))
        run(tmp_path, tmp_path / form, look=Look(form))
        assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / form)


def test_batches_that_show_somebody_who_is_gone_are_withdrawn_whole(tmp_path: Path) -> None:
    rows = world(tmp_path)
    out = folders.default(tmp_path)
    assert folders.withdraw_gone(tmp_path) == []
    run(tmp_path, out, Options(("anna",), batch_size=4))
    before = bytes_of(out)
    assert folders.withdraw_gone(tmp_path) == []
    assert bytes_of(out) == before
    write_stage(tmp_path, WHITEN, rows[9:], bucket=1)
    withdrawn = folders.withdraw_gone(tmp_path)
    assert len(withdrawn) == 1
    left = {row["batch"] for row in read_rows(table_path(out))}
    assert left == {path.name for path in out.iterdir() if path.is_dir()}
    assert len(left) == 3
    assert not left & set(withdrawn)
    assert rows[8]["identity_id"].encode() not in b"".join(bytes_of(out).values())


def test_a_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    world(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "index.html").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "round9-batch001-anna").symlink_to(elsewhere)
    run(tmp_path, tmp_path / "out")
    assert (elsewhere / "index.html").read_text() == "mine"


def test_settled_pictures_are_not_shown_again_and_conflicts_are_the_next_round(tmp_path: Path) -> None:
    rows = world(tmp_path)
    said = [Decision("t", row["sample_id"], row["image_sha256"], "reject", "anna", 1) for row in rows[:6]]
    said.append(replace(said[0], reviewer="bob", decision="keep"))
    written = run(tmp_path, tmp_path / "out", said=said)
    assert [batch.round for batch in written.batches if batch.round == 2] == [2]
    shown = {
        task["sample_id"] for one in pages(tmp_path / "out") for person in one["people"] for task in person["tasks"]
    }
    assert shown == {row["sample_id"] for row in (rows[0], *rows[6:])}


def test_when_all_is_settled_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    rows = world(tmp_path)
    run(tmp_path, tmp_path / "out")
    said = [Decision("t", row["sample_id"], row["image_sha256"], "reject", "anna", 1) for row in rows]
    written = run(tmp_path, tmp_path / "out", said=said)
    assert (written.batches, written.pictures) == ((), 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["review_tasks.parquet"]
    assert read_rows(table_path(tmp_path / "out")) == []
    assert REVIEW_TASKS.key in pq.read_schema(table_path(tmp_path / "out")).names


def test_gold_is_in_the_table_and_not_in_the_page(tmp_path: Path) -> None:
    rows = world(tmp_path)
    answers = [Gold(row["sample_id"], row["image_sha256"], "reject") for row in (rows[0], rows[7])]
    written = run(tmp_path, tmp_path / "out", replace(TWO, gold=2), gold=answers)
    assert written.gold > 0
    found = read_rows(table_path(tmp_path / "out"))
    assert {row["sample_id"] for row in found if row["gold"]} <= {rows[0]["sample_id"], rows[7]["sample_id"]}
    assert '"gold"' not in json.dumps(list(pages(tmp_path / "out")))


def test_gold_without_an_answer_to_use_is_a_usage_error(tmp_path: Path) -> None:
    world(tmp_path)
    with pytest.raises(UsageError, match=r"gold\.jsonl"):
        run(tmp_path, tmp_path / "out", replace(TWO, gold=1), gold=[Gold("gone", "a" * 64, "keep")])


def test_tables_that_do_not_fit_together_are_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    world(tmp_path)
    lacking = make_rows(ALIGN, 3, row_id=lambda i: f"{i:032x}")
    write_stage(tmp_path, ALIGN, lacking, bucket=0)
    with pytest.raises(DataError, match=r"lacks 5 pictures .*`pipeline run align`"):
        run(tmp_path, tmp_path / "out")
    (tmp_path / "align" / "part-0000.parquet").unlink()
    with pytest.raises(Missing, match="part-0000"):
        run(tmp_path, tmp_path / "out")


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    world(tmp_path)
    write_stage(tmp_path, WHITEN, make_rows(WHITEN, 8, image=b"\x89PNG, cut off", row_id=lambda i: f"{i:032x}"))
    with pytest.raises(DataError, match=r"whiten/part-0000.parquet: the picture of row 0+ cannot be decoded"):
        run(tmp_path, tmp_path / "out")


def settings(folder: Path) -> list[str]:
    """A settings file, as arguments of the command."""
    paths = {name: str(folder / name) for name in ("data", "reports", "metrics", "review")}
    (folder / "params.yaml").write_text(json.dumps({"paths": paths, "run": {"workers": 1}}))
    return ["--params", str(folder / "params.yaml")]


def test_the_command_says_what_it_wrote_and_where(tmp_path: Path) -> None:
    world(tmp_path / "data")
    command = ["review-export", *settings(tmp_path), "--reviewers", "anna, bob", "--overlap", "0.5", "--anonymous"]
    done = CliRunner().invoke(main, [*command, "--expires", "30", "--batch-size", "8"])
    assert done.exit_code == 0, done.output
    assert "16 pictures in" in done.output and "8 seen by two reviewers" in done.output
    found = list(pages(tmp_path / "data" / "review_batches"))
    assert {one["reviewer"] for one in found} == {"anna", "bob"}
    assert all(one["expires"] and one["expires"] > date.today().isoformat() for one in found)
    assert "Person_" not in json.dumps(found)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--reviewers", "a,,b"], 2, "reviewer ''"),
        (["--reviewers", "a,A"], 2, "different names"),
        (["--gold", "3"], 2, "gold.jsonl"),
        (["--format", "pdf"], 2, "pdf"),
        (["--overlap", "1.5"], 2, "1.5"),
        (["--overlap", "nan"], 2, "overlap is nan"),
        (["--expires", "9999999"], 2, "9999999"),
        (["--batch-size", "0"], 2, "0"),
    ],
)
def test_wrong_arguments_are_usage_errors(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    world(tmp_path / "data")
    done = CliRunner().invoke(main, ["review-export", *settings(tmp_path), *arguments])
    assert done.exit_code == code
    assert words in done.output


def test_a_table_of_another_kind_in_its_place_is_an_error(tmp_path: Path) -> None:
    world(tmp_path)
    out = folders.default(tmp_path)
    out.mkdir()
    table_path(out).write_bytes(b"no table")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        folders.withdraw_gone(tmp_path)
