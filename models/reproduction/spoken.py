"""What Speech2Face and AR-SPM are asked: features that voices say against those that faces show, and what is drawn."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manifests.errors import Missing
from models import ar_spm, charts, craniofacial, distances, metrics, speech2face, tsne
from models.face_features import PUBLISHED
from models.feature_decoders import Drawn
from models.listening import FRAMES_PER_S
from models.reproduction.conditioned import DISTANCES, found_among, galleries_of, random_line
from models.reproduction.entry import Entry, Found, Line, Member, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.measures import bytes_of, everybody, percent, portraits, published_by, sheet, together
from models.reproduction.people import COLUMNS, absent
from models.scores import figure

FEATURE_METRICS = ("L1", "L2", "degrees", "L1'", "L2'", "degrees'")  # primed: of the drawn face, seen again
_MODULES: dict[str, ModuleType] = {"speech2face": speech2face, "ar_spm": ar_spm}
_AT_ONCE = 32
_SHOWN = 8
_SECONDS = 6.0
GENDERS = ("f", "m")
_SIDE = 64  # pixels; any: only whether there are landmarks is asked


class Ask(NamedTuple):
    """A line of a table: a member, how many seconds it hears, or None: it is shown the face instead (face-to-face)."""

    line: str
    member: Member
    seconds: float | None = _SECONDS


def decoder_of(full: str, small: str) -> Member:
    """The face decoder of an experiment, trained once for all who begin with it."""
    return Member("face decoder", full, small, ("iterations=0",), ("iterations=0",))


def encoder_on(decoder: Member, name: str, *changes: str) -> Member:
    """A voice encoder on a decoder that is trained already."""
    both = ("decoder_iterations=0", *changes)
    return Member(name, decoder.full, decoder.small, both, both, start=decoder, full_start=decoder)


class Studio:
    """A trained Speech2Face or AR-SPM with the people of split `test`."""

    def __init__(self, lab: Lab, member: Member) -> None:
        self.lab, self.model = lab, lab.model(member)
        self.module = _MODULES[self.model.facts["system"]]
        self.corpus = lab.corpus(self.model)

    def shown(self) -> Tensor:
        """The mean feature of all faces of each person, (N, 4096)."""
        every = self.every()
        return metrics.mean_of_each(every, metrics.owners(self.corpus), self.corpus.n_people, renormalised=False)

    def every(self) -> Tensor:
        """The feature of every face, (faces, 4096)."""
        return self.lab.features.of_all(self.corpus.faces, self.model.settings.rectified)

    @torch.no_grad()
    def said(self, seconds: float) -> Tensor:
        """The features that the first seconds of a recording of each person say, (N, 4096)."""
        networks, settings = self.model.networks, self.model.settings
        batches = everybody(self.lab, self.corpus, round(seconds * FRAMES_PER_S))
        return torch.cat([self.module.embed(networks, settings, batch).cpu() for batch in batches])

    def of(self, ask: Ask) -> Tensor:
        """The features that a line is about."""
        return self.shown() if ask.seconds is None else self.said(ask.seconds)

    @torch.no_grad()
    def drawn(self, features: Tensor) -> Tensor:
        """The pictures of features, (N, 3, S, S) in 0..1."""
        made = [self._decode(part) for part in torch.split(features, _AT_ONCE)]
        return torch.cat([one.picture if isinstance(one, Drawn) else one for one in made])

    @torch.no_grad()
    def landmarks(self, features: Tensor) -> Tensor | None:
        """Where the decoder puts the 68 landmarks, (N, 68, 2); None where it puts none."""
        made = [self._decode(part) for part in torch.split(features, _AT_ONCE)]
        found = [one.landmarks for one in made if isinstance(one, Drawn) and one.landmarks is not None]
        return torch.cat(found).cpu() if found else None

    def _decode(self, features: Tensor) -> Any:
        return self.model.networks["decoder"](features.to(self.lab.device))


def feature_table(lab: Lab, entry: Entry, asked: Sequence[Ask]) -> Found:
    """Distances of features: unprimed said against shown, primed of the drawn face against the real one."""
    ours = []
    for ask in asked:
        studio = Studio(lab, ask.member)
        shown, found = studio.shown(), studio.of(ask)
        again = lab.features.of_all(bytes_of(studio.drawn(found)), studio.model.settings.rectified)
        values: dict[str, Value] = {}
        for mark, features in (("", found), ("'", again)):
            if mark or ask.seconds is not None:  # what is shown is at no distance from itself
                values |= {f"{n}{mark}": figure([v]) for n, v in distances.feature_distances(features, shown).items()}
        ours.append(Line(ask.line, values))
    title = f"{entry.asks} {_features_of(lab, entry)}"
    return Found((Table(title, entry.metrics, tuple(ours), entry.published, entry.claims),))


def _features_of(lab: Lab, entry: Entry) -> str:
    """Whose features ours are, and the papers' where these are others."""
    by = lab.features
    return f"Features of `{by.name}` (sha256 {by.sha256[:12]}).{published_by(entry, 'VGG-Face', by.name == PUBLISHED)}"


def retrieved(lab: Lab, entry: Entry, asked: Sequence[Ask]) -> Found:
    """Real faces found by what a voice says, among as many of each of 100 people, by every distance."""
    ours, people, of_each = [], 0, 0
    for ask in asked:
        studio = Studio(lab, ask.member)
        query, gallery, owner = studio.of(ask), studio.every(), metrics.owners(studio.corpus)
        people, of_each = len(query), int(studio.corpus.portraits[1].min())
        ours += [
            Line(f"{ask.line}, {distance}", found_among(query, gallery, owner, of_each, distance, lab.seed))
            for distance in DISTANCES
        ]
    ours.append(random_line(people, of_each))
    title = f"{entry.asks} {galleries_of(people, of_each)} {_features_of(lab, entry)}"
    return Found((Table(title, entry.metrics, tuple(ours), entry.published, entry.claims),))


