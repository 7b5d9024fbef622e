"""What the manifest itself tells: counts, resolutions, who is in it; and what the filters before it left."""

from collections import Counter

import numpy as np

from manifests.errors import Missing
from manifests.table import read_rows, read_table
from models.reproduction.entry import Entry, Found, Line, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.people import COLUMNS, absent

SPLITS = ("train", "val", "test")
COUNTS = ("identities", "images", "speech", "resolution")
SHARES = ("people", "share")
_STAGES = ("crawl", "landmarks", "identity", "emotion", "align", "whiten", "review")


def counts(lab: Lab, entry: Entry) -> Found:
    """Identities, images, recordings and the mean width of the images' sources, by split."""
    rows = read_rows(lab.manifest)
    ours = [Line("all", _counted(rows))]
    ours += [Line(split, _counted([row for row in rows if row["split"] == split])) for split in SPLITS]
    return Found((Table(entry.asks, entry.metrics, tuple(ours), entry.published, entry.claims),))


def _counted(rows: list[dict[str, object]]) -> dict[str, Value]:
    widths = [row["source_width"] or row["width"] for row in rows if row["kind"] == "face"]
    known = [float(width) for width in widths if isinstance(width, int)]
    return {
        "identities": float(len({row["identity_id"] for row in rows})),
        "images": float(sum(row["kind"] == "face" for row in rows)),
        "speech": float(sum(row["kind"] == "speech" for row in rows)),
        "resolution": float(np.mean(known)) if known else None,
    }


def shares(lab: Lab, entry: Entry) -> Found:
    """How many people are of each gender and nationality, and of what else is known of them."""
    table = read_table(lab.manifest, ["identity_id", "gender", "nationality"])
    people = {row["identity_id"]: row for row in table.to_pylist()}
    known = [label for label in COLUMNS if label in lab.labels]
    for label in known:
        people = {one: row | {label: lab.labels[label].get(one)} for one, row in people.items()}
    tables = []
    for column in ("gender", "nationality", *known):
        having = Counter(row[column] or "unknown" for row in people.values())
        ours = tuple(
            Line(name, {"people": float(count), "share": 100 * count / len(people)})
            for name, count in having.most_common()
        )
        tables.append(Table(f"{entry.asks} By {column}.", entry.metrics, ours))
    return Found(tuple(tables), missing=absent(lab.labels))


def funnel(lab: Lab, entry: Entry) -> Found:
    """Pictures and people after each filter, from the stages' tables beside the manifest."""
    ours = []
    for stage in _STAGES:
        parts = sorted((lab.manifest.parent / stage).glob("*.parquet"))
        if parts:
            people = [read_table(part, ["identity_id"])["identity_id"].to_pylist() for part in parts]
            flat = [person for part in people for person in part]
            ours.append(Line(stage, {"pictures": float(len(flat)), "identities": float(len(set(flat)))}))
    if not ours:
        raise Missing(
            f"the stages' tables beside {lab.manifest.name}: `pipeline run` makes them, and this manifest was "
            "written without filters"
        )
    return Found((Table(entry.asks, entry.metrics, tuple(ours), entry.published, entry.claims),))
