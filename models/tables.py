"""Evaluations as Markdown: beside the papers' figures, and beside each other."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from manifests.errors import DataError, Missing
from models import matching_tables
from models.cells import Line, Report, cautions, name_of, number, percent, plain, share, table
from models.literature import PUBLISHED, VOICE2FACE, Published, PublishedMatching

FORMAT = "hq-vox evaluation 1"
_KS = ("1", "2", "5", "10", "20", "50")
_SF2F = ("system", "voice", "cosine", "L1", *(f"R@{k}" for k in _KS), "R@10 among all", "VFS rgb", "VFS bgr")
_VOICE2FACE = (
    "system", "voice", "matching", "same gender", "gender", "top-1", "top-5", "collapse", "Fréchet",
)  # fmt: skip


def read(path: Path) -> Report:
    """A report that `models evaluate` wrote. Raises Missing if there is none, DataError for anything else."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Missing(f"no report {path}: `models evaluate` makes one") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}): run `models evaluate` again") from error
    if not isinstance(report, dict) or report.get("format") not in (FORMAT, matching_tables.FORMAT):
        either = f"{FORMAT!r} or {matching_tables.FORMAT!r}"
        raise DataError(f"{path} is no report of `models evaluate`: expected JSON of format {either}")
    if path_to := next(_not_finite(report, ""), None):
        raise DataError(f"{path}: {path_to} is no finite number: the run or its judge went wrong, evaluate another one")
    try:
        markdown([report])
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DataError(f"{path} lacks what a report has ({error!r}): run `models evaluate` again") from error
    return report


def _not_finite(held: Any, name: str) -> Iterator[str]:
    """Where, in JSON, numbers are that are none."""
    if isinstance(held, float) and not math.isfinite(held):
        yield name
    items = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for key, value in items:
        yield from _not_finite(value, f"{name}.{key}".lstrip("."))


def markdown(reports: Sequence[Report]) -> str:
    """Tables per judge, classifier, data and protocol: numbers that cannot be compared never share a column.

    Reports of matching have tables of their own.
    """
    groups: dict[str, list[Report]] = {}
    matched = [report for report in reports if report["format"] == matching_tables.FORMAT]
    for report in reports:
        if report["format"] == FORMAT:
            groups.setdefault(_group(report), []).append(report)
    shown = ["\n\n".join((title, *_tables(of), *_notes(of))) + "\n" for title, of in groups.items()]
    return "\n".join([*shown, matching_tables.markdown(matched)] if matched else shown)


def _group(report: Report) -> str:
    judge, data, protocol, classifier = (report[name] for name in ("judge", "data", "protocol", "classifier"))
    by = f"`{classifier['name']}` (sha256 {classifier['sha256'][:12]})" if "name" in classifier else "no classifier"
    sizes = ", ".join(map(str, sorted(set(protocol["gallery"]), reverse=True)))
    return plain(
        f"Judge `{judge['name']}` (sha256 {judge['sha256'][:12]}), VFS by {by}; {data['people']} people of split "
        f"`{data['split']}` (manifest {data['manifest'][:12]}); protocol `{protocol['name']}`, seed "
        f"{protocol['seed']}, galleries: {len(protocol['gallery'])}, of {sizes} people. Shares in per cent; in "
        "brackets 95 % intervals over people."
    )


def _tables(reports: Sequence[Report]) -> tuple[str, str]:
    """SF2F's measures and voice2face's, each: chance, gender alone, the ceiling, ours, the paper's."""
    row = reports[0]["rows"][0]
    ours = [(name_of(report), one) for report in reports for one in report["rows"]]
    real = reports[0]["real"]
    if "why" not in real:
        shown = {"name": f"{real['people']} people", "gender": reports[0]["gender_probe"]}
        ours.insert(0, ("real photograph", real | shown))
    experiments = {report["checkpoint"]["experiment"] for report in reports}
    first = [_blind(name, row, key) for name, key in (("chance", "chance"), ("perfect gender only", "gender_only"))]
    second = [_blind_matching("chance", row, "chance"), _blind_matching("perfect gender only", row, "gender_only")]
    return (
        table(
            _SF2F,
            [*first, *(_line(*one) for one in ours), *(_paper(p) for p in PUBLISHED if p.experiment in experiments)],
        ),
        table(
            _VOICE2FACE,
            [
                *second,
                *(_matching(*one) for one in ours),
                *(_paper_matching(p) for p in VOICE2FACE if p.system in experiments),
            ],
        ),
    )


