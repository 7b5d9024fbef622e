"""The final table: faces and speech of the same people, each person in one split, readable everywhere."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from manifests import removals
from manifests.errors import UsageError
from manifests.schema import MANIFEST, REVIEW, VOICES, WHITEN
from manifests.table import provenance, read_rows
from manifests.validate import validate_file
from pipeline.names import row_id
from pipeline.stage import Context, Paths
from stages.manifest import FILE, Settings, names_of, run
from tests.factories import make_rows, write_stage


def upstream(data: Path, faces: int = 8, clips: int = 12) -> None:
    """Reviewed faces of two people and recordings of three, in two shards each."""
    whitened, plain = make_rows(WHITEN, faces), make_rows(REVIEW, faces)
    speech = make_rows(VOICES, clips, row_id=lambda i: row_id("voice", str(i)))
    for bucket, (first, last) in enumerate(((0, 4), (4, 100))):
        write_stage(data, WHITEN, whitened[first:last], bucket=bucket)
        shared = [{name: row[name] for name in ("row_id", "sample_id")} for row in whitened]
        reviewed = [row | same | {"row": i - first} for i, (row, same) in enumerate(zip(plain, shared, strict=True))]
        reviewed = [row | {"shard": f"whiten/part-{bucket:04d}.parquet"} for row in reviewed]
        write_stage(data, REVIEW, reviewed[first:last], bucket=bucket)
        write_stage(data, VOICES, speech[first:last], bucket=bucket)


def make(folder: Path, **settings: Any) -> dict[str, Any]:
    salted = folder / "removals.jsonl"
    if not salted.exists():
        removals.add(salted, identity_id="someone-else")
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    return run(Settings(removals=salted, **settings), Context(paths, 2))


def test_the_manifest_is_valid_and_has_exactly_the_contracts_columns(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    metrics = make(tmp_path)
    path = tmp_path / "data" / FILE
    assert pq.read_schema(path).names == list(MANIFEST.names)
    assert validate_file(path) == []
    assert (metrics["input"], metrics["kept"], metrics["reasons"]) == (20, 16, {"no_face": 4})


def test_every_row_comes_back_as_kept_or_dropped(tmp_path: Path) -> None:
    upstream(tmp_path / "data", faces=12, clips=8)
    metrics = make(tmp_path)
    kept = read_rows(tmp_path / "data" / FILE)
    drops = read_rows(tmp_path / "data" / "drops" / "manifest" / "part-0000.parquet")
    assert metrics["reasons"] == {"no_speech": 4}
    assert len(kept) + len(drops) == 20
    assert {row["stage"] for row in drops} == {"manifest"}
    assert {row["identity_id"] for row in drops} == {"id10003"}


def test_people_with_one_half_stay_when_both_are_not_required(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    assert make(tmp_path, require_both=False)["kept"] == 20


def test_removed_people_go_and_take_their_other_half_with_them(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    removals.add(tmp_path / "removals.jsonl", identity_id="id10001")
    assert make(tmp_path)["reasons"] == {"no_face": 4, "removed": 8}
    assert {row["identity_id"] for row in read_rows(tmp_path / "data" / FILE)} == {"id10002"}


def test_the_order_of_shards_and_a_second_run_do_not_change_a_byte(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    path = tmp_path / "data" / FILE
    digests = []
    for _ in range(2):
        make(tmp_path)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    rows = read_rows(path)
    assert rows == sorted(rows, key=lambda r: (r["identity_id"], r["kind"], r["row_id"]))


def test_the_footer_says_what_it_was_made_from(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    make(tmp_path, split="hash", val_fraction=0.2)
    recorded = provenance(tmp_path / "data" / FILE)
    assert recorded["settings"]["val_fraction"] == 0.2
    assert set(recorded["weights"]) == {"some-net"}
    assert set(recorded["inputs"]) == {"review", "voices"}
    assert recorded["stages"]["review"] == {"min_per_person": 3, "max_per_person": 7}
    assert len(recorded["code"]) == 64


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_only_one_half_knows_is_the_persons_name(order: int) -> None:
    halves = [{"identity_id": "id1", "name": "Kim"}, {"identity_id": "id1", "name": None}]
    assert names_of(halves[::order]) == {"id1": "Kim"}


def test_shares_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="together at most 1"):
        Settings(val_fraction=0.6, test_fraction=0.6)


def test_four_libraries_read_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas, polars, DuckDB and datasets agree on rows, columns and a sum."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import duckdb
    import pandas as pd
    import polars as pl

    upstream(tmp_path / "data")
    make(tmp_path)
    path = str(tmp_path / "data" / FILE)
    seconds = sum(row["duration_s"] or 0 for row in read_rows(Path(path)))
    frame = pd.read_parquet(path)
    assert (list(frame.columns), len(frame), frame["duration_s"].sum()) == (list(MANIFEST.names), 16, seconds)
    table = pl.read_parquet(path)
    assert (table.columns, table.height, table["duration_s"].sum()) == (list(MANIFEST.names), 16, seconds)
    found = duckdb.sql(f"select count(*), sum(duration_s) from '{path}'").fetchall()
    assert found == [(16, seconds)]
    loaded = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert (loaded.column_names, loaded.num_rows) == (list(MANIFEST.names), 16)
    assert sum(value or 0 for value in loaded["duration_s"]) == seconds
