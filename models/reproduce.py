"""Reproduce tables and figures of the source papers: train what is missing, measure, print ours beside theirs.

Writes, in `BUDGET-SEED/ID/`, `result.json` and `result.md` with the verdict on every ordering that the paper claims,
and its figures as PNG. Runs lie beside, in `runs/`, and are trained once, whichever ids share them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from manifests.errors import DataError, HqvoxError, Missing, UsageError
from manifests.table import write_text
from models import cells
from models.reproduction.budgets import folder_name, planned
from models.reproduction.entry import Entry, Found, Line, Member, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.table import find
from models.reproduction.verdict import VERDICTS, Judged, verdicts

FORMAT = "hq-vox reproduction 1"
_SMOKE = "A few iterations of tiny networks: this shows that everything runs; the figures are noise."
_WORST_FIRST: tuple[type[HqvoxError], ...] = (DataError, UsageError, Missing)


@dataclass(frozen=True, slots=True)
class Result:
    """What an id gave, and where it was written."""

    entry: Entry
    found: Found
    verdicts: tuple[tuple[Judged, ...], ...]  # of each table
    text: str  # as Markdown

    @property
    def failure(self) -> type[HqvoxError] | None:
        """What the id ends with: the worst of its errors; something missing is one only where nothing was measured."""
        held = any(value is not None for of in self.found.tables for line in of.ours for value in line.values.values())
        serious = (DataError, UsageError) if held or self.found.pictures else _WORST_FIRST
        return next((kind for kind in serious if any(isinstance(e, kind) for e in self.found.errors)), None)


def reproduce(ids: tuple[str, ...], lab: Lab) -> Iterator[Result]:
    """The results of ids, each written as soon as it is there; what stops one id does not stop the others.

    Raises UsageError for an unknown id, and at once what the manifests or a named judge raise.
    """
    entries = find(ids)
    lab.expect_inputs()
    for entry in entries:
        lab.say(f"{entry.id}: {entry.source}")
        try:
            found = entry.measure(lab, entry)
            _expect_finite(found)
        except HqvoxError as error:
            found = Found(errors=(error,))
        judged = tuple(tuple(verdicts(table)) for table in found.tables)
        result = Result(entry, found, judged, _markdown(lab, entry, found, judged))
        _write(lab, result)
        yield result


def _expect_finite(found: Found) -> None:
    try:
        json.dumps([asdict(table) for table in found.tables], allow_nan=False)
    except ValueError as error:
        raise DataError("a figure is no finite number: a run went wrong, delete its folder to train it anew") from error


def failure(results: Sequence[Result]) -> HqvoxError | None:
    """What all of it ends with: the worst that an id ended with, naming the ids that failed."""
    failed = [result for result in results if result.failure]
    for kind in _WORST_FIRST:
        if any(result.failure is kind for result in failed):
            return kind(f"{len(failed)} of {len(results)} ids failed: {', '.join(one.entry.id for one in failed)}")
    return None


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
        "missing": _missing(result.found),
        "failed": _failed(result.found),
    }
    write_text(folder / "result.json", json.dumps(told, indent=1, allow_nan=False) + "\n")
    write_text(folder / "result.md", result.text)


def _markdown(lab: Lab, entry: Entry, found: Found, judged: Sequence[Sequence[Judged]]) -> str:
    told = [f"Budget `{lab.budget}`, seed {lab.seed}.", *([_SMOKE] if lab.budget == "smoke" else [])]
    parts = [f"## {entry.id}: {entry.source}", entry.asks, " ".join([*told, *_shared(lab, entry)])]
    for table, of in zip(found.tables, judged, strict=True):
        title = table.title.removeprefix(entry.asks).strip()
        parts += [title] if title else []
        parts += [_table(table), *([_verdicts(of)] if of else [])]
    parts += [f"![{path.stem}]({path.name})" for path in found.pictures]
    parts += [f"Missing: {cells.plain(text.removesuffix('.'))}." for text in _missing(found)]
    parts += [f"Failed: {cells.plain(text.removesuffix('.'))}." for text in _failed(found)]
    return "\n\n".join(parts) + "\n"


def _missing(found: Found) -> list[str]:
    told = (str(error) for error in found.errors if isinstance(error, Missing))
    return list(dict.fromkeys((*found.missing, *told)))


def _failed(found: Found) -> list[str]:
    return list(dict.fromkeys(str(error) for error in found.errors if not isinstance(error, Missing)))


def _shared(lab: Lab, entry: Entry) -> list[str]:
    """Which lines of the paper, each a model of its own there, are one trained run at this budget."""
    runs: dict[str, list[Member]] = {}
    for member in dict.fromkeys(entry.members):
        runs.setdefault(folder_name(member, lab.budget), []).append(member)
    told = []
    for run, members in runs.items():
        if len(members) > 1:
            frames = getattr(planned(members[0], lab.budget)[1], "frames", None)
            crops = f", trained on crops of {frames[0]} to {frames[1]} frames of 10 ms," if frames else ""
            told.append(f"One model, `{run}`{crops} stands for {' and '.join(member.name for member in members)}.")
    return told


def _table(table: Table) -> str:
    """Ours, each line followed by the paper's of the same name; the paper's other lines at the end."""
    printed = {line.name: line for line in table.published}
    metrics = table.metrics
    counts = {line.name: _items(line, metrics) for line in table.ours}
    head: cells.Line = ("N", *metrics) if any(counts.values()) else metrics
    rows: list[cells.Line] = []
    for line in table.ours:
        rows.append(_row(line.name, line, head, counts[line.name]))
        if line.name in printed:
            rows.append(_row(f"*{line.name}, published*", printed.pop(line.name), head))
    rows += [_row(f"*{name}, published*", line, head) for name, line in printed.items()]
    return cells.table(("", *head), rows)


def _items(line: Line, metrics: Sequence[str]) -> str:
    """Of how many people, or whatever else a mean is over, a line's figures are; several numbers where they differ."""
    values = [line.values.get(metric) for metric in metrics]
    return ", ".join(map(str, dict.fromkeys(v["items"] for v in values if isinstance(v, Mapping) and "items" in v)))


def _row(name: str, line: Line, head: cells.Line, items: str = "") -> cells.Line:
    return (name, *(items or "-" if metric == "N" else _shown(line.values.get(metric)) for metric in head))


def _shown(value: Value) -> str:
    if value is None:
        return "-"
    if not isinstance(value, Mapping):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if "mean" not in value:
        return "-"
    if "interval" in value:
        low, high = value["interval"]
        if low == high == value["mean"] and "items" not in value:  # not measured: it is known
            return f"{low:.4g}"
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
        rows.append((result.entry.id, *counts, "; ".join((*_missing(result.found), *_failed(result.found))) or "-"))
    return cells.table(("id", *VERDICTS, "missing or failed"), rows)
