"""What is shown and asked of I2G's generator: grids and interpolations of condition and noise, QTA 1 to 3."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from models import distances, i2g, matching_metrics, metrics
from models.listening import FRAMES_PER_S
from models.matching_metrics import Distance
from models.noise import truncated
from models.reproduction.entry import Entry, Found, Line, Member, Table, Value
from models.reproduction.lab import Lab
from models.reproduction.measures import RANDOM, bytes_of, everybody, percent, portraits, sheet
from models.scores import figure

_SHOWN = 6  # rows and columns of a grid
_STEPS = 8  # of an interpolation, ends included
_PAIRS = 5000  # of QTA 1
_AT_ONCE = 64
_HEARD = 6 * FRAMES_PER_S
_AMONG = 100  # people of a gallery of QTA 3
_KS = (1, 2, 5, 10)
DISTANCES: tuple[Distance, ...] = ("l1", "l2", "cosine")


class Studio:
    """A trained I2G with the voices of split `test`."""

    def __init__(self, lab: Lab, member: Member) -> None:
        self.lab, self.model = lab, lab.model(member)
        self.settings = cast(i2g.Settings, self.model.settings)
        self.corpus = lab.corpus(self.model)

    def conditions(self) -> Tensor:
        """The conditions, S of the beginning of a recording of everybody's, (N, D)."""
        batches = everybody(self.lab, self.corpus, max(self.settings.frames[1], _HEARD))  # the system cuts it
        return torch.cat([i2g.voices(self.model.networks, self.settings, batch) for batch in batches])

    def noise(self, count: int, limit: float | None = None) -> Tensor:
        """Noise z, (count, D), without truncation unless a limit is given."""
        generator = torch.Generator().manual_seed(self.lab.seed)
        return truncated((count, self.settings.noise), limit, generator).to(self.lab.device)

    def faces(self, conditions: Tensor, noise: Tensor) -> Tensor:
        """G(z, c), (N, 3, S, S) in 0..1."""
        parts = zip(torch.split(conditions, _AT_ONCE), torch.split(noise, _AT_ONCE), strict=True)
        return torch.cat([i2g.faces_for(self.model.networks, self.settings, c, z) for c, z in parts])

    def embedded(self, faces: Tensor) -> Tensor:
        """F of faces in 0..1, (N, D), as stage A left it."""
        return torch.cat(
            [i2g.portraits(self.model.networks, self.settings, part) for part in torch.split(faces, _AT_ONCE)]
        )

    def real(self) -> Tensor:
        """F of every real face of the split, (faces, D)."""
        parts = torch.split(self.corpus.faces, _AT_ONCE)
        return torch.cat([self.embedded(part.to(self.lab.device).float() / 255) for part in parts])


def grid(lab: Lab, entry: Entry) -> Found:
    """Rows of one voice each, columns of one noise each."""
    studio = Studio(lab, entry.members[0])
    voices, noise = studio.conditions()[:_SHOWN], studio.noise(_SHOWN, limit=studio.settings.truncation)
    columns = {
        f"z {number + 1}": bytes_of(studio.faces(voices, one.expand(len(voices), -1)))
        for number, one in enumerate(noise)
    }
    return sheet(lab, entry, columns, "grid")


def interpolation(lab: Lab, entry: Entry, of: str) -> Found:
    """From one voice's condition to the next one's at one noise, or from one noise to another at one condition."""
    studio = Studio(lab, entry.members[0])
    voices = studio.conditions()[: _SHOWN + 1]
    noise = studio.noise(len(voices), limit=studio.settings.truncation)
    columns = {}
    for step in range(_STEPS):
        share = step / (_STEPS - 1)
        c = torch.lerp(voices[:-1], voices[1:], share) if of == "c" else voices[:-1]
        z = torch.lerp(noise[:-1], noise[1:], share) if of == "z" else noise[:-1]
        columns[f"{share:.2f}"] = bytes_of(studio.faces(c, z))
    return sheet(lab, entry, columns, f"interpolation-{of}")


def truncations(lab: Lab, entry: Entry, limits: Sequence[float], people: int) -> Found:
    """Uncurated faces of the first speakers, a column for each truncation of the noise."""
    studio = Studio(lab, entry.members[0])
    voices = studio.conditions()[:people]
    shown = {"real": portraits(studio.corpus)[: len(voices)]}
    for limit in limits:
        shown[f"t = {limit:g}"] = bytes_of(studio.faces(voices, studio.noise(len(voices), limit=limit)))
    return sheet(lab, entry, shown, "truncation")


QTA_1 = ("r", "p", "conditions", "faces")
_GROUPS = {"different genders": "different_gender", "the same gender": "same_gender"}


