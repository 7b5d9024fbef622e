"""How fast near-duplicates are found among many hashes, that none is missed, and how fast imagededup is. One JSON line.

    python benchmarks/duplicates.py [--hashes 1000000] [--bits 7] [--planted 1000] [--theirs 10000]

Random 64-bit hashes, and as many planted copies as asked for with up to `bits` bits changed, are searched for all
pairs within `bits`; medians of three. `found` counts the planted pairs, `pairs_of_chance` all others, `peak_mib` is
memory beyond what was held before. Then, where imagededup is installed (it is no dependency of ours), its search for
pairs as near among the first `--theirs` of the same hashes; ours on these as well.
"""

import argparse
import json
import logging
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pipeline import engine
from pipeline.hygiene.index import Hashes, near_pairs

RUNS = 3
SEED = 0


def planted(hashes: int, bits: int, copies: int) -> Hashes:
    """Random hashes whose last `copies` repeat the first ones but for up to `bits` bits."""
    rng = np.random.default_rng(SEED)
    found = rng.integers(0, 2**64, hashes, dtype=np.uint64)
    for copy in range(copies):
        changed = rng.choice(64, int(rng.integers(0, bits + 1)), replace=False)
        found[hashes - copies + copy] = found[copy] ^ np.uint64(sum(1 << int(bit) for bit in changed))
    return found


def cpu_s() -> float:
    """Seconds of this process and of those it started and saw end."""
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in (mine, children))


def peak_mib() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(search: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds of a search, medians."""
    wall, cpu = [], []
    for _ in range(RUNS):
        began, cpu_began = time.perf_counter(), cpu_s()
        search()
        wall.append(time.perf_counter() - began)
        cpu.append(cpu_s() - cpu_began)
    return {"seconds": round(statistics.median(wall), 3), "cpu_seconds": round(statistics.median(cpu), 3)}


def theirs(hashes: Hashes, bits: int) -> dict[str, float] | None:
    """The search of imagededup among the same hashes; None where it is not installed."""
    try:
        from imagededup.methods import PHash
    except ModuleNotFoundError:
        return None
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")  # it warns of its own defaults
    encoded = {str(place): f"{code:016x}" for place, code in enumerate(hashes.tolist())}
    search = PHash(verbose=False).find_duplicates
    return timed(partial(search, encoding_map=encoded, max_distance_threshold=bits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=7, help="most bits between two copies")
    parser.add_argument("--planted", type=int, default=1000, help="copies; at most half of the hashes")
    parser.add_argument("--theirs", type=int, default=10_000, help="hashes that imagededup searches")
    options = parser.parse_args()
    engine.pin_threads()
    hashes = planted(options.hashes, options.bits, options.planted)
    before = peak_mib()
    measured: dict[str, Any] = timed(partial(near_pairs, hashes, options.bits))
    measured["peak_mib"] = round(peak_mib() - before)
    found = {(i, j) for i, j in near_pairs(hashes, options.bits).tolist()}
    first = options.hashes - options.planted
    measured["found"] = sum((copy, first + copy) in found for copy in range(options.planted))
    measured["pairs_of_chance"] = len(found) - measured["found"]
    few = hashes[: options.theirs]
    measured["same_few"] = {
        "ours": timed(partial(near_pairs, few, options.bits)),
        "imagededup": theirs(few, options.bits),
    }
    print(json.dumps(vars(options) | measured))


if __name__ == "__main__":
    main()
