"""Evaluations as Markdown: beside the paper's figures, and beside each other."""

from collections.abc import Sequence
from typing import Any

from models.literature import PUBLISHED, Published

_KS = ("1", "2", "5", "10")
_HEAD = (
    "system", "voice", "cosine", "L1", *(f"R@{k}" for k in _KS), "R@10 among all", "matching", "same gender",
    "gender", "collapse",
)  # fmt: skip


def markdown(reports: Sequence[dict[str, Any]]) -> str:
    """One table per judge, data and protocol: numbers that cannot be compared never share a column."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        groups.setdefault(_group(report), []).append(report)
    return "\n\n".join(f"{title}\n\n{_table(of)}" for title, of in groups.items()) + "\n"


def _group(report: dict[str, Any]) -> str:
    judge, data, protocol = report["judge"], report["data"], report["protocol"]
    galleries = protocol["gallery"]
    return (
        f"Judge `{judge['name']}` (sha256 {judge['sha256'][:12]}), {data['people']} people of split `{data['split']}` "
        f"(manifest {data['manifest'][:12]}), protocol `{protocol['name']}`, {len(galleries)} galleries of "
        f"{min(galleries)}. Recall, matching and gender in per cent; in brackets 95 % intervals over people."
    )


def _table(reports: Sequence[dict[str, Any]]) -> str:
    lines: list[tuple[str, ...]] = [_HEAD, ("---",) * len(_HEAD)]
    first = reports[0]["rows"][0] if "recall" in reports[0]["rows"][0] else reports[0]["rows"][1]
    lines += [_baseline("chance", "chance", first), _baseline("perfect gender only", "gender_only", first)]
    for report in reports:
        for row in report["rows"]:
            real = row["name"] == "real photograph"
            if not real or report is reports[0]:
                lines.append(_line("real photograph" if real else _name(report), row))
    for published in PUBLISHED:
        if published.experiment in {report["checkpoint"]["experiment"] for report in reports}:
            lines.append(_paper(published))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _name(report: dict[str, Any]) -> str:
    checkpoint = report["checkpoint"]
    return f"{checkpoint['experiment']}, seed {checkpoint['seed']} ({checkpoint['sha256'][:8]})"


def _line(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    if "cosine" not in row:
        return (name, row["why"], *("-",) * (len(_HEAD) - 2))
    recall = [_percent(row["recall"].get(k)) for k in _KS]
    return (
        name,
        "-" if row["name"] == name else row["name"],
        _number(row["cosine"], 3),
        _number(row["l1"], 2),
        *recall,
        _percent(row["recall_among_all"].get("10")),
        *(_percent(row.get(title)) for title in ("matching", "matching_same_gender", "gender")),
        f"{row['collapse']:.2f}",
    )


def _baseline(name: str, key: str, row: dict[str, Any]) -> tuple[str, ...]:
    """A line that needs no voice."""

    def at(where: str, k: str) -> str:
        value = row[where].get(k, {}).get(key)
        return "-" if value is None else f"{100 * value:.1f}"

    matching = "50.0" if key == "chance" else "-"
    same = "50.0"
    return (
        name,
        "-",
        "-",
        "-",
        *(at("recall", k) for k in _KS),
        at("recall_among_all", "10"),
        matching,
        same,
        "-",
        "-",
    )


def _paper(published: Published) -> tuple[str, ...]:
    voice = f"{published.seconds:g} s{', fused' if published.fused else ''}"
    recall = [f"{value:.2f}" for value in published.recall]
    rest = ("-",) * (len(_HEAD) - 8)
    name = f"*SF2F, Table {published.table}: {published.experiment}, other data and judge*"
    return (name, voice, f"{published.cosine:.3f}", f"{published.l1:.2f}", *recall, *rest)


def _number(figure: dict[str, Any], digits: int) -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _percent(figure: dict[str, Any] | None) -> str:
    if figure is None or "mean" not in figure:
        return "-"
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}–{100 * high:.1f})"
