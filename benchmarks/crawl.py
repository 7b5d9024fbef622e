"""How fast, how polite and how patient the crawl is, on loopback. One JSON line.

    python benchmarks/crawl.py [--rows 3000] [--only throughput polite faults kill] [--img2dataset VENV]

`throughput`: original bytes to Parquet, `--processes` processes, photographs of 184 kB on average, medians of three:
rows per second with the start of Python, and without it (a run over one row is subtracted); processor milliseconds per
row of one process (server excluded). With `--img2dataset`, a virtual environment that holds it, it
crawls the same list from the same server in turns with ours (Parquet, no resizing, 2 x 16 threads).
`polite`: a host that allows 50 requests a second (429 and Retry-After: 1 beyond), 20 ms away, 500 addresses, every
tenth answer opted out: rows kept, share of requests that were refused, requests for robots.txt, seconds.
`faults`: every kind of fault of `benchmarks/crawl_server.py` in turn: rows with another end than theirs, and the peak
memory over a quarter of the rows and over all.
`kill`: kill -9 at random moments, then to the end: whether the bytes are those of an undisturbed run, and how many
requests were made twice.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.crawl_server import FAULTS, fault_of
from manifests import table

RUNS = 3
PICTURES = 200  # different ones; addresses repeat them
SIZES = ((480, 640), (600, 800), (768, 1024), (900, 1200), (1200, 1600))  # height, width
SHARES = (0.2, 0.3, 0.25, 0.15, 0.1)
PEOPLE = 97  # of a list
ROOT = Path(__file__).resolve().parents[1]


def pictures(folder: Path) -> None:
    """Photo-like JPEGs: smooth colour, some texture, light noise."""
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        h, w = SIZES[rng.choice(len(SIZES), p=SHARES)]
        smooth = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)).resize((w, h), Image.BICUBIC)
        texture = Image.fromarray(rng.integers(90, 166, (h // 6, w // 6, 3), dtype=np.uint8)).resize((w, h))
        mixed = np.asarray(smooth, np.float32) + np.asarray(texture, np.float32) - 128 + rng.normal(0, 4, (h, w, 3))
        Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=84)


@contextmanager
def server(folder: Path, *options: str) -> Iterator[int]:
    command = [sys.executable, str(ROOT / "benchmarks" / "crawl_server.py"), str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def stats(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def addresses(port: int, rows: int, hosts: tuple[str, ...]) -> list[str]:
    return [f"http://{hosts[i % len(hosts)]}:{port}/{i}.jpg" for i in range(rows)]


def project(folder: Path, port: int, rows: int, workers: int, **crawl: Any) -> Path:
    """A project folder with a list of addresses under two host names, so that two processes share the work."""
    hosts = ("127.0.0.1", "localhost") if workers > 1 else ("127.0.0.1",)
    lines = [f"person{i % PEOPLE:03d},{url}" for i, url in enumerate(addresses(port, rows, hosts))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "list.csv").write_text("identity_id,url\n" + "\n".join(lines) + "\n")
    section = {
        "source": "urls", "urls": "../list.csv", "contact": "me@example.org", "allow_private": True,
        "requests_per_s": 1e6, "per_host": 64, "processes": workers, **crawl,
    }  # fmt: skip
    (folder / "params.yaml").write_text(yaml.safe_dump({"run": {"buckets": 8, "workers": workers}, "crawl": section}))
    return folder


def command(folder: Path) -> "subprocess.Popen[str]":
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "stages.cli", "run", "crawl"]
    return subprocess.Popen(run, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)


def timed(process: "subprocess.Popen[str]") -> dict[str, float]:
    """Seconds of wall clock and of the processor of one run, its children included, and its peak memory."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _, said = process.communicate()
    wall_s = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(said)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": after.ru_maxrss / 1024}


def crawl(folder: Path) -> dict[str, float]:
    return timed(command(folder))


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics" / "crawl.json").read_text())
    return found


def throughput(work: Path, images: Path, rows: int, processes: int, other: Path | None) -> dict[str, Any]:
    """Medians of three runs, each with a server of its own, in turns with the other tool."""
    found: list[dict[str, float]] = []
    for run in range(RUNS):
        with server(images) as port:
            start = crawl(project(work / f"start{run}" / "p", port, 1, processes))
            whole = crawl(project(work / f"many{run}" / "p", port, rows, processes))
            assert metrics(work / f"many{run}" / "p")["kept"] == rows
            # The processor time of workers that a fork server started is nobody's: one process tells.
            alone = crawl(project(work / f"alone{run}" / "p", port, rows, 1))
            start_alone = crawl(project(work / f"start-alone{run}" / "p", port, 1, 1))
            theirs = img2dataset(work, other, port, rows) if other else {}
        found.append(
            {
                "rows_per_s_with_start": rows / whole["wall_s"],
                "rows_per_s_steady": rows / (whole["wall_s"] - start["wall_s"]),
                "cpu_ms_per_row_one_process": (alone["cpu_s"] - start_alone["cpu_s"]) / rows * 1e3,
                "start_s": start["wall_s"],
                **theirs,
            }
        )
        shutil.rmtree(work / f"many{run}")
        shutil.rmtree(work / f"alone{run}")
    medians = {name: round(statistics.median(each[name] for each in found), 2) for name in found[0]}
    return medians | {"processes": processes, "rows": rows}


