"""Draw docs/stages.png: one synthetic person's pictures through every stage of the last `dvc repro`.

Run in the repository after `dvc repro`: python docs/stages.py [identity_id]
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from manifests import table
from pipeline.images import Unreadable, decode

DATA = Path("data")
STAGES = ("crawl", "landmarks", "identity", "emotion", "align", "whiten", "review")
MAX_PIXELS = 100_000_000


def rows_of(folder: str, identity_id: str, columns: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """A person's rows of one table, by row_id."""
    found = [row for path in table.shards(DATA / folder) for row in table.read_rows(path, columns)]
    return {row["row_id"]: row for row in found if row["identity_id"] == identity_id}


def show(axes: Axes, stage: str, tables: dict[str, dict[str, dict[str, Any]]], row_id: str) -> None:
    """One picture after one stage."""
    source = "whiten" if stage == "review" else stage if stage in ("align", "whiten") else "crawl"
    try:
        pixels = decode(tables[source][row_id]["image"], MAX_PIXELS)
    except Unreadable:
        axes.text(0.5, 0.5, "unreadable", ha="center", va="center", fontsize=8)
        return
    axes.imshow(pixels)
    row = tables[stage][row_id]
    if stage == "landmarks":
        points = np.reshape(row["landmarks"], (-1, 2))
        axes.scatter(points[:, 0], points[:, 1], s=1.5, c="#3ddc97", linewidths=0)
        axes.set_xlabel(f"yaw {row['yaw_deg']:+.0f}°, pitch {row['pitch_deg']:+.0f}°", fontsize=7)
    if stage == "identity" and row["own_distance"] is not None:
        axes.set_xlabel(f"distance {row['own_distance']:.2f}", fontsize=7)
    if stage == "emotion" and row["p_neutral"] is not None:
        axes.set_xlabel(f"neutral {row['p_neutral']:.2f}", fontsize=7)
    if stage == "review":
        axes.set_xlabel(f"rank {row['rank']}, quality {row['quality']:.2f}", fontsize=7)


def draw(identity_id: str, out: Path) -> None:
    """The whole picture: a column per crawled picture, a row per stage, a word where a picture was dropped."""
    tables = {stage: rows_of(stage, identity_id) for stage in STAGES}
    drops = {stage: rows_of(f"drops/{stage}", identity_id) for stage in STAGES}
    columns = sorted({*tables["crawl"], *drops["crawl"]}, key=lambda row_id: _source(tables, drops, row_id))
    size = (1.15 * len(columns), 1.3 * len(STAGES))
    figure, grid = plt.subplots(len(STAGES), len(columns), figsize=size, dpi=110, layout="constrained")
    for line, stage in zip(grid, STAGES, strict=True):
        line[0].set_ylabel(stage, fontsize=10)
        for axes, row_id in zip(line, columns, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if row_id in tables[stage]:
                show(axes, stage, tables, row_id)
            elif row_id in drops[stage]:
                reason = drops[stage][row_id]["reason"].replace("_", "\n")
                axes.text(0.5, 0.5, reason, ha="center", va="center", fontsize=9, color="#b3261e")
    figure.savefig(out, metadata={"Software": None})


def _source(tables: dict[str, dict[str, dict[str, Any]]], drops: dict[str, dict[str, Any]], row_id: str) -> str:
    row = tables["crawl"].get(row_id) or drops["crawl"][row_id]
    source: str = row["source"]
    return source


if __name__ == "__main__":
    mpl.use("Agg")
    draw(sys.argv[1] if len(sys.argv) > 1 else "id90010", Path(__file__).with_name("stages.png"))
