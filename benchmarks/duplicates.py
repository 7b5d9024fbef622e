"""How fast near-duplicates are found among many hashes, and that none is missed. One JSON line.

    python benchmarks/duplicates.py [--hashes 1000000] [--bits 7] [--planted 1000]

Random 64-bit hashes, and as many planted copies as asked for with up to `bits` bits changed, are searched for all
pairs within `bits`; medians of three. `found` counts the planted pairs, `pairs_of_chance` all others.
"""

import argparse
import json
import statistics
import time

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=7, help="most bits between two copies")
    parser.add_argument("--planted", type=int, default=1000, help="copies; at most half of the hashes")
    options = parser.parse_args()
    engine.pin_threads()
    hashes = planted(options.hashes, options.bits, options.planted)
    wall, cpu = [], []
    for _ in range(RUNS):
        began, cpu_began = time.perf_counter(), time.process_time()
        pairs = near_pairs(hashes, options.bits)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
    found = {(i, j) for i, j in pairs.tolist()}
    first = options.hashes - options.planted
    hit = sum((copy, first + copy) in found for copy in range(options.planted))
    print(
        json.dumps(
            vars(options)
            | {
                "seconds": round(statistics.median(wall), 2),
                "cpu_seconds": round(statistics.median(cpu), 2),
                "found": hit,
                "pairs_of_chance": len(found) - hit,
            }
        )
    )


if __name__ == "__main__":
    main()