def img2dataset(work: Path, venv: Path, port: int, rows: int) -> dict[str, float]:
    """The same with img2dataset."""
    listed, out = work / "urls.txt", work / "img2dataset"
    listed.write_text("\n".join(addresses(port, rows, ("127.0.0.1", "localhost"))) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    run = [
        venv / "bin" / "img2dataset", "--url_list", listed, "--output_folder", out, "--processes_count", "2",
        "--thread_count", "16", "--output_format", "parquet", "--resize_mode", "no", "--skip_reencode", "True",
        "--number_sample_per_shard", "500",
    ]  # fmt: skip
    took = timed(subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    had = sum(json.loads(path.read_text())["successes"] for path in out.glob("*_stats.json"))
    return {
        "img2dataset_rows_per_s_with_start": had / took["wall_s"],
        "img2dataset_cpu_ms_per_row_with_start": took["cpu_s"] / had * 1e3,
    }


def polite(work: Path, images: Path) -> dict[str, Any]:
    with server(images, "--per-s", "50", "--opt-out", "10", "--latency-s", "0.02") as port:
        folder = project(work / "polite" / "p", port, 500, 1, requests_per_s=100.0, per_host=4)
        took = crawl(folder)
        counted = stats(port)
    found = metrics(folder)
    return counted | {
        "kept": found["kept"],
        "reasons": found["reasons"],
        "refused_share": round(counted["refused"] / counted["requests"], 4),
        "seconds": round(took["wall_s"], 1),
    }


def faults(work: Path, images: Path, rows: int) -> dict[str, Any]:
    peaks, wrong = [], Counter[str]()
    for count in (rows // 4, rows):
        with server(images, "--faults") as port:
            folder = project(
                work / f"faults{count}" / "p", port, count, 1, timeout_s=3.0, deadline_s=20.0, max_bytes=1 << 21,
                min_bytes_per_s=500.0, backoff_s=0.05, host_faults=10_000,
            )  # fmt: skip
            took = crawl(folder)
        peaks.append(round(took["peak_mb"]))
        wrong.update(other_ends(folder))
    found = metrics(folder)
    return {
        "rows": rows, "kept": found["kept"], "reasons": found["reasons"], "other_ends": dict(wrong),
        "seconds": round(took["wall_s"], 1), "peak_mb_quarter_and_all": peaks,
    }  # fmt: skip


def other_ends(folder: Path) -> Counter[str]:
    """Rows whose end is not that of their fault."""
    reasons: dict[str, str | None] = {}
    for path in table.shards(folder / "data" / "crawl"):
        reasons |= dict.fromkeys((row["source"] for row in table.read_rows(path, ("source",))), None)
    for path in table.shards(folder / "data" / "drops" / "crawl"):
        reasons |= {row["source"]: row["reason"] for row in table.read_rows(path, ("source", "reason"))}
    wrong: Counter[str] = Counter()
    for source, reason in reasons.items():
        fault = fault_of(int(source.rpartition("/")[2][:-4]))
        wrong[f"{None if fault is None else FAULTS[fault][0]}: {reason}"] += reason != (
            None if fault is None else FAULTS[fault][1]
        )
    return +wrong


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "data").rglob("*.parquet"))
    }


def kill(work: Path, images: Path, rows: int, kills: int) -> dict[str, Any]:
    moments = random.Random(0)
    with server(images, "--latency-s", "0.002") as port:
        clean = project(work / "kill" / "clean", port, rows, 1)
        hurt = project(work / "kill" / "hurt", port, rows, 1)
        crawl(clean)
        before = stats(port)["requests"]
        for _ in range(kills):
            goal = stats(port)["requests"] + moments.randrange(1, 2 * rows // kills)
            process = command(hurt)
            while process.poll() is None and stats(port)["requests"] < goal:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        crawl(hurt)
        asked = stats(port)["requests"] - before
    return {"kills": kills, "rows": rows, "same_bytes": digests(hurt) == digests(clean), "asked_twice": asked - rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--fault-rows", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--img2dataset", type=Path, help="A virtual environment with img2dataset.")
    parser.add_argument("--only", nargs="*", default=["throughput", "polite", "faults", "kill"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        images = work / "images"
        images.mkdir()
        pictures(images)
        found: dict[str, Any] = {"mean_kb": round(sum(p.stat().st_size for p in images.iterdir()) / PICTURES / 1e3, 1)}
        parts = {
            "throughput": lambda: throughput(work, images, given.rows, given.processes, given.img2dataset),
            "polite": lambda: polite(work, images),
            "faults": lambda: faults(work, images, given.fault_rows),
            "kill": lambda: kill(work, images, 600, given.kills),
        }
        for name in given.only:
            found[name] = parts[name]()
            print(f"{name}: {found[name]}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
