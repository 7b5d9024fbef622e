"""How much faster two Dask workers are than one, scheduler and client on the same cores. One JSON line.

    python benchmarks/cluster.py [--people 24] [--copies 8] [--rounds 3]

The faces (landmarks) and voices stages over a drawn world, each recording there `copies` times, rows per second, by
one and by two workers in turns, medians; what the first task of a worker loads is left out by a run over the same
shards before. Not called dask.py: a script's folder comes first where Python looks for modules.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from contextlib import chdir
from pathlib import Path

from pipeline import engine
from pipeline.cluster import Cluster, connected
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Paths
from stages import load

TARGET = 1.6
STAGES = ("landmarks", "voices")


def rows_per_s(name: str, params: Params, cluster: Cluster) -> float:
    """One run of a stage from nothing."""
    for made in (name, f"scores/{name}", f"drops/{name}"):
        shutil.rmtree(params.paths.data / made, ignore_errors=True)
    began = time.perf_counter()
    summary = run_stage(load(name), params, cluster)
    assert summary is not None and not summary.skipped_shards, summary
    return summary.input / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    engine.pin_threads()
    speeds: dict[str, dict[int, list[float]]] = {name: {1: [], 2: []} for name in STAGES}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        sections = {
            "crawl": {"demo_people": options.people},
            "voices": {"roots": ["demo/voices"], "metadata": ["demo/meta.csv"]},
        }
        params = Params(Paths(), Run(buckets=16), sections)
        run_stage(load("crawl"), params, 1)
        for clip in list(Path("demo/voices").rglob("*.wav")):
            for number in range(1, options.copies):
                data = bytearray(clip.read_bytes())
                data[-2] ^= number  # another recording, by its bytes
                clip.with_stem(f"{clip.stem}{number}").write_bytes(data)
        for _ in range(options.rounds):
            for workers in (1, 2):
                with connected(None, workers) as cluster:
                    for name in STAGES:
                        rows_per_s(name, params, cluster)
                        speeds[name][workers].append(rows_per_s(name, params, cluster))
    medians = {name: {n: statistics.median(runs) for n, runs in by.items()} for name, by in speeds.items()}
    ratios = {name: round(found[2] / found[1], 2) for name, found in medians.items()}
    rates = {f"{name}_{n}_rows_per_s": round(rate, 1) for name, found in medians.items() for n, rate in found.items()}
    sizes = {"people": options.people, "copies": options.copies}
    print(json.dumps({"benchmark": "cluster", **sizes, "ratio": ratios, "target": TARGET, **rates}))


if __name__ == "__main__":
    main()