def drawings(lab: Lab, entry: Entry, asked: Sequence[Ask], rows: Sequence[int] | None = None) -> Found:
    """Real faces beside what each line draws, of some people."""
    shown: dict[str, Tensor] = {}
    for ask in asked:
        studio = Studio(lab, ask.member)
        chosen = list(range(min(_SHOWN, studio.corpus.n_people))) if rows is None else list(rows)
        shown.setdefault("real", portraits(studio.corpus)[chosen])
        shown[ask.line] = bytes_of(studio.drawn(studio.of(ask)[chosen]))
    return sheet(lab, entry, shown)


def table_and_sheet(lab: Lab, entry: Entry, asked: Sequence[Ask]) -> Found:
    """Both of the above."""
    return together(feature_table(lab, entry, asked), drawings(lab, entry, asked))


def worst(lab: Lab, entry: Entry, ask: Ask) -> Found:
    """The people whose voices say features at the widest angles from their faces'."""
    studio = Studio(lab, ask.member)
    angles = distances.degrees(studio.of(ask), studio.shown())
    return drawings(lab, entry, (ask,), angles.argsort(descending=True)[:_SHOWN].tolist())


def measured_faces(lab: Lab, entry: Entry, ask: Ask) -> Found:
    """Craniofacial measures of what is drawn for voices against what is drawn for the faces themselves."""
    if not lab.faces("train", _SIDE).landmarks.isfinite().any():
        raise Missing("landmarks of the training faces in the manifest's shards: `pipeline run` puts them there")
    studio = Studio(lab, ask.member)
    found = [studio.landmarks(features) for features in (studio.shown(), studio.of(ask))]
    if found[0] is None or found[1] is None:
        raise Missing("landmarks of the drawn faces: this member's decoder puts none")
    told = craniofacial.correlations(found[0], found[1], lab.seed)
    ours = tuple(Line(name, dict(values)) for name, values in told.items())
    return Found((Table(entry.asks, entry.metrics, ours, entry.published, entry.claims),))


def embedded(lab: Lab, entry: Entry, ask: Ask) -> Found:
    """t-SNE of what voices say, by gender, nationality and what else is known of the people."""
    tsne.libraries()  # told before anything is trained
    studio = Studio(lab, ask.member)
    places = tsne.placed(studio.of(ask).double().numpy())
    how = f"t-SNE, perplexity {tsne.perplexity(len(places)):.3g}"
    pictures = []
    packed = studio.corpus.packed
    known: dict[str, Sequence[str | None]] = {"gender": packed.genders, "nationality": packed.nationalities}
    known |= {name: [lab.labels[name].get(one) for one in packed.people] for name in COLUMNS if name in lab.labels}
    for name, of in known.items():
        groups = {
            value or "unknown": places[[row for row, other in enumerate(of) if other == value]]
            for value in sorted(set(of), key=str)
        }
        path = lab.pictures(entry.id) / f"features-by-{name}.png"
        pictures.append(charts.scatter(path, f"what voices say, by {name} ({how})", ("t-SNE 1", "t-SNE 2"), groups))
    return Found(pictures=tuple(pictures), missing=absent(lab.labels))


def heard_gender(lab: Lab, entry: Entry) -> Found:
    """How often the speech classifier that chooses the prior is right, on split `test`."""
    member = entry.members[0]
    studio = Studio(lab, member)
    networks, settings = studio.model.networks, studio.model.settings
    batches = everybody(lab, studio.corpus, max(settings.frames[1], round(_SECONDS * FRAMES_PER_S)))
    found = torch.cat([ar_spm.genders(networks, settings, batch).cpu() for batch in batches])
    known = [row for row, of in enumerate(studio.corpus.packed.genders) if of in GENDERS]
    right = torch.tensor([GENDERS[int(found[row])] == studio.corpus.packed.genders[row] for row in known])
    values: dict[str, Value] = {"accuracy": percent(figure([right.double()]))}
    return Found((Table(entry.asks, entry.metrics, (Line(member.name, values),), entry.published, entry.claims),))


def priors(lab: Lab, entry: Entry, sizes: Sequence[int]) -> Found:
    """L1 between mean features of more and more training faces: of both genders evenly, of men, of women."""
    studio = Studio(lab, entry.members[0])
    corpus = lab.corpus(studio.model, "train")
    every = lab.features.of_all(corpus.faces, studio.model.settings.rectified)
    owners = metrics.owners(corpus).tolist()
    of = {
        g: torch.tensor([r for r, person in enumerate(owners) if corpus.packed.genders[person] == g]) for g in GENDERS
    }
    fewer = min(len(rows) for rows in of.values())
    if not fewer:
        raise Missing("faces of both genders in split `train`")
    groups = {"neutral": torch.cat([rows[:fewer] for rows in of.values()]), "male": of["m"], "female": of["f"]}
    found = {name: distances.prior_convergence(every[rows], sizes, lab.seed) for name, rows in groups.items()}
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    ours = tuple(Line(name, {group: found[group].get(name) for group in groups}) for name in names)
    title = f"{entry.asks} {_features_of(lab, entry)}"
    return Found((Table(title, entry.metrics, ours, entry.published, entry.claims),))


def lacking(lab: Lab, entry: Entry, what: str) -> Found:
    """An id that needs what no manifest of ours has."""
    del lab, entry
    return Found(missing=(what,))
