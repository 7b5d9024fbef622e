"""Files that go away between being listed and being read: a drop row or a clear error, and nothing lost for good."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from manifests import table
from manifests.errors import Missing
from manifests.validate import validate_file
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Context, Drop, Paths, Row, ShardStage
from stages import crawl, voices
from tests.faults.pictures import face, saved
from tests.pipeline.toy import NUMBER_STAGE, SQUARE_STAGE, Scoring, digests, params, run_both, score


def test_an_upstream_shard_that_goes_away_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """What was finished is kept, the error says which file, and nothing is scored twice afterwards."""
    log = tmp_path / "log"
    chosen = params(tmp_path, log=str(log))
    run_stage(NUMBER_STAGE, chosen, 1)
    last = tmp_path / "data/numbers/part-0002.parquet"

    def score_and_lose(row: Row, scoring: Scoring) -> Row:
        if last.exists():
            last.rename(tmp_path / "elsewhere")
        return score(row, scoring)

    with pytest.raises(Missing, match=r"no file .*numbers/part-0002\.parquet: run the stage that writes it"):
        run_stage(replace(SQUARE_STAGE, score=score_and_lose), chosen, 1)
    assert len(table.shards(tmp_path / "data/squares")) == 2
    (tmp_path / "elsewhere").rename(last)
    run_both(chosen)
    run_both(params(tmp_path / "clean", log=str(log)))
    scored = log.read_text().splitlines()
    assert len(scored) == 2 * len(set(scored)) == 2 * 19
    assert without_log(tmp_path) == without_log(tmp_path / "clean")


def without_log(folder: Path) -> list[Row]:
    return [row for path in table.shards(folder / "data/squares") for row in table.read_rows(path)]


def settings(folder: Path, **sections: Any) -> Params:
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    return Params(paths, Run(buckets=2), sections)


def photographs(folder: Path) -> Path:
    for person in ("ann", "bob"):
        (folder / person).mkdir(parents=True)
        for number in (1, 2):
            shifted = np.roll(face(), 8 * number + len(person), axis=0)
            (folder / person / f"{number}.png").write_bytes(saved(shifted, "PNG"))
    return folder


def recordings(folder: Path) -> Path:
    time_s = np.arange(32_000) / 16_000
    for person in ("ann", "bob"):
        (folder / person).mkdir(parents=True)
        for number in (1, 2):
            loudness = 0.4 * (np.sin(2 * np.pi * 3 * time_s) > 0)
            sound = loudness * np.sign(np.sin(2 * np.pi * (100 + 20 * number + ord(person[0])) * time_s))
            soundfile.write(folder / person / f"{number}.wav", sound, 16_000)
    return folder


def a_stage(kind: str, folder: Path) -> tuple[ShardStage, Params, Path]:
    """A stage that reads files, its settings, and a file that it will read."""
    if kind == "crawl":
        photos = photographs(folder / "photos")
        return crawl.STAGE, settings(folder, crawl={"source": "folder", "folder": str(photos)}), photos / "bob/2.png"
    sounds = recordings(folder / "sounds")
    return voices.STAGE, settings(folder, voices={"roots": [str(sounds)]}), sounds / "bob/2.wav"


@pytest.mark.parametrize("moment", ["after listing", "after the fingerprint"])
@pytest.mark.parametrize("kind", ["crawl", "voices"])
def test_a_source_file_that_goes_away_is_a_drop_and_comes_back_with_the_file(
    tmp_path: Path, kind: str, moment: str
) -> None:
    stage, chosen, victim = a_stage(kind, tmp_path)
    list_rows, process = stage.list_rows, stage.process
    assert list_rows is not None

    def lose() -> None:
        if victim.exists():
            shutil.move(victim, tmp_path / "elsewhere")

    def list_and_lose(of: Any, context: Context) -> list[Row]:
        rows = list_rows(of, context)
        lose()
        return rows

    def lose_and_process(rows: Sequence[Row], of: Any, context: Context) -> list[Row | Drop]:
        lose()
        return process(rows, of, context)

    hurt = (
        replace(stage, list_rows=list_and_lose)
        if moment == "after listing"
        else replace(stage, process=lose_and_process)
    )
    summary = run_stage(hurt, chosen, 1)
    assert summary is not None and (summary.kept, summary.reasons) == (3, {"unreadable_file": 1})
    shutil.move(tmp_path / "elsewhere", victim)
    again = run_stage(stage, chosen, 1)
    assert again is not None and (again.kept, again.reasons) == (4, {})
    taken_in = digests(tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    run_stage(stage, chosen, 1)
    assert digests(tmp_path / "data") == taken_in


@pytest.mark.parametrize("kind", ["crawl", "voices"])
def test_a_folder_that_goes_away_is_an_error_that_names_it(tmp_path: Path, kind: str) -> None:
    stage, chosen, victim = a_stage(kind, tmp_path)
    shutil.rmtree(victim.parents[1])
    with pytest.raises(Missing, match=f"no folder .*{victim.parents[1].name}"):
        run_stage(stage, chosen, 1)


def test_a_folder_listed_three_times_gives_every_row_a_name_of_its_own(tmp_path: Path) -> None:
    sounds = recordings(tmp_path / "sounds")
    (sounds / "bob/2.wav").rename(sounds / "bob" / os.fsdecode(b"\xff.wav"))
    summary = run_stage(voices.STAGE, settings(tmp_path, voices={"roots": [str(sounds)] * 3}), 1)
    assert summary is not None and (summary.kept, summary.reasons) == (4, {"duplicate_address": 8})
    for path in (tmp_path / "data").rglob("*.parquet"):
        assert validate_file(path) == [], path
