"""Reproduce tables and figures of the source papers: train what is missing, measure, print ours beside theirs.

Writes, in the folder of each id, `result.json` and `result.md` with the verdict on every ordering that the paper
claims, and its figures as PNG. Runs lie beside, in `runs/`, and are trained once, whichever ids share them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from manifests.errors import Missing
from manifests.table import write_text
from models import cells
from models.reproduction.entry import Entry, Found, Line, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.table import find
from models.reproduction.verdict import VERDICTS, Judged, verdicts

FORMAT = "hq-vox reproduction 1"
_SMOKE = "Budget `smoke`: a few iterations of tiny networks. This shows that everything runs; the figures are noise."


@dataclass(frozen=True, slots=True)
class Result:
    """What an id gave, and where it was written."""

    entry: Entry
    found: Found
    verdicts: tuple[tuple[Judged, ...], ...]  # of each table
    text: str  # as Markdown


def reproduce(ids: tuple[str, ...], lab: Lab) -> Iterator[Result]:
    """The results of ids, each written as soon as it is there. Raises UsageError for an unknown one."""
    for entry in find(ids):
        lab.say(f"{entry.id}: {entry.source}")
        try:
            found = entry.measure(lab, entry)
        except Missing as error:  # of this id; the others may have all they need
            found = Found(missing=(str(error),))
        judged = tuple(tuple(verdicts(table)) for table in found.tables)
        result = Result(entry, found, judged, _markdown(lab, entry, found, judged))
        _write(lab, result)
        yield result


def _write(lab: Lab, result: Result) -> None:
    folder = lab.pictures(result.entry.id)
    told = {
        "format": FORMAT,
        "id": result.entry.id,
        "source": result.entry.source,
        "budget": lab.budget,
        "seed": lab.seed,
        "members": [asdict(member) for member in result.entry.members],
        "tables": [asdict(table) for table in result.found.tables],
        "verdicts": [[asdict(one) | {"claim": one.claim._asdict()} for one in of] for of in result.verdicts],
        "pictures": [path.name for path in result.found.pictures],
        "missing": list(result.found.missing),
    }
    write_text(folder / "result.json", json.dumps(told, indent=1) + "\n")
    write_text(folder / "result.md", result.text)


def _markdown(lab: Lab, entry: Entry, found: Found, judged: Sequence[Sequence[Judged]]) -> str:
    parts = [f"## {entry.id}: {entry.source}", entry.asks]
    if lab.budget == "smoke":
        parts.append(_SMOKE)
    for table, of in zip(found.tables, judged, strict=True):
        title = table.title.removeprefix(entry.asks).strip()
        parts += [title] if title else []
        parts += [_table(table), *([_verdicts(of)] if of else [])]
    parts += [f"![{path.stem}]({path.name})" for path in found.pictures]
    parts += [f"Missing: {text.removesuffix('.')}." for text in found.missing]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    """Ours, each line followed by the paper's of the same name; the paper's other lines at the end."""
    printed = {line.name: line for line in table.published}
    rows: list[cells.Line] = []
    for line in table.ours:
        rows.append(_row(line.name, line, table.metrics))
        if line.name in printed:
            rows.append(_row(f"*{line.name}, published*", printed.pop(line.name), table.metrics))
    rows += [_row(f"*{name}, published*", line, table.metrics) for name, line in printed.items()]
    return cells.table(("", *table.metrics), rows)


def _row(name: str, line: Line, metrics: Sequence[str]) -> cells.Line:
    return (name, *(_shown(line.values.get(metric)) for metric in metrics))


def _shown(value: Value) -> str:
    if value is None:
        return "-"
    if not isinstance(value, Mapping):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if "mean" not in value:
        return "-"
    if "interval" in value:
        low, high = value["interval"]
        return f"{value['mean']:.4g} ({low:.4g}–{high:.4g})"
    spread = value.get("spread_over_splits")
    return f"{value['mean']:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def _verdicts(of: Sequence[Judged]) -> str:
    return cells.table(("claim", "published gap", "our gap", "verdict"), map(_verdict, of))


def _verdict(one: Judged) -> cells.Line:
    gap = "-" if one.gap is None else f"{one.gap:.3g}"
    if one.half_width:
        gap += f" ± {one.half_width:.2g}"
    printed = "-" if one.published_gap is None else f"{one.published_gap:.3g}"
    return (f"{one.claim.metric}: {one.claim.larger} > {one.claim.smaller}", printed, gap, one.verdict)


def summary(results: Sequence[Result]) -> str:
    """One line an id: how many claims fell which way, and what is missing."""
    rows = []
    for result in results:
        of = [one.verdict for table in result.verdicts for one in table]
        counts = (str(of.count(verdict)) for verdict in VERDICTS)
        rows.append((result.entry.id, *counts, "; ".join(result.found.missing) or "-"))
    return cells.table(("id", *VERDICTS, "missing"), rows)
