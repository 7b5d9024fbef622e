"""E-ALL-01: every generator on one manifest, by one judge. And E-PLUS-01: what SF2F+ adds to SF2F, part by part."""

from dataclasses import replace
from functools import partial

from models import system
from models.reproduction.ar_spm import BEST
from models.reproduction.budgets import planned
from models.reproduction.entry import Claim, Entry, Found, Line, Member, Table, Value
from models.reproduction.i2g import I2G
from models.reproduction.lab import Lab
from models.reproduction.measures import RECALLS, SF2F_METRICS, Heard, each, judged, members, percent, row_of, scores_of
from models.reproduction.sf2f import SF2F, V2F
from models.reproduction.speech2face import S2F
from models.scores import Figure

METRICS = (
    "pixels", "cosine", "L1", "L2", *RECALLS, "VFS", "matching", "same gender", "gender", "top-1", "top-5", "collapse",
    "collapsed", "Fréchet", "Fréchet N", "parameters", "training_s",
)  # fmt: skip
_GROUPED = ("people", "cosine", "R@10")
_HOW = "5 s, fused"
_WAV2PIX = Member("Wav2Pix", "wav2pix", "wav2pix-small")
GENERATORS = (V2F, SF2F, S2F, replace(BEST, name="AR-SPM"), I2G, _WAV2PIX)


def compared(lab: Lab, entry: Entry) -> Found:
    """One line a generator between chance and a real photograph; then the same by gender and by nationality."""
    reports: dict[str, Figure] = {}

    def line(member: Member) -> Line:
        told = lab.report(member)
        reports[member.name] = told
        whole: dict[str, Value] = {
            "pixels": _side(lab, member),
            "parameters": float(sum(told["checkpoint"]["parameters"].values())),
            "training_s": lab.training_seconds(member),
        }
        return Line(member.name, scores_of(row_of(told, _HOW)) | whole)

    ours, errors = each(entry.members, line)
    if not reports:
        return Found(errors=errors)
    asked = [member for member in entry.members if member.name in reports]
    first = reports[asked[0].name]
    blind = (_blind(name, row_of(first, _HOW), key) for name, key in _BLIND.items())
    known = (*blind, *_ceiling(first, _side(lab, asked[0])))
    by = lab.judge
    title = f"{entry.asks} Judge `{by.name}` (sha256 {by.sha256[:12]}); 5 s of speech, fused where a system can."
    title += " Top-1 and top-5 name training people. Fréchet: N generated faces against Fréchet N real ones."
    title += " Each is compared with photographs at its own side, in pixels. Parameters are those of all networks of a"
    title += " checkpoint, discriminators too; `models generate` needs fewer."
    tables = [Table(title, METRICS, (*known, *ours), entry.published, entry.claims)]
    for group in ("gender", "nationality"):
        lines = [
            Line(f"{name}, {value}", _of_group(figures))
            for name, told in reports.items()
            for value, figures in row_of(told, _HOW)["groups"][group].items()
        ]
        tables.append(Table(f"By {group}.", _GROUPED, tuple(lines)))
    why = first["classifier"].get("why")
    return Found(tuple(tables), missing=(f"VFS: {why}",) if why else (), errors=errors)


_BLIND = {"chance": "chance", "perfect gender only": "gender_only"}


def _blind(name: str, row: Figure, key: str) -> Line:
    """What needs no voice, or only the gender in it."""
    values = {f"R@{k}": figure.get(key) for k, figure in row["recall"].items()}
    values |= {"matching": row["matching"].get(key), "same gender": row["matching_same_gender"].get(key)}
    values["gender"] = row["gender"].get(key)
    return Line(name, {metric: None if share is None else 100 * share for metric, share in values.items()})


def _side(lab: Lab, member: Member) -> float:
    """Pixels of a generator's faces, and so of the photographs that they are compared with."""
    experiment, settings = planned(member, lab.budget)
    return float(system.load(experiment.system).side(settings))


def _ceiling(told: Figure, pixels: float) -> tuple[Line, ...]:
    """A real photograph in the place of a generated face."""
    real = told["real"]
    if "why" in real:
        return ()
    blank: Figure = {"gender": told["gender_probe"], "closed_set": {}}
    return (Line("real photograph", scores_of(real | blank) | {"pixels": pixels}),)


def _of_group(figures: Figure) -> dict[str, Value]:
    return {"people": float(figures["people"]), "cosine": figures["cosine"], "R@10": percent(figures.get("recall_10"))}


_CLAIMS = (Claim("R@10", "SF2F", "voice2face"), Claim("cosine", "SF2F", "voice2face"))

# What SF2F+ adds to SF2F, taken away one by one. The small preset of SF2F is SF2F+ already: SF2F without the two needs
# more than minutes.
_PLUS = Member("SF2F+", "sf2f-plus", "sf2f-small")
_NO_ALIGNMENT = Member("SF2F+ w/o alignment", "sf2f-plus", "sf2f-small", ("alignment=0",), ("alignment=0",))
_NO_CONTRAST = Member("SF2F+ w/o contrast", "sf2f-plus", "sf2f-small", ("contrast=0",), ("contrast=0",))
_NEITHER = Member("SF2F", "sf2f-64", "sf2f-small", ("alignment=0", "contrast=0"))
_PARTS = tuple(Heard(one.name, one, _HOW) for one in (_NEITHER, _NO_ALIGNMENT, _NO_CONTRAST, _PLUS))

ENTRIES = (
    Entry(
        "E-ALL-01", "ours", "Every generator on one manifest.", compared, GENERATORS, METRICS, claims=_CLAIMS
    ),
    Entry(
        "E-PLUS-01", "ours", "What the alignment and the contrast of SF2F+ add.", partial(judged, heard=_PARTS),
        members(_PARTS), (*SF2F_METRICS, "matching", "same gender"),
        claims=tuple(Claim("R@10", "SF2F+", one.line) for one in _PARTS[:-1])
    ),
)  # fmt: skip
