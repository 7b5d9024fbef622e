"""What the identity stage says of pictures that are put under names, without tables on disk."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.stage import Drop, Row
from stages import identity
from stages.accuracy.scored import KEPT


def scored(data: bytes, seen: Row, identity_id: str) -> Row:
    """The identity stage's scores of a picture file whose landmarks have been found, under a name."""
    known = {name: seen[name] for name in ("pupil_px", "sharpness")}
    prints = identity.score({"image": data, "landmarks": seen["landmarks"]}, identity.Scoring())
    return {"identity_id": identity_id} | known | prints


def surveyed(rows: Sequence[Row], limits: identity.Limits) -> list[Row]:
    """The facts of each picture; a `repeats` names the place of another."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["identity_id"], i))
    table = pa.Table.from_pylist([rows[i] | {"row_id": str(i)} for i in order])
    facts = dict(zip(order, identity.survey(table, limits).to_pylist(), strict=True))
    return [facts[i] for i in range(len(rows))]


def fates(rows: Sequence[Row], limits: identity.Limits) -> list[str]:
    """KEPT, or the reason for which the stage drops each picture."""
    decided = [identity.decide({}, facts, limits) for facts in surveyed(rows, limits)]
    return [one.reason if isinstance(one, Drop) else KEPT for one in decided]