def follows(lab: Lab, entry: Entry) -> Found:
    """QTA 1 of every member: Pearson's r, and mean distances of pairs of different and of the same gender."""
    ours = []
    for member in entry.members:
        studio = Studio(lab, member)
        conditions = studio.conditions()
        made = studio.embedded(studio.faces(conditions, studio.noise(len(conditions))))
        pairs = distances.pairs_of_people(len(made), _PAIRS, lab.seed)
        told = distances.condition_follows(conditions, made, studio.corpus.packed.genders, pairs)
        ours.append(Line(member.name, {"r": told["r"], "p": told["p"]}))
        ours += [Line(f"{member.name}, {name}", told[group]) for name, group in _GROUPS.items()]
    return Found((Table(entry.asks, entry.metrics, tuple(ours), entry.published, entry.claims),))


QTA_2 = ("over the real face", "over the other generator", "F-V, 2-way")


def preferences(lab: Lab, entry: Entry) -> Found:
    """QTA 2: each member's faces against the real ones and by a stranger's voice; the first's against the last's.

    Each generator hears a voice through its own inference network, and both get the same noise. Between the two the
    first's network decides; of anything else each member's own is asked.
    """
    studios = [Studio(lab, member) for member in entry.members]
    first, last = studios[0], studios[-1]
    ours = []
    for studio, member in zip(studios, entry.members, strict=True):
        heard = studio.conditions()
        noise = studio.noise(len(heard))
        firsts = torch.from_numpy(studio.corpus.portraits[0]).to(lab.device)
        made = studio.embedded(studio.faces(heard, noise))
        own = _likeness(heard, made)
        asked = {
            QTA_2[0]: _likeness(heard, studio.real()[firsts]),
            QTA_2[2]: _likeness(heard.roll(1, 0), made),  # the voice of the person before
        }
        if studio is first:
            asked[QTA_2[1]] = _likeness(heard, studio.embedded(last.faces(last.conditions(), noise)))
        ours.append(
            Line(member.name, {n: percent(figure([distances.preferred(own, other)])) for n, other in asked.items()})
        )
    return Found((Table(entry.asks, entry.metrics, tuple(ours), entry.published, entry.claims),))


def _likeness(conditions: Tensor, faces: Tensor) -> Tensor:
    """How well each face goes with its condition, by the inference network."""
    return (conditions * faces).sum(dim=1).cpu()


def retrieval(lab: Lab, entry: Entry) -> Found:
    """QTA 3 of every member: real faces found by the generated one, among as many of each of 100 people."""
    ours, people, of_each = [], 0, 0
    for member in entry.members:
        studio = Studio(lab, member)
        conditions = studio.conditions()
        query = studio.embedded(studio.faces(conditions, studio.noise(len(conditions), limit=1.0))).cpu()
        gallery, owner = studio.real().cpu(), metrics.owners(studio.corpus)
        people, of_each = len(query), int(studio.corpus.portraits[1].min())
        ours += [
            Line(f"{member.name}, {distance}", found_among(query, gallery, owner, of_each, distance, lab.seed))
            for distance in DISTANCES
        ]
    ours.append(random_line(people, of_each))
    title = f"{entry.asks} {galleries_of(people, of_each)}"
    return Found((Table(title, entry.metrics, tuple(ours), entry.published, entry.claims),))


def galleries_of(people: int, of_each: int) -> str:
    """What the galleries of `found_among` hold, in words."""
    return f"Galleries of {min(_AMONG, people)} x {of_each} faces."


def random_line(people: int, of_each: int) -> Line:
    """What a random order of a gallery of `found_among` finds; it is known, and so its own interval."""
    size = min(_AMONG, people) * of_each
    values: dict[str, Value] = {}
    for k in _KS:
        share = 100 * matching_metrics.chance_any(of_each, size, min(k, size))
        values[f"R@{k}"] = {"mean": share, "interval": [share, share]}
    return Line(RANDOM, values)


def found_among(
    query: Tensor, gallery: Tensor, owner: Tensor, of_each: int, distance: Distance, seed: int
) -> dict[str, Value]:
    """Retrieval in galleries of so many faces of each of 100 people, in per cent by K.

    `query` (N, D) has a row a person, `gallery` (faces, D) the faces of `owner` (faces,), sorted.
    """
    first = torch.searchsorted(owner, torch.arange(len(query)))
    hits: dict[int, list[Tensor]] = {k: [] for k in _KS}
    for place in metrics.galleries(len(query), _AMONG, seed):
        held = (first[place][:, None] + torch.arange(of_each)).flatten()
        relevant = owner[held] == place[:, None]
        scores = matching_metrics.nearness(query[place], gallery[held], distance)
        for k, of in hits.items():
            of.append(matching_metrics.found_any(scores, relevant, k).double())
    return {f"R@{k}": percent(figure([torch.cat(of)])) for k, of in hits.items()}
