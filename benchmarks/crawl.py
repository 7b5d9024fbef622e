"""How fast, how polite and how patient the crawl is, on loopback. One JSON line.

    python benchmarks/crawl.py [--rows 3000] [--only throughput polite faults kill]

`throughput`: original bytes to Parquet, `--processes` processes, photographs of 154 kB on average: rows per second with
and without the start of Python, and processor milliseconds per row of the crawl (children included, server excluded).
`polite`: a host that allows 50 requests a second (429 and Retry-After: 1 beyond), 20 ms away, 500 addresses, every
tenth answer opted out: rows kept, share of requests that were refused, requests for robots.txt, seconds.
`faults`: every kind of fault in turn (503, reset, slow drip, redirect loop, compression bomb, short body, ...).
`kill`: kill -9 at random moments, then to the end: whether the bytes are those of an undisturbed run, and how many
requests were made twice.
"""

import argparse
import gzip
import hashlib
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

RUNS = 3
PICTURES = 200  # different ones; addresses repeat them
SIZES = ((480, 640), (600, 800), (768, 1024), (900, 1200), (1200, 1600))  # height, width
SHARES = (0.2, 0.3, 0.25, 0.15, 0.1)
KILLS = 20


def pictures(folder: Path) -> None:
    """Photo-like JPEGs: smooth colour, some texture, light noise."""
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        h, w = SIZES[rng.choice(len(SIZES), p=SHARES)]
        smooth = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)).resize((w, h), Image.BICUBIC)
        texture = Image.fromarray(rng.integers(90, 166, (h // 6, w // 6, 3), dtype=np.uint8)).resize((w, h))
        mixed = np.asarray(smooth, np.float32) + np.asarray(texture, np.float32) - 128 + rng.normal(0, 4, (h, w, 3))
        Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=88)


class Server(ThreadingHTTPServer):
    """Threads for as many clients as come."""

    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may hang up."""


def serve(folder: Path, per_s: float, opt_out: int, latency_s: float, faults: bool) -> None:
    """Serve pictures until killed; prints the port first, and answers /stats with counters."""
    bodies = [(folder / f"{i}.jpg").read_bytes() for i in range(PICTURES)]
    lock = threading.Lock()
    stats = {"requests": 0, "refused": 0, "robots": 0}
    tries: dict[str, int] = {}
    second = [0, 0]
    bomb = gzip.compress(bytes(64 << 20))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def send(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.path == "/stats":
                return self.send(200, json.dumps(stats).encode())
            if self.path == "/robots.txt":
                with lock:
                    stats["robots"] += 1
                return self.send(200, b"User-agent: *\nAllow: /\n")
            with lock:
                stats["requests"] += 1
                tries[self.path] = tries.get(self.path, 0) + 1
                now = int(time.time())
                second[:] = [now, second[1] + 1 if second[0] == now else 1]
                over = per_s and second[1] > per_s
                stats["refused"] += bool(over)
            time.sleep(latency_s)
            if over:
                return self.send(429, b"slow down", Retry_After="1")
            number = int(self.path[1:-4])
            if faults and number % 2:
                return self.fault(number // 2 % 8, number)
            tag = {"X_Robots_Tag": "noai"} if opt_out and number % opt_out == 0 else {}
            return self.send(200, bodies[number % PICTURES], **tag)

        def fault(self, kind: int, number: int) -> None:
            good = bodies[number % PICTURES]
            first = tries[self.path] == 1
            if kind == 0:
                self.send(503) if first else self.send(200, good)
            elif kind == 1 and first:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.connection.close()
                self.close_connection = True
            elif kind == 2:
                self.send(302, Location=self.path)
            elif kind == 3:
                self.send(200, bomb, Content_Encoding="gzip")
            elif kind == 4 and first:
                self.send(200, good[:1000], Content_Length=str(len(good)))
                self.close_connection = True
            elif kind == 5 and number % 80 == 11:
                self.send(200, b"x", Content_Length="1000")
                time.sleep(5)
                self.close_connection = True
            elif kind == 6:
                self.send(404)
            else:
                self.send(200, good)

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def server(folder: Path, *options: str) -> Iterator[int]:
    command = [sys.executable, __file__, "--serve", str(folder), *options]
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


def project(folder: Path, port: int, rows: int, workers: int, **crawl: Any) -> Path:
    """A project folder with a list of addresses under two host names, so that two processes share the work."""
    hosts = ("127.0.0.1", "localhost") if workers > 1 else ("127.0.0.1",)
    lines = [f"person{i % 97:03d},http://{hosts[i % len(hosts)]}:{port}/{i}.jpg" for i in range(rows)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "list.csv").write_text("identity_id,url\n" + "\n".join(lines) + "\n")
    section = {
        "source": "urls", "urls": "../list.csv", "contact": "me@example.org", "allow_private": True,
        "requests_per_s": 1e6, "per_host": 16, "processes": workers, **crawl,
    }  # fmt: skip
    (folder / "params.yaml").write_text(yaml.safe_dump({"run": {"buckets": 8, "workers": workers}, "crawl": section}))
    return folder


def command(folder: Path) -> "subprocess.Popen[str]":
    root = str(Path(__file__).resolve().parents[1])
    env = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "stages.cli", "run", "crawl"]
    return subprocess.Popen(run, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)


def crawl(folder: Path) -> dict[str, float]:
    """One run of the command: seconds of wall clock, and of the processor, its children included."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = command(folder)
    _, said = process.communicate()
    wall_s = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(said)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    steady_s = float(said.rsplit(" in ", 1)[1].split()[0])
    return {"wall_s": wall_s, "cpu_s": cpu_s, "steady_s": steady_s, "rss_mb": after.ru_maxrss / 1024}


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics" / "crawl.json").read_text())
    return found


def throughput(work: Path, images: Path, rows: int, processes: int) -> dict[str, Any]:
    """Medians of three runs, each with a server of its own; the start is the command on a list of one row."""
    found: list[dict[str, float]] = []
    for run in range(RUNS):
        with server(images) as port:
            start = crawl(project(work / f"start{run}" / "p", port, 1, processes))
            whole = crawl(project(work / f"many{run}" / "p", port, rows, processes))
        assert metrics(work / f"many{run}" / "p")["kept"] >= rows * 0.5
        found.append(
            {
                "rows_per_s_with_start": rows / whole["wall_s"],
                "rows_per_s_steady": rows / whole["steady_s"],
                "cpu_ms_per_row": (whole["cpu_s"] - start["cpu_s"]) / rows * 1e3,
                "start_s": start["wall_s"],
            }
        )
    return {name: round(statistics.median(each[name] for each in found), 2) for name in found[0]} | {
        "processes": processes,
        "rows": rows,
    }


def polite(work: Path, images: Path) -> dict[str, Any]:
    with server(images, "--per-s", "50", "--opt-out", "10", "--latency-s", "0.02") as port:
        folder = project(work / "polite" / "p", port, 500, 1, requests_per_s=100.0, per_host=4)
        took = crawl(folder)
        counted = stats(port)
    reasons = metrics(folder)["reasons"]
    rows = 500 - sum(count for reason, count in reasons.items() if reason not in ("duplicate",))
    return counted | {
        "allowed_rows_had": rows,
        "opted_out": reasons.get("opted_out", 0),
        "refused_share": round(counted["refused"] / counted["requests"], 4),
        "seconds": round(took["steady_s"], 1),
    }


def faults(work: Path, images: Path, rows: int) -> dict[str, Any]:
    peaks, found = [], {}
    for count in (rows // 4, rows):
        with server(images, "--faults") as port:
            folder = project(
                work / f"faults{count}" / "p", port, count, 1, timeout_s=3.0, deadline_s=10.0, max_bytes=1 << 21,
                backoff_s=0.05, host_faults=10_000, threads=16,
            )  # fmt: skip
            took = crawl(folder)
        peaks.append(round(took["rss_mb"]))
        found = metrics(folder)
    return {"rows": rows, "kept": found["kept"], "reasons": found["reasons"], "peak_mb_quarter_and_all": peaks}


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
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["throughput", "polite", "faults", "kill"])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--per-s", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--opt-out", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--latency-s", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--faults", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.per_s, given.opt_out, given.latency_s, given.faults)
        return
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        images = work / "images"
        images.mkdir()
        pictures(images)
        found: dict[str, Any] = {"mean_kb": round(sum(p.stat().st_size for p in images.iterdir()) / PICTURES / 1e3, 1)}
        parts = {
            "throughput": lambda: throughput(work, images, given.rows, given.processes),
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
