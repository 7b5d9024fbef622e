"""A disk that is full, read-only, or not what the path says: a clear error, the old files whole, no debris."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.faults.pictures import face, saved
from tests.pipeline.toy import digests, params, run_both

ROOT = Path(__file__).resolve().parents[2]


class Failing:
    """A function that raises an OSError at its n-th call, after having done half of its work."""

    def __init__(self, real: Callable[..., Any], at: int, code: int, half_done: bool) -> None:
        self.real, self.at, self.code, self.half_done = real, at, code, half_done
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls != self.at:
            return self.real(*args, **kwargs)
        if self.half_done:
            Path(args[1]).write_bytes(b"PAR1 and then nothing more")
        raise OSError(self.code, os.strerror(self.code))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("clean")
    run_both(params(folder))
    return digests(folder / "data")


@pytest.mark.parametrize("at", [1, 2, 7, 11, 15])  # drops, kept rows of the first stage; scores, kept of the second
@pytest.mark.parametrize(
    ("owner", "function", "code", "half_done"),
    [(pq, "write_table", errno.ENOSPC, True), (os, "replace", errno.EROFS, False), (os, "fsync", errno.EIO, False)],
    ids=["full", "read-only", "failing"],
)
def test_whichever_write_fails_the_same_command_ends_with_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean: dict[str, str],
    owner: Any,
    function: str,
    code: int,
    half_done: bool,
    at: int,
) -> None:
    broken = Failing(getattr(owner, function), at, code, half_done)
    with monkeypatch.context() as patched:
        patched.setattr(owner, function, broken)
        with pytest.raises(OSError, match=os.strerror(code)):
            run_both(params(tmp_path))
    assert broken.calls == at
    assert not list(tmp_path.rglob("*.tmp")), "no temporary file is left behind"
    run_both(params(tmp_path))
    assert digests(tmp_path / "data") == clean


def pipeline(
    folder: Path, *arguments: str, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, preexec_fn=before
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of two people with a photograph each, to be crawled."""
    for person in ("ann", "bob"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        (tmp_path / "photos" / person / "1.png").write_bytes(saved(face(), "PNG"))
    settings = {"run": {"buckets": 1}, "crawl": {"source": "folder", "folder": "photos"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def only_small_files() -> None:
    """What the kernel then says of a larger one reaches even C++ code, as that of a full disk would."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_disk_that_takes_no_more_is_told_in_one_line(project: Path) -> None:
    done = pipeline(project, "run", "crawl", before=only_small_files)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ") and "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (project / "data").rglob("*") if path.is_file()] in ([], ["part-0000.parquet"])
    assert pipeline(project, "run", "crawl").returncode == 0
    assert pipeline(project, "validate", "data/crawl/part-0000.parquet").returncode == 0


@pytest.mark.parametrize("occupied", ["data", ".hqvox", "metrics", "data/crawl"])
def test_a_file_where_a_folder_should_be_is_told_in_one_line(project: Path, occupied: str) -> None:
    (project / occupied).parent.mkdir(exist_ok=True)
    (project / occupied).write_text("mine")
    done = pipeline(project, "run", "crawl")
    assert done.returncode == 3
    assert "error: " in done.stderr and "Traceback" not in done.stderr
    assert (project / occupied).read_text() == "mine"
