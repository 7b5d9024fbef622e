"""Reports of `models.matching` as Markdown: beside the papers' figures, and beside each other."""

from collections.abc import Sequence

from models.cells import Line, Report, cautions, name_of, percent, plain, share, table
from models.literature import MATCHERS, PublishedMatcher

FORMAT = "hq-vox matching 1"
_TITLES = {
    "U": "any impostor",
    "G": "same gender",
    "N": "same nationality",
    "GN": "same gender and nationality",
}
_WAYS = ("V-F", "F-V")
_PLOTTED = tuple(range(2, 11))
_KS = ("1", "2", "5", "10")


def markdown(reports: Sequence[Report]) -> str:
    """Tables per data and protocol: numbers that cannot be compared never share a column."""
    kinds: dict[str, list[Report]] = {}
    for report in reports:
        kinds.setdefault(_title(report), []).append(report)
    return "\n\n".join("\n\n".join((title, *_tables(of), *_notes(of))) for title, of in kinds.items()) + "\n"


def _title(report: Report) -> str:
    data, protocol = report["data"], report["protocol"]
    return plain(
        f"Matching of voices and faces: {data['people']} people of split `{data['split']}` (manifest "
        f"{data['manifest'][:12]}); seed {protocol['seed']}, {protocol['runs']} runs of {protocol['trials']} or more "
        f"trials, {protocol['most']} media of a person at most, of recordings the first {protocol['longest_s']} s "
        "at most. V-F: a voice asks faces; F-V: a face asks voices. Per cent; in brackets 95 % intervals over people."
    )


def _tables(reports: Sequence[Report]) -> list[str]:
    """Choices among two and ten by stratum, choices by number, verification and retrieval."""
    systems = {report["checkpoint"]["experiment"] for report in reports}
    papers = [paper for paper in MATCHERS if paper.experiment in systems]
    tables = []
    for way in _WAYS:
        heads = [(k, stratum) for k in (2, 10) for stratum in _TITLES]
        ours = [_choice_line(report, way, heads) for report in reports]
        if any(any(cell != "-" for cell in line[1:]) for line in ours):
            blind = [_blind(reports, way, heads, name) for name in ("chance", "gender_only")]
            head = ("system", *(f"{way} {k}-way, {_TITLES[stratum]}" for k, stratum in heads))
            tables.append(table(head, [*blind, *ours, *(_paper(paper, way, heads) for paper in papers)]))
    plotted = [("U", way) for way in _WAYS]
    lines = [
        _choice_line(report, way, [(k, "U") for k in _PLOTTED], f", {way}") for report in reports for _, way in plotted
    ]
    if any(cell != "-" for line in lines for cell in line[2:]):
        tables.append(table(("system", *(f"{k}-way" for k in _PLOTTED)), [("chance", *map(_one_in, _PLOTTED)), *lines]))
    return [*tables, *_by_group(reports), *_pairs(reports, papers)]


def _one_in(candidates: int) -> str:
    return share(1 / candidates)


def _found(report: Report, way: str, candidates: int, stratum: str) -> Report | None:
    key = {"way": way, "candidates": candidates, "stratum": stratum}
    return next((one for one in report["choices"] if key.items() <= one.items()), None)


def _choice_line(report: Report, way: str, heads: Sequence[tuple[int, str]], told: str = "") -> Line:
    return (name_of(report) + told, *(percent(_found(report, way, *head)) for head in heads))


def _blind(reports: Sequence[Report], way: str, heads: Sequence[tuple[int, str]], name: str) -> Line:
    """What needs no voice, or only the gender in it."""
    cells = []
    for head in heads:
        held = [one[name] for report in reports if (one := _found(report, way, *head)) is not None and name in one]
        cells.append(share(held[0] if held else None))
    return ({"chance": "chance", "gender_only": "perfect gender only"}[name], *cells)


def _paper(paper: PublishedMatcher, way: str, heads: Sequence[tuple[int, str]]) -> Line:
    known = {"V-F": paper.v_f, "F-V": paper.f_v}[way]
    cells = (known.get(head) for head in heads)
    return (f"*{paper.source}, other data*", *("-" if value is None else f"{value:.2f}" for value in cells))


def _by_group(reports: Sequence[Report]) -> list[str]:
    """Accuracy with fewest candidates, by gender and nationality of who asks."""
    tables = []
    for name in ("gender", "nationality"):
        values = sorted({value for report in reports for value in report["groups"].get(name, ())})
        if values:
            lines = [
                (
                    f"{name_of(report)}, {report['groups']['way']} {report['groups']['candidates']}-way",
                    *(percent(report["groups"][name].get(value)) for value in values),
                )
                for report in reports
                if name in report["groups"]
            ]
            tables.append(table((f"by {name}", *values), lines))
    return tables


def _pairs(reports: Sequence[Report], papers: Sequence[PublishedMatcher]) -> list[str]:
    """Equal error rate, area under the ROC, mean average precision and hits among 100 people."""
    able = [report for report in reports if "why" not in report["verification"]]
    if not able:
        return []
    verification = [
        (
            name_of(report),
            *(
                percent(report["verification"][s].get(metric))
                for metric in ("eer", "auc")
                for s in ("U", "G", "N", "GN")
            ),
        )
        for report in able
    ]
    heads = [f"{metric}, {title}" for metric in ("EER", "AUC") for title in _TITLES.values()]
    told = [(f"*{p.source}, other data*", *_given(p.eer), *("-",) * 4) for p in papers if p.eer]
    return [
        table(("system", *heads), [("chance", *["50.0"] * 8), *verification, *told]),
        *(_retrieval(able, papers, way) for way in _WAYS),
    ]


def _retrieval(reports: Sequence[Report], papers: Sequence[PublishedMatcher], way: str) -> str:
    """One way's, which has galleries, and so a chance, of its own: people have more recordings than faces."""
    found = [(name_of(report), report["retrieval"][way]) for report in reports]
    ours = [(name, percent(one["map"]), *(percent(one["among"].get(k)) for k in _KS)) for name, one in found]
    first = found[0][1]
    among = first["among"]
    blind = ("chance", share(first["map"]["chance"]), *(share(among[k]["chance"] if k in among else None) for k in _KS))
    maps = [
        (f"*{p.source}, other data*", f"{value:.2f}", *("-",) * 4)
        for p in papers
        for of, value in p.precision
        if of == way
    ]
    size = f"{among['people']} x {among['of_each']}"
    return table((f"{way}, of {first['gallery']}", "mAP", *(f"R@{k} of {size}" for k in _KS)), [blind, *ours, *maps])


def _given(values: Sequence[float | None]) -> list[str]:
    return ["-" if value is None else f"{value:.2f}" for value in values]


def _notes(reports: Sequence[Report]) -> list[str]:
    """What a reader must know, once per report."""
    notes = []
    for report in reports:
        lacking = report["verification"].get("why")
        told = [f"no verification nor retrieval: {lacking}"] if lacking else []
        if told := [*told, *cautions(report)]:
            notes.append(plain(f"{name_of(report)}: {'; '.join(told)}."))
    return notes
