"""`dvc repro` on two Dask workers, one of them killed half way, against the serial run: the same bytes? One JSON line.

    python benchmarks/killed_worker.py [--people 20] [--photos 2] [--clips 1] [--buckets 8] [--folder DIR]

Scheduler and workers are started as by hand; only DASK_SCHEDULER_ADDRESS tells `dvc repro` of them. One worker is
killed (signal 9, its nanny with it) when half of the landmark shards are scored, and does not come back. Exit code 1
where any byte of data, metrics or reports differs.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
COPIED = ("dvc.yaml", ".dvcignore", "stages", "manifests", "pipeline", "removals", "review", ".dvc/config")
OURS = os.environ | {"PYTHONPATH": str(ROOT)}  # whatever version is installed
Workers = list[subprocess.Popen[bytes]]


def project(folder: Path, world: Path, buckets: int) -> None:
    """A checkout of its own, with the repository's settings for a drawn world."""
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    shutil.copytree(world, folder / "demo", copy_function=os.link)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["run"]["buckets"] = buckets
    # On a busy machine an answer may take its time: a timeout would be a row that only one of the two runs has.
    patient = {"timeout_s": 3600.0, "deadline_s": 3600.0, "min_bytes_per_s": 1.0}
    params["crawl"] |= {"source": "urls", "serve_folder": "demo/photos"} | patient
    params["review"]["min_per_person"] = 1
    params["manifest"]["require_both"] = False
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def wait_for(what: Callable[[], object], seconds: float) -> None:
    """Return when it is true. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.05)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Workers]]:
    """A scheduler and two workers: its address, it, and the workers."""

    def start(*command: str) -> subprocess.Popen[bytes]:
        log = (folder / f"{command[0]}.log").open("ab")
        return subprocess.Popen([sys.executable, "-m", "dask", *command], cwd=folder, env=OURS, stdout=log, stderr=log)

    file = folder / "scheduler.json"
    address = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    scheduler = start("scheduler", *address, "--scheduler-file", str(file))
    workers: Workers = []
    try:
        wait_for(file.exists, 60)
        workers += [
            start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard") for _ in range(2)
        ]
        yield json.loads(file.read_text())["address"], scheduler, workers
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait(timeout=60)


def kill_with_children(pid: int) -> None:
    """Kill a worker's nanny and the worker, so that nobody starts it again."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file that a run makes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("data", "metrics", "reports")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file() and path.name != ".gitignore"  # of DVC
    }


def run_serially(folder: Path) -> float:
    """All stages in one process; seconds."""
    began = time.perf_counter()
    with (folder / "run.log").open("wb") as log:
        command = [sys.executable, "-m", "stages.cli", "run", "--executor", "serial"]
        subprocess.run(command, cwd=folder, env=OURS, check=True, stdout=log, stderr=log)
    return time.perf_counter() - began


def repro_on_cluster(folder: Path, buckets: int) -> tuple[float, int]:
    """`dvc repro` with a worker killed half way; seconds, and how many tasks that cost."""
    with cluster(folder.parent) as (address, _, workers), (folder / "run.log").open("wb") as log:
        began = time.perf_counter()
        environment = OURS | {"DASK_SCHEDULER_ADDRESS": address}
        repro = [sys.executable, "-m", "dvc", "repro"]
        running = subprocess.Popen(repro, cwd=folder, env=environment, stdout=log, stderr=log)
        scored = folder / "data/scores/landmarks"
        wait_for(lambda: running.poll() is not None or len(list(scored.glob("part-*"))) >= buckets // 2, 24 * 3600)
        assert running.poll() is None, f"it ended before a worker could be killed: see {folder / 'run.log'}"
        kill_with_children(workers[0].pid)
        assert running.wait() == 0, f"see {folder / 'run.log'}"
        taken = time.perf_counter() - began
    events = [json.loads(line) for line in (folder / ".hqvox/events.jsonl").read_text().splitlines()]
    assert {event["executor"] for event in events if event["event"] == "stage_started"} == {"dask"}
    return taken, sum(event["event"] == "worker_died" for event in events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--photos", type=int, default=2, help="of each")
    parser.add_argument("--clips", type=int, default=1, help="of each")
    parser.add_argument("--buckets", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="keep everything here; a world that is here is not drawn again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        world = folder / "world"
        drawn = {name: str(getattr(options, name)) for name in ("people", "photos", "clips")}
        draw = [sys.executable, "-m", "stages.cli", "demo", "--out", str(world)]
        for name, value in drawn.items():
            draw += [f"--{name}", value]
        subprocess.run(draw, env=OURS, check=True, stderr=subprocess.DEVNULL)
        for name in ("serial", "dask"):
            project(folder / name, world, options.buckets)
        serial_s = run_serially(folder / "serial")
        dask_s, deaths = repro_on_cluster(folder / "dask", options.buckets)
        found = {name: digests(folder / name) for name in ("serial", "dask")}
    equal = found["serial"] == found["dask"]
    seconds = {"serial_s": round(serial_s), "dask_s": round(dask_s)}
    numbers = {name: int(value) for name, value in drawn.items()}
    counts = {"files": len(found["serial"]), "workers_killed": 1, "tasks_lost": deaths}
    print(json.dumps({"benchmark": "killed_worker", "equal": equal, **numbers, **counts, **seconds}))
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
