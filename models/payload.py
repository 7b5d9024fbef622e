"""What the rows of a manifest point at: the payload columns of its shards, which may come from anywhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from manifests import table
from manifests.errors import DataError

Row = dict[str, Any]


def inside(root: Path, shard: str) -> Path:
    """The path of a shard that a manifest names. Raises DataError where it leads out of the manifest's folder."""
    path = PurePosixPath(shard)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"the manifest points to shard {shard!r}: expected a path below its own folder")
    return root / path


def read(root: Path, rows: Sequence[Row], column: str, extra: Sequence[str] = ()) -> Iterator[tuple[int, Row]]:
    """(place in `rows`, values) shard by shard: a payload column, and the `extra` ones where the shard has them all.

    Raises DataError for rows that a shard does not hold, or holds without that column.
    """
    places = {row["row_id"]: place for place, row in enumerate(rows)}
    if len(places) < len(rows):
        raise DataError(f"the manifest names {len(rows) - len(places)} rows twice: run `pipeline validate` on it")
    for shard in sorted({row["shard"] for row in rows}):
        path = inside(root, shard)
        wanted = [row["row_id"] for row in rows if row["shard"] == shard]
        found = 0
        more = extra if set(extra) <= set(table.columns_of(path)) else ()
        for row_id, values in table.read_payload(path, [column, *more], wanted):
            found += 1
            if values[column] is None:
                raise DataError(f"{path}: row {row_id} has no {column}")
            yield places[row_id], values
        if found != len(wanted):
            raise DataError(
                f"{path} holds {found} of the {len(wanted)} rows that the manifest names: run `pipeline "
                "validate` on the manifest, then `pipeline run`"
            )
