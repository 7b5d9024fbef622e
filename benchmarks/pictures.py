"""How fast pictures are aligned and whitened: the whole stages on photographs of 1000 to 2000 px. One JSON line.

    python -m benchmarks.pictures --data DIR [--workers 2] [--copies 4]

The photographs under DIR of that size, each `copies` times, are crawled and searched for faces once, with every limit
wide open; then align and whiten run from nothing, by one and by several workers in turns. Rates are pictures kept per
second, medians of three. `align_share` and `whiten_share` are what one process spends its time on.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faces import pictures
from manifests import table
from pipeline import engine, geometry, images, warp
from pipeline.faces import segmenter
from pipeline.run import Summary, run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Paths, Row, Stage
from stages import STAGES, align, load, whiten

RUNS = 3
MAX_PIXELS = 100_000_000
OPEN: dict[str, dict[str, Any]] = {  # keeps every picture with a face
    "landmarks": {
        "max_rival_area": 1.0,
        "min_pupil_px": 0.0,
        "max_landmark_spread": 10.0,
        "max_yaw_deg": 90.0,
        "max_pitch_deg": 90.0,
        "max_alignment_residual": 10.0,
        "min_colourfulness": 0.0,
        "max_light_imbalance": 10.0,
        "max_light_contrast": 10.0,
    },
    "identity": {"enabled": False},
    "emotion": {"enabled": False},
    "align": {"min_side": None, "max_outside": None},
    "whiten": {"min_coverage": 0.0, "max_coverage": 1.0, "min_edge_quality": 0.0, "min_face_coverage": 0.0},
}


def prepared(folder: Path, data: Path, copies: int) -> Params:
    """Settings whose data folder holds the crawled and measured photographs."""
    files = pictures(data)
    for person in range(copies * len(files)):
        path = folder / "photographs" / f"person{person:05d}" / "photograph.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(files[person % len(files)])
    paths = Paths(*(folder / name for name in ("data", "reports", "metrics", "review")))
    crawl = {"source": "folder", "folder": str(folder / "photographs"), "contact": "nobody"}
    params = Params(paths, Run(max_failed=1.0), OPEN | {"crawl": crawl})
    for name in ("crawl", "landmarks", "identity", "emotion", "align"):
        run_stage(load(name), params)
    return params


def rate(stage: Stage, params: Params, workers: int) -> float:
    """Pictures per second of one run of a stage from nothing."""
    for part in (stage.name, f"scores/{stage.name}", f"drops/{stage.name}"):
        shutil.rmtree(params.paths.data / part, ignore_errors=True)
    began = time.perf_counter()
    summary = run_stage(stage, params, workers)
    assert isinstance(summary, Summary), stage.name
    return summary.kept / (time.perf_counter() - began)


def cpu_s(function: Callable[[Any], Any], arguments: list[Any]) -> float:
    """Processor time of a function over arguments."""
    began = time.process_time()
    for argument in arguments:
        function(argument)
    return time.process_time() - began


def align_shares(params: Params) -> dict[str, float]:
    """What align spends its time on, of one shard."""
    data, shard = params.paths.data, table.shard_name(0)
    rows = table.read_rows(data / "emotion" / shard)
    originals = {row["row_id"]: row["image"] for row in table.read_rows(data / "crawl" / shard)}
    jobs = [(row | {"image": originals[row["row_id"]]}, align.score(row, align.Scoring())) for row in rows]

    def warped(job: tuple[Row, Row]) -> images.Pixels:
        matrix = geometry.points(job[1]["transform"]).reshape(2, 3)
        pixels = images.decode(job[0]["image"], MAX_PIXELS)
        return warp.warp(pixels, matrix, job[1]["side"], job[1]["side"], fill=255)

    aligned = [warped(job) for job in jobs]
    whole = cpu_s(lambda job: align.render(job[0], job[1], align.Limits()), jobs)
    decoding = cpu_s(lambda job: images.decode(job[0]["image"], MAX_PIXELS), jobs)
    encoding = cpu_s(images.encode_png, aligned)
    shares = {"decode": decoding, "encode": encoding, "warp": whole - decoding - encoding}
    return {name: round(value / whole, 3) for name, value in shares.items()} | {
        "cpu_ms": round(1000 * whole / len(jobs), 1)
    }


def whiten_shares(params: Params) -> dict[str, float]:
    """What whiten spends its time on, of one shard."""
    rows = table.read_rows(params.paths.data / "align" / table.shard_name(0))
    network = whiten._network()
    pixels = [images.decode(row["image"], MAX_PIXELS) for row in rows]
    segmenter.small_probability(np.zeros_like(pixels[0]), network)  # the first call plans the memory
    jobs = [(row, whiten.score(row, whiten.Scoring())) for row in rows]
    scoring = cpu_s(lambda row: whiten.score(row, whiten.Scoring()), rows)
    rendering = cpu_s(lambda job: whiten.render(job[0], job[1], whiten.Limits()), jobs)
    inference = cpu_s(lambda picture: segmenter.small_probability(picture, network), pixels)
    whole = scoring + rendering
    return {
        "network": round(inference / whole, 3),
        "render": round(rendering / whole, 3),
        "cpu_ms": round(1000 * whole / len(rows), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with photographs, searched below")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=int, default=4)
    options = parser.parse_args()
    engine.pin_threads()
    engine.preload([*(f"stages.{name}" for name in STAGES), "benchmarks.faces"])
    with tempfile.TemporaryDirectory() as folder:
        params = prepared(Path(folder), options.data, options.copies)
        rates: dict[str, list[float]] = {}
        for _ in range(RUNS):
            for stage in (align.STAGE, whiten.STAGE):
                for workers in (1, options.workers):
                    rates.setdefault(f"{stage.name}_{workers}", []).append(rate(stage, params, workers))
        result = {
            "benchmark": "pictures",
            "pictures": len(table.read_rows(params.paths.data / "align" / table.shard_name(0))) * Run().buckets,
            "images_per_s": {name: round(statistics.median(values), 1) for name, values in rates.items()},
            "align_share": align_shares(params),
            "whiten_share": whiten_shares(params),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
