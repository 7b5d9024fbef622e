"""Shards in a bucket: the runner over an S3-compatible server on loopback gives the bytes of a folder."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem  # type: ignore[import-untyped]

from manifests import storage, table
from manifests.errors import Missing, UsageError
from pipeline import engine, events
from pipeline.plan import plan
from pipeline.review import folders
from pipeline.run import run_stage
from pipeline.settings import Params, load
from pipeline.stage import Paths
from tests.pipeline.toy import NUMBER_STAGE, SQUARE_STAGE, digests, params, run_both, values
from tests.test_end_to_end import run, settle


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of moto's server, which speaks S3."""
    one = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    yield f"http://{host}:{port}"
    one.stop()


@pytest.fixture(autouse=True)
def reachable(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """How people say where the bucket is and who asks; locks and lists go to the working folder."""
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    S3FileSystem.clear_instance_cache()  # one of another test knows another server


def in_bucket(folder: Path, name: str, buckets: int = 3) -> Params:
    """The toy's settings with shards in a part of the bucket of their own."""
    here = params(folder, buckets)
    return replace(here, paths=replace(here.paths, data=storage.place(f"s3://faces/{name}/data")))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bucket_holds_the_bytes_of_a_folder(tmp_path: Path, workers: int) -> None:
    engine.preload(["tests.pipeline.toy"])
    there = in_bucket(tmp_path, f"bytes{workers}")
    run_both(there, workers)
    run_both(params(tmp_path))
    assert digests(there.paths.data) == digests(tmp_path / "data")
    assert not list(tmp_path.glob("s3:*"))


def test_a_second_run_skips_what_is_finished_and_makes_what_is_damaged_again(tmp_path: Path) -> None:
    there = in_bucket(tmp_path, "again")
    run_both(there)
    before = digests(there.paths.data)
    shard = there.paths.data / "squares" / table.shard_name(1)
    shard.write_bytes(shard.read_bytes()[:-100])
    assert [(one.stage, one.to_do, one.why) for one in plan([NUMBER_STAGE, SQUARE_STAGE], there)] == [
        ("numbers", 0, {}),
        ("squares", 1, {"damaged": 1}),
    ]
    summary = run_stage(SQUARE_STAGE, there)
    assert summary is not None and summary.skipped_shards == 2
    assert digests(there.paths.data) == before


def test_shards_of_another_bucket_count_are_pruned(tmp_path: Path) -> None:
    run_both(in_bucket(tmp_path, "pruned"))
    there = in_bucket(tmp_path, "pruned", buckets=2)
    run_both(there)
    assert [path.name for path in table.shards(there.paths.data / "squares", 2)] == [
        "part-0000.parquet",
        "part-0001.parquet",
    ]
    run_both(params(tmp_path / "clean"))
    assert values(there.paths.data / "squares") == values(tmp_path / "clean/data/squares")


def test_what_is_no_data_of_two_buckets_is_kept_apart() -> None:
    folders = {events.folder_of(storage.place(f"s3://{name}/data")) for name in ("a", "a/b", "c/b")}
    assert len(folders) == 3
    assert all(folder.parts[0] == ".hqvox" for folder in folders)


def test_review_batches_stay_here() -> None:
    assert folders.default(storage.place("s3://faces/data")) == Path("review_batches")


def test_only_data_may_be_behind_a_url(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("paths: {data: 's3://faces/data', metrics: 's3://faces/metrics'}")
    with pytest.raises(UsageError, match="metrics must be a folder of this machine"):
        load(file, ())
    file.write_text("paths: {data: 's3://faces/data'}")
    assert load(file, ()).paths == replace(Paths(), data=storage.place("s3://faces/data"))


def test_nobody_answering_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(Missing, match="s3://nobody/data cannot be reached"):
        storage.place("s3://nobody/data")


@pytest.mark.slow
def test_every_stage_runs_with_its_shards_in_a_bucket(tmp_path: Path) -> None:
    """From crawl to statistics: the same objects as files, byte for byte."""
    changes = {"review": {"min_per_person": 1}, "manifest": {"require_both": False}}
    for name in ("here", "there"):
        settle(tmp_path / name, people=2, **changes)
    chosen = yaml.safe_load((tmp_path / "there/params.yaml").read_text())
    chosen["paths"] = {"data": "s3://faces/world/data"}
    (tmp_path / "there/params.yaml").write_text(yaml.safe_dump(chosen))
    for name in ("here", "there"):
        done = run(tmp_path / name, "run", "--workers", "2")
        assert done.returncode == 0, done.stderr
    assert digests(storage.place("s3://faces/world/data")) == digests(tmp_path / "here/data")
    assert not (tmp_path / "there/data").exists()
