"""The paper's full run on paper: hours and disk for 1, 16 and 256 cores, by simulating the scheduler. One JSON line.

    python benchmarks/full_run.py [--sites 5000] [--net-mb-s 125] [--disk-mb-s 500] [--store-mb-s 1000]

7,363 people with 300 pictures each and 1.2 million utterances, in 1,024 shards by the hash that the pipeline uses.
The costs of a row were measured on two cores of this project's machine (see `STAGES`). A stage begins when the one
before has ended, as in `dvc repro`; a worker takes the next shard, reads it, computes, writes; who reads or writes at
once shares the disk, or from 17 cores on the store of the cluster, evenly. The crawl is one machine's: the slowest
of the busiest site at its polite rate (sites by Zipf's law), the network and its processor. `bound` says what a stage
waits for: the largest of these times taken alone.
"""

import argparse
import heapq
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from manifests.table import bucket_of

PEOPLE, PICTURES, UTTERANCES, BUCKETS = 7_363, 300, 1_200_000, 1_024
CORES = (1, 16, 256)
ONE_MACHINE = 16  # cores; more of them share a store over the network
PICTURE_BYTES, RECORDING_BYTES = 150e3, 262e3  # a picture as found; 8.2 s of 16 kHz WAV, VoxCeleb's mean
POLITE_PER_S = 4.0  # requests to one site
CRAWL_CPU_S = 1e-3  # a picture, asked for by one process
START_S = 3.0  # of a stage: Python, networks, plan


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage costs for a row, in one process."""

    name: str
    share: float  # of the pictures, or of the utterances, that are worked on
    cpu_s: float
    read_bytes: float = 0.0
    written_bytes: float = 0.0
    voices: bool = False


# 298 photographs and 116 recordings of real people, `pipeline run --executor serial`, seconds and bytes by row from
# .hqvox/events.jsonl and the shards; the shares are those of the paper's limits (298, 24, 4, 3). Every picture is
# read for landmarks; later stages read whole row groups wherever one row of theirs lies in it.
STAGES = (
    Stage("landmarks", 1.0, 0.044, PICTURE_BYTES, 15.4e3),
    Stage("identity", 24 / 298, 0.037, PICTURE_BYTES / (24 / 298), 1e3),
    Stage("emotion", 1.0, 0.0062, 15.4e3, 200),
    Stage("align", 4 / 298, 0.032, PICTURE_BYTES / (4 / 298), 208e3),
    Stage("whiten", 3 / 298, 0.177, 208e3, 168e3),
    Stage("voices", 1.0, 0.0063, RECORDING_BYTES, 320e3, voices=True),
)


@dataclass(frozen=True, slots=True)
class Shard:
    """What a worker has to do: read, compute, write."""

    read_bytes: float
    cpu_s: float
    written_bytes: float


def makespan(shards: Sequence[Shard], workers: int, bytes_per_s: float) -> float:
    """Seconds until all shards are done, in order, by workers that share the bandwidth evenly while they use it."""
    todo = deque(shards)
    computing: list[tuple[float, int, Shard]] = []  # by when it ends
    moving: list[tuple[float, int, Shard | None]] = []  # by what must have been `moved`; of a write there is no shard
    now = moved = 0.0  # seconds; bytes that a transfer open since the start would have had
    begun, free = 0, workers
    while todo or computing or moving:
        while free and todo:
            shard = todo.popleft()
            heapq.heappush(moving, (moved + shard.read_bytes, begun, shard))
            begun, free = begun + 1, free - 1
        each = bytes_per_s / len(moving) if moving else 0.0
        transfer_ends = now + (moving[0][0] - moved) / each if moving else inf
        if computing and computing[0][0] <= transfer_ends:
            ends, number, shard = heapq.heappop(computing)
            moved, now = moved + each * (ends - now), ends
            heapq.heappush(moving, (moved + shard.written_bytes, number, None))
            continue
        moved, number, done = heapq.heappop(moving)
        now = transfer_ends
        if done is None:
            free += 1
        else:
            heapq.heappush(computing, (now + done.cpu_s, number, done))
    return now


def people_by_bucket() -> list[int]:
    """How many of the people each shard holds."""
    found = [0] * BUCKETS
    for number in range(PEOPLE):
        found[bucket_of(f"id{10_001 + number}", BUCKETS)] += 1
    return found


def shards_of(stage: Stage) -> list[Shard]:
    """A stage's shards."""
    each = UTTERANCES / PEOPLE if stage.voices else PICTURES
    rows = [people * each * stage.share for people in people_by_bucket()]
    return [Shard(n * stage.read_bytes, n * stage.cpu_s, n * stage.written_bytes) for n in rows]


def bounds(shards: Sequence[Shard], workers: int, bytes_per_s: float) -> dict[str, float]:
    """Seconds that a stage takes at least, by what it would wait for."""
    return {
        "processor": sum(shard.cpu_s for shard in shards) / workers,
        "disk": sum(shard.read_bytes + shard.written_bytes for shard in shards) / bytes_per_s,
        "largest shard": max(s.cpu_s + (s.read_bytes + s.written_bytes) / bytes_per_s for s in shards),
    }


def crawl_bounds(sites: int, net_bytes_per_s: float, cores: int) -> dict[str, float]:
    """Seconds of the crawl at least, by what it would wait for."""
    pictures = PEOPLE * PICTURES
    busiest = pictures / sum(1 / rank for rank in range(1, sites + 1))
    return {
        "busiest site": busiest / POLITE_PER_S,
        "network": pictures * PICTURE_BYTES / net_bytes_per_s,
        "processor": pictures * CRAWL_CPU_S / min(cores, ONE_MACHINE),
    }


def hours(of: dict[str, float], seconds: float) -> dict[str, float | str]:
    """A line of the table."""
    return {"hours": round(seconds / 3600, 2), "bound": max(of, key=lambda name: of[name])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=5000)
    parser.add_argument("--net-mb-s", type=float, default=125.0, help="of the crawling machine")
    parser.add_argument("--disk-mb-s", type=float, default=500.0, help="of one machine")
    parser.add_argument("--store-mb-s", type=float, default=1000.0, help="of a cluster, all workers together")
    options = parser.parse_args()
    runs = {}
    for cores in CORES:
        bytes_per_s = 1e6 * (options.disk_mb_s if cores <= ONE_MACHINE else options.store_mb_s)
        crawl = crawl_bounds(options.sites, 1e6 * options.net_mb_s, cores)
        found = {"crawl": hours(crawl, max(crawl.values()) + START_S)}
        for stage in STAGES:
            shards = shards_of(stage)
            seconds = makespan(shards, cores, bytes_per_s) + START_S
            found[stage.name] = hours(bounds(shards, cores, bytes_per_s), seconds)
        total = sum(float(line["hours"]) for line in found.values())
        runs[cores] = {"after_crawl_h": round(total - float(found["crawl"]["hours"]), 2), **found}
    written = {stage.name: sum(shard.written_bytes for shard in shards_of(stage)) / 1e9 for stage in STAGES}
    gigabytes = {"crawl": PEOPLE * PICTURES * PICTURE_BYTES / 1e9, **written}
    disk = {name: round(size, 1) for name, size in gigabytes.items()}
    print(json.dumps({"benchmark": "full_run", "cores": runs, "written_gb": disk}))


if __name__ == "__main__":
    main()
