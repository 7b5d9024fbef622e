"""How long `pipeline review-export` takes, how large what it writes is, and how much memory it needs. One JSON line.

    python benchmarks/review.py [--people 500] [--pictures 20] [--workers 1] [--format html]

Drawn portraits of 505 x 505 pixels, the average of the paper's pictures, stand for aligned and whitened ones: every
row has its own bytes and its own hash. The export runs in a process of its own; `mib` is the largest resident memory
it ever had, `again_s` the same command once more, `unchanged` whether that left every byte as it was.
"""

import argparse
import hashlib
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from manifests.schema import ALIGN, WHITEN, Table
from manifests.table import shard_name, write_table

PEOPLE_PER_SHARD = 10
SIDE = 505  # pixels
FACTS: dict[str, Any] = {
    "name": "Jane Doe", "gender": "f", "nationality": "Peru", "source": "https://example.org/faces/picture.jpg",
    "sha256": "a" * 64, "bytes": 100_000, "format": "JPEG", "source_width": 1200, "source_height": 1600,
    "width": SIDE, "height": SIDE, "side": SIDE, "n_faces": 1, "yaw_deg": 2.0, "pitch_deg": -1.0, "pupil_px": 101.0,
    "sharpness": 0.6, "light_imbalance": 0.1, "p_neutral": 0.9, "edge_quality": 0.7, "transform": [1.0] * 6,
    "scale": 1.0, "outside": 0.0, "mask": b"",
}  # fmt: skip


def portrait(seed: int) -> bytes:
    """A drawn portrait as the align stage would write it."""
    import numpy as np
    from PIL import Image

    from pipeline.images import encode_png
    from pipeline.world.faces import photograph
    from pipeline.world.scene import Scene
    from pipeline.world.traits import draw_person

    pixels = photograph(draw_person(seed, 0), Scene(seed=seed, pupil_px=75.0)).pixels
    return encode_png(np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)))


def draw(data: Path, people: int, pictures: int) -> None:
    """Shards of aligned and whitened pictures."""
    drawn = [portrait(seed) for seed in range(8)]
    for first in range(0, people, PEOPLE_PER_SHARD):
        numbers = [
            (person, picture) for person in range(first, first + PEOPLE_PER_SHARD) for picture in range(pictures)
        ]
        for table in (ALIGN, WHITEN):
            rows = [row(table, person, picture, drawn[(person + picture) % len(drawn)]) for person, picture in numbers]
            write_table(data / table.name / shard_name(first // PEOPLE_PER_SHARD), table, rows, {})


def row(table: Table, person: int, picture: int, image: bytes) -> dict[str, Any]:
    """One row; what follows the end of a PNG is ignored: it makes the copies differ."""
    own = image + f"{table.name} {person} {picture}".encode()
    name = hashlib.sha256(f"{person} {picture}".encode()).hexdigest()
    facts = FACTS | {
        "identity_id": f"id{10_001 + person}",
        "row_id": name[:32],
        "sample_id": name[32:],
        "image": own,
        "image_sha256": hashlib.sha256(own).hexdigest(),
    }
    return {column.name: facts.get(column.name) for column in table.columns}


def timed_export(data: Path, out: Path, workers: int, form: str) -> tuple[float, float, int, int]:
    """Seconds, CPU seconds and peak MiB of this process, and pictures shown."""
    from pipeline import engine

    engine.pin_threads()
    from pipeline.review.batches import Options
    from pipeline.review.export import Look, export
    from pipeline.review.people import Wanted

    began, cpu = time.perf_counter(), time.process_time()
    written = export(data, out, (), (), Options(("anna", "bob")), Wanted(3, 7), Look(form), workers)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024
    return seconds, cpu, peak, written.pictures


def digest(out: Path) -> str:
    """Of every file's name and bytes."""
    total = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(out)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--pictures", type=int, default=20, help="of each person")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--format", default="html")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "out"
        draw(data, options.people, options.pictures)
        runs, digests = [], []
        for _ in range(2):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                runs.append(alone.submit(timed_export, data, out, options.workers, options.format).result())
            digests.append(digest(out))
        files = [path for path in out.rglob("*") if path.is_file()]
        pages = [path.stat().st_size for path in files if path.name == "index.html"]
        found = {
            "benchmark": "review",
            "format": options.format,
            "pictures": runs[0][3],
            "workers": options.workers,
            "seconds": round(runs[0][0], 1),
            "cpu_s": round(runs[0][1], 1),
            "again_s": round(runs[1][0], 1),
            "unchanged": digests[0] == digests[1],
            "mib": max(peak for _, _, peak, _ in runs),
            "batches": len(list(out.glob("round*"))),
            "files": len(files),
            "written_mib": round(sum(path.stat().st_size for path in files) / 2**20, 1),
            "largest_page_kib": max(pages, default=0) // 1024,
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
