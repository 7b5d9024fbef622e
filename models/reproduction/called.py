"""What drawn faces are called, and what the real ones are: gender, age, ethnicity, by linear probes of real faces."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from manifests.errors import Missing
from models import agreement, charts, metrics, probes
from models.agreement import AGE_GROUPS
from models.reproduction.entry import Entry, Found, Line, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.measures import percent, portraits, published_by
from models.reproduction.people import absent
from models.reproduction.spoken import GENDERS, Ask, Studio

_THEIRS = "a commercial service"  # Face++
REAL = "real faces"  # of split `test`: the line of what a probe makes of them


def genders(lab: Lab, entry: Entry, asked: Sequence[Ask], beside: Mapping[str, Table] = MappingProxyType({})) -> Found:
    """What a probe of real faces calls drawn ones, against what it calls each person's real face (row-normalised).

    `beside` are published tables of other labels, by these.
    """
    ours: list[Line] = []
    probe: list[Line] = []  # how far to trust it: real faces by the manifest's genders
    pictures: list[Path] = []
    for ask in asked:
        studio = Studio(lab, ask.member)
        known = probes.known(lab.corpus(studio.model, "train"), lab.judge, None)
        if known.gender is None:
            raise Missing(known.why_no_gender)
        wanted, found = (
            [GENDERS[int(not female)] for female in known.gender.female(lab.judge.embed(faces)).tolist()]
            for faces in (portraits(studio.corpus).float() / 255, studio.drawn(studio.of(ask)))
        )
        told = [(of, said) for of, said in zip(studio.corpus.packed.genders, wanted, strict=True) if of in GENDERS]
        probe = [Line(REAL, _agreed([str(of) for of, _ in told], [said for _, said in told]))]
        path = lab.pictures(entry.id) / f"gender-{len(pictures)}.png"
        counts = agreement.confusion(wanted, found, GENDERS)
        pictures.append(charts.matrix(path, f"gender, {ask.line}", ("real face", "drawn face"), GENDERS, counts))
        ours.append(Line(ask.line, _agreed(wanted, found)))
    title = f"{entry.asks} {REAL.capitalize()}: what the probe calls them, by the manifest's genders."
    title += published_by(entry, _THEIRS)
    table = Table(title, entry.metrics, (*probe, *ours), entry.published, entry.claims)
    if not beside:
        return Found((table,), tuple(pictures))
    others = tuple(_named(lab, asked[0], label, printed) for label, printed in beside.items())
    return Found((table, *others), tuple(pictures), absent(lab.labels, tuple(beside)))


def _named(lab: Lab, ask: Ask, label: str, printed: Table) -> Table:
    """A published confusion matrix beside ours, where the label is known of the people."""
    if label not in lab.labels:
        return printed
    kinds = tuple(dict.fromkeys((*printed.metrics, *sorted(set(lab.labels[label].values())))))
    _, wanted, found = _called(lab, ask, label)
    shares = agreement.by_row(agreement.confusion(wanted, found, kinds))
    ours = tuple(Line(kind, dict(zip(kinds, row, strict=True))) for kind, row in zip(kinds, shares, strict=True))
    return Table(f"{printed.title} Published lines are by {_THEIRS}.", kinds, ours, printed.published)


def _called(lab: Lab, ask: Ask, label: str) -> tuple[list[str | None], list[str], list[str]]:
    """Each person's label, and what a linear probe of the training people calls their real face and the drawn one."""
    studio = Studio(lab, ask.member)
    train = lab.corpus(studio.model, "train")
    known = [lab.labels[label].get(train.packed.people[person]) for person in metrics.owners(train).tolist()]
    if len(set(known) - {None}) < 2:
        raise Missing(f"two values of `{label}` or more among the people of split `train`, in the CSV of --people")
    probe = metrics.LinearLabels(metrics.embedded(lab.judge, train), known)
    wanted, found = (
        probe.of(lab.judge.embed(faces))
        for faces in (portraits(studio.corpus).float() / 255, studio.drawn(studio.of(ask)))
    )
    return [lab.labels[label].get(person) for person in studio.corpus.packed.people], wanted, found


def ages(lab: Lab, entry: Entry, asked: Sequence[Ask]) -> Found:
    """Age groups of drawn faces against those of real ones, by a probe of the training people's ages."""
    if lacks := absent(lab.labels, ("age",)):
        table = Table(entry.asks, entry.metrics, (), entry.published, entry.claims)
        return Found((table,), errors=tuple(map(Missing, lacks)))
    ours: list[Line] = []
    probe: list[Line] = []  # how far to trust it: real faces by the ages of --people
    for ask in asked:
        known, wanted, found = _called(lab, ask, "age group")
        told = [(of, said) for of, said in zip(known, wanted, strict=True) if of is not None]
        probe = [Line(REAL, _grouped([of for of, _ in told], [said for _, said in told]))]
        ours.append(Line(ask.line, _grouped(wanted, found)))
    title = f"{entry.asks} {REAL.capitalize()}: what the probe calls them, by the ages of --people."
    title += published_by(entry, _THEIRS)
    return Found((Table(title, entry.metrics, (*probe, *ours), entry.published, entry.claims),))


def _grouped(wanted: Sequence[str], found: Sequence[str]) -> dict[str, Value]:
    return {name: percent(share) for name, share in agreement.agreement(wanted, found, AGE_GROUPS).items()}


def _agreed(wanted: Sequence[str], found: Sequence[str]) -> dict[str, Value]:
    names = {"f": "female", "m": "male", "total": "total"}
    return {names[name]: percent(share) for name, share in agreement.agreement(wanted, found, GENDERS).items()}