def _notes(reports: Sequence[Report]) -> list[str]:
    """What a reader must know, once per report."""
    notes = [
        "Top-1 and top-5: faces for recordings of training people, which were trained on, named by the nearest of all "
        "their real faces."
    ]
    for report in reports:
        told = []
        if "why" in report["classifier"]:
            told.append(f"VFS: {report['classifier']['why']}")
        if "why" in report["real"]:
            told.append(f"no ceiling: {report['real']['why']}")
        probe = report["gender_probe"]
        told.append(f"gender probe on real faces: {probe['why'] if 'why' in probe else percent(probe)}")
        if metric := report["checkpoint"].get("chosen_by"):
            judge = report["trained_on"].get("validation_judge")
            by = metric if judge is None else f"{metric} (judge {judge['name']})"
            told.append(f"chosen on split val as the best of its run by {by}")
        told += cautions(report)
        notes.append(plain(f"{name_of(report)}: {'; '.join(told)}."))
    return notes


def _line(name: str, row: Report) -> Line:
    recall = [percent(row["recall"].get(k)) for k in _KS]
    among_all = percent(row["recall_among_all"].get("10"))
    vfs = [_face_score(row["vfs"], order) for order in ("rgb", "bgr")]
    return (name, row["name"], number(row["cosine"], 3), number(row["l1"], 2), *recall, among_all, *vfs)


def _matching(name: str, row: Report) -> Line:
    shares = [row[title] for title in ("matching", "matching_same_gender")]
    closed = row.get("closed_set", {})
    shares += [row.get("gender"), closed.get("top_1"), closed.get("top_5")]
    return (name, row["name"], *map(percent, shares), f"{row['collapse']:.2f}", f"{row['frechet']['mean']:.3f}")


def _blind(name: str, row: Report, key: str) -> Line:
    """What needs no voice, or only the gender in it."""
    recall = [row["recall"].get(k, {}).get(key) for k in _KS]
    among_all = row["recall_among_all"].get("10", {}).get(key)
    return (name, "-", "-", "-", *map(share, (*recall, among_all)), "-", "-")


def _blind_matching(name: str, row: Report, key: str) -> Line:
    known = [row[title].get(key) for title in ("matching", "matching_same_gender", "gender")]
    closed = [row["closed_set"].get(title, {}).get(key) for title in ("top_1", "top_5")]
    return (name, "-", *map(share, (*known, *closed)), "-", "-")


def _paper(published: Published) -> Line:
    voice = f"{published.seconds:g} s{', fused' if published.fused else ''}"
    recall = [f"{value:.2f}" for value in published.recall] + ["-"] * (len(_KS) - len(published.recall))
    vfs = f"{published.vfs:.2f}" + ("" if published.vfs_spread is None else f" ± {published.vfs_spread:.2f}")
    name = f"*SF2F, Table {published.table}: {published.experiment}, other data and judge*"
    return (name, voice, f"{published.cosine:.3f}", f"{published.l1:.2f}", *recall, "-", vfs, "-")


def _paper_matching(published: PublishedMatching) -> Line:
    values = (published.matching, published.same_gender, published.gender, published.top_1, published.top_5)
    name = f"*{published.source}, other data and judge*"
    return (name, published.voice, *("-" if value is None else f"{value:.2f}" for value in values), "-", "-")


def _face_score(scores: Report, order: str) -> str:
    """With the number of faces, on which it depends."""
    if order not in scores:
        return "-"
    return f"{scores[order]['mean']:.2f} ± {scores[order]['spread_over_splits']:.2f} (N {scores['faces']})"
