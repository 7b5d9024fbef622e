"""Tables that are damaged, foreign or of another version, before every real stage: one clear error, no traceback."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from manifests import schema, table
from manifests.errors import HqvoxError
from manifests.schema import Table
from manifests.validate import validate_file
from stages.cli import main
from tests.factories import make_rows, write_stage

READS = {
    "landmarks": schema.CRAWL,
    "identity": schema.LANDMARKS,
    "emotion": schema.IDENTITY,
    "align": schema.EMOTION,
    "whiten": schema.ALIGN,
    "review": schema.WHITEN,
    "manifest": schema.REVIEW,
}
ROWS = 8


def rewrite(path: Path, of: Table) -> None:
    table.write_table(path, of, make_rows(of, ROWS), {"stage": of.name})


def one_byte_short(path: Path, _of: Table) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def one_byte_short_in_front(path: Path, _of: Table) -> None:
    path.write_bytes(path.read_bytes()[1:])


def column_missing(path: Path, of: Table) -> None:
    rewrite(path, replace(of, columns=of.columns[:-1]))


def column_of_another_type(path: Path, of: Table) -> None:
    by_name = {column.name: column for column in of.columns}
    columns = tuple(replace(by_name["row_id"], name=c.name) if c.name == "source_width" else c for c in of.columns)
    table.write_table(path, replace(of, columns=columns), make_rows(of, ROWS, source_width="640"), {"stage": of.name})


def another_version(path: Path, of: Table) -> None:
    rewrite(path, replace(of, version="0.9.0"))


def another_table(path: Path, of: Table) -> None:
    rewrite(path, replace(of, name="something"))


def not_ours(path: Path, _of: Table) -> None:
    path.write_bytes(b"<!DOCTYPE html><html>not found</html>")


def nothing(path: Path, _of: Table) -> None:
    path.write_bytes(b"")


DAMAGES = (
    one_byte_short, one_byte_short_in_front, column_missing, column_of_another_type, another_version, another_table,
    not_ours, nothing,
)  # fmt: skip


def run(folder: Path, *arguments: str, **sections: object) -> Result:
    """A verb of the command, in this process, with every network switched off that can be."""
    paths = {name: str(folder / name) for name in ("data", "reports", "metrics", "review")}
    networks = {name: {"enabled": False} for name in ("identity", "emotion", "whiten")}
    off = networks | {"run": {"buckets": 1}, "paths": paths}
    settings = folder / "params.yaml"
    settings.write_text(yaml.safe_dump(off | sections))
    return CliRunner().invoke(main, [*arguments, "--params", str(settings)])


def upstream(data: Path) -> None:
    """One sound shard of every table that a stage of pictures reads."""
    for of in {**READS, "voices": schema.VOICES}.values():
        write_stage(data, of, make_rows(of, ROWS))
    table.write_table(
        data / "scores/landmarks/part-0000.parquet", schema.FACE_SCORES, make_rows(schema.FACE_SCORES, ROWS), {}
    )


def shard(data: Path, of: Table) -> Path:
    return data / of.name / table.shard_name(0)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", READS)
def test_a_damaged_table_stops_its_reader_with_one_line_that_names_it(
    tmp_path: Path, stage: str, damage: Callable[[Path, Table], None]
) -> None:
    upstream(tmp_path / "data")
    path = shard(tmp_path / "data", READS[stage])
    damage(path, READS[stage])
    done = run(tmp_path, "run", stage)
    assert done.exit_code == 3, done.output
    assert f"error: {path}" in done.output
    assert "run its stage again" in done.output or "was not written by `pipeline`" in done.output
    assert not (tmp_path / "metrics").exists()


@pytest.mark.parametrize("damage", [one_byte_short, column_missing, another_version, not_ours, nothing])
def test_damaged_scores_of_another_stage_are_told_likewise(
    tmp_path: Path, damage: Callable[[Path, Table], None]
) -> None:
    upstream(tmp_path / "data")
    damage(shard(tmp_path / "data", schema.FACE_SCORES), schema.FACE_SCORES)
    done = run(tmp_path, "run", "emotion")
    assert done.exit_code == 3 and "scores/landmarks/part-0000.parquet" in done.output


def test_a_manifest_without_a_column_or_a_byte_is_told_by_validate(tmp_path: Path) -> None:
    path = tmp_path / "hq_voxceleb.parquet"
    for damage, words in ((column_missing, "sha256: found no such column"), (one_byte_short, "not a whole Parquet")):
        rewrite(path, schema.MANIFEST)
        damage(path, schema.MANIFEST)
        done = CliRunner().invoke(main, ["validate", str(path)])
        assert done.exit_code == 3 and words in done.output


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_to_a_file_is_more_than_an_error_that_names_it(tmp_path: Path, seed: int) -> None:
    """Bytes cut, flipped and overwritten, above all in the footer, which describes all the rest."""
    rng = random.Random(seed)
    path = shard(tmp_path, schema.LANDMARKS)
    rewrite(path, schema.LANDMARKS)
    whole, ids = path.read_bytes(), [row["row_id"] for row in make_rows(schema.LANDMARKS, ROWS)]
    readers: tuple[Callable[[], object], ...] = (
        lambda: table.expect(path, schema.LANDMARKS),
        lambda: table.read_rows(path),
        lambda: table.provenance(path),
        lambda: list(table.read_payload(path, ["yaw_deg"], ids)),
    )
    refused = 0
    for _ in range(60):
        broken = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.randrange(1, 4) if broken else 0):
            broken[-rng.randrange(1, min(len(broken), 8000) + 1)] = rng.randrange(256)
        path.write_bytes(broken)
        for read in readers:
            try:
                read()
            except HqvoxError as error:
                refused += 1
                assert str(path) in str(error)
        assert all(isinstance(str(fault), str) for fault in validate_file(path))
    assert refused > 60
