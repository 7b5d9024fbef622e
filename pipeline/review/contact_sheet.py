"""Write a plain HTML contact sheet per person: pictures best first, scores, what was decided, lines to fill in.

The pages open from disk without server or script. Files are named by a hash, since ids and names are strangers' text.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.schema import WHITEN
from manifests.table import read_payload, read_rows, shards, write_text
from pipeline.html import THUMBNAIL_SIDE, page, thumbnail
from pipeline.quality import quality
from pipeline.review.decisions import Decision, Verdict, verdicts
from pipeline.stage import Row

_TEMPLATE = Path(__file__).with_name("contact_sheet.html")
_MAX_PIXELS = 4096 * 4096  # of our own aligned pictures, which are far smaller
_FACTS = tuple(name for name in WHITEN.names if name not in ("image", "mask"))
_SCORES = (  # column, label, format
    ("yaw_deg", "turn", "{:+.1f}°"),
    ("pitch_deg", "nod", "{:+.1f}°"),
    ("pupil_px", "pupils", "{:.0f} px"),
    ("p_neutral", "neutral", "{:.0%}"),
    ("sharpness", "sharpness", "{:.2f}"),
    ("edge_quality", "edge", "{:.2f}"),
    ("side", "side", "{:.0f} px"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reviewer is asked for."""

    least: int  # pictures per person
    most: int  # pictures per person
    reviewer: str  # written into the prepared lines


@dataclass(frozen=True, slots=True)
class Card:
    """One picture on a sheet."""

    thumbnail: str  # base64 JPEG
    source: str
    scores: tuple[tuple[str, str], ...]  # label, value
    suggested: bool  # the automatic choice would keep it
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Listed:
    """One person's line in the index."""

    file: str
    identity_id: str
    name: str | None
    pictures: int
    decided: int
    kept: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    people: int
    pictures: int
    open: int  # pictures nobody has decided, or about which reviewers differ


def safe_name(identity_id: str) -> str:
    """A file name stem for a person, whatever characters the id holds."""
    return hashlib.sha256(identity_id.encode()).hexdigest()[:16]


def decision_line(row: Row, suggested: bool, round_: int, reviewer: str) -> str:
    """One prepared line of decisions.jsonl, holding the automatic suggestion."""
    task = hashlib.sha256(f"{row['sample_id']}:{row['image_sha256']}:{round_}".encode()).hexdigest()[:16]
    fields = {
        "decision": "keep" if suggested else "reject",  # first, since it is what people change
        "task_id": task,
        "sample_id": row["sample_id"],
        "shown_sha256": row["image_sha256"],
        "reasons": [],
        "comment": "",
        "reviewer": reviewer,
        "seconds": None,
        "round": round_,
        "at": None,
    }
    return json.dumps(fields, ensure_ascii=False)


def is_open(verdict: Verdict | None) -> bool:
    """Whether a picture still needs somebody's word."""
    return verdict is None or verdict.decision == "unsure"


def _scores(row: Row) -> tuple[tuple[str, str], ...]:
    shown = [(label, form.format(row[column])) for column, label, form in _SCORES if row[column] is not None]
    return (("quality", f"{quality(row):.2f}"), *shown)


def _sheet(
    rows: Sequence[Row], thumbnails: Mapping[str, str], said: Mapping[str, Verdict], rounds: Mapping[str, int],
    wanted: Wanted,
) -> dict[str, Any]:  # fmt: skip
    """All that the template shows of one person."""
    order = sorted(rows, key=lambda row: (-quality(row), row["row_id"]))
    cards, lines = [], []
    for place, row in enumerate(order):
        verdict = said.get(row["sample_id"])
        suggested = place < wanted.most
        cards.append(Card(thumbnails[row["row_id"]], row["source"], _scores(row), suggested, verdict))
        if is_open(verdict):
            lines.append(decision_line(row, suggested, rounds.get(row["sample_id"], 0) + 1, wanted.reviewer))
    stem = safe_name(order[0]["identity_id"])
    return {
        "identity_id": order[0]["identity_id"],
        "name": order[0]["name"],
        "cards": cards,
        "lines": lines,
        "file": f"{stem}.html",
        "lines_file": f"{stem}.jsonl",
    }


def _listed(sheet: Mapping[str, Any]) -> Listed:
    settled = [card.verdict for card in sheet["cards"] if not is_open(card.verdict)]
    kept = sum(verdict.decision == "keep" for verdict in settled)
    return Listed(sheet["file"], sheet["identity_id"], sheet["name"], len(sheet["cards"]), len(settled), kept)


def _prune(out: Path, wanted: set[str]) -> None:
    """Delete sheets of earlier exports whose people are gone, perhaps by their own request."""
    for path in out.glob("*"):
        if re.fullmatch(r"[0-9a-f]{16}\.(html|jsonl)", path.name) and path.name not in wanted:
            path.unlink()


def export(data: Path, decided: Sequence[Decision], out: Path, wanted: Wanted) -> Exported:
    """Write `index.html` and one sheet per person of the whitened pictures under `data`; one shard in memory."""
    rounds: dict[str, int] = {}
    for decision in decided:
        rounds[decision.sample_id] = max(decision.round, rounds.get(decision.sample_id, 0))
    listed: list[Listed] = []
    files: set[str] = set()
    constants = {"side": THUMBNAIL_SIDE, "least": wanted.least, "most": wanted.most}
    for shard in shards(data / WHITEN.name):
        rows = read_rows(shard, _FACTS)
        pictures = read_payload(shard, ["image"], [row["row_id"] for row in rows])
        thumbnails = {row_id: thumbnail(payload["image"], _MAX_PIXELS) for row_id, payload in pictures}
        said = verdicts(decided, {row["sample_id"]: row["image_sha256"] for row in rows})
        people: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            people[row["identity_id"]].append(row)
        for theirs in people.values():
            sheet = _sheet(theirs, thumbnails, said, rounds, wanted)
            title = f"Review: {sheet['name'] or sheet['identity_id']}"
            write_text(out / sheet["file"], page(_TEMPLATE, constants | {"title": title, "sheet": sheet}))
            write_text(out / sheet["lines_file"], "".join(line + "\n" for line in sheet["lines"]))
            files |= {sheet["file"], sheet["lines_file"]}
            listed.append(_listed(sheet))
    listed.sort(key=lambda person: person.identity_id)
    index = constants | {"title": "Pictures to review", "sheet": None, "sheets": listed}
    write_text(out / "index.html", page(_TEMPLATE, index))
    _prune(out, files)
    pictures_shown = sum(person.pictures for person in listed)
    return Exported(len(listed), pictures_shown, pictures_shown - sum(person.decided for person in listed))
