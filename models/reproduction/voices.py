"""What voice2face shows of its faces: from noise, of each gender, of several stretches of one voice."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import distances, listening
from models.reproduction.entry import Entry, Found, Line, Table
from models.reproduction.lab import Lab
from models.reproduction.measures import bytes_of, of_length, portraits, sheet, together
from models.reproduction.people import absent
from models.scores import figure
from models.state import Model
from models.system import Batch, generator
from pipeline.frontend import PROFILES, SAMPLE_RATE, mel

_SLOPES = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5}  # power of the frequency that amplitudes follow
_LEVEL = 3000  # root mean square of int16 samples
_SHOWN = 6  # people, or draws of the noise
_AT_ONCE = 64
_SECONDS = 5.0


def noise(kind: str, seconds: float, seed: int) -> NDArray[np.int16]:
    """Coloured noise at 16 kHz, as loud as speech."""
    rng = np.random.default_rng([seed, *kind.encode()])
    size = round(seconds * SAMPLE_RATE)
    frequency = np.fft.rfftfreq(size)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum[1:] *= frequency[1:] ** _SLOPES[kind]
    spectrum[0] = 0
    samples = np.fft.irfft(spectrum, size)
    samples *= _LEVEL / np.sqrt(np.mean(samples**2))
    return np.clip(samples, -32768, 32767).astype(np.int16)


def heard(model: Model, recordings: Sequence[NDArray[np.int16]], device: torch.device) -> Batch:
    """Recordings of one length as a batch of nobody's voices, for a system that hears mels."""
    mels = [
        torch.from_numpy(np.asarray(mel(one, PROFILES[model.system.FRONT_END]), np.float32).T) for one in recordings
    ]
    stacked = torch.stack(mels).to(device)
    nobody = torch.zeros(len(mels), dtype=torch.long, device=device)
    side = model.system.side(model.settings)
    return Batch(
        mel=stacked,
        mel_mean=stacked.mean(-1),
        mel_std=stacked.std(-1, correction=0),
        identity=nobody,
        face=torch.zeros(len(mels), 3, side, side, device=device),
        face_identity=nobody,
        face_index=nobody,
    )


def _faces(model: Model, recordings: Sequence[NDArray[np.int16]], lab: Lab) -> Tensor:
    """What a model makes of recordings, (N, 3, S, S) in 0..1."""
    parts = [recordings[first : first + _AT_ONCE] for first in range(0, len(recordings), _AT_ONCE)]
    make = generator(model.system).faces
    return torch.cat([make(model.networks, model.settings, heard(model, part, lab.device)) for part in parts])


def from_noise(lab: Lab, entry: Entry, seconds: Sequence[float]) -> Found:
    """A sheet: a row for each kind of noise, a column for each length."""
    model = lab.model(entry.members[0])
    columns = {
        f"{long:g} s": torch.cat([bytes_of(_faces(model, [noise(kind, long, lab.seed)], lab)) for kind in _SLOPES])
        for long in seconds
    }
    lacks = f"the paper's own noises: ours, from the top, are {', '.join(_SLOPES)}"
    return replace(sheet(lab, entry, columns, "noise"), missing=(lacks,))


def by_group(lab: Lab, entry: Entry) -> Found:
    """A sheet for each gender, and each known group of ages: people's real faces and those made of their voices."""
    model = lab.model(entry.members[0])
    corpus = lab.corpus(model)
    made = listening.hear(model, corpus, of_length(model, _SECONDS), lab.judge, (lab.seed, 0)).faces
    ages = lab.labels.get("age group", {})
    groups: dict[str, Sequence[str | None]] = {
        "gender": corpus.packed.genders, "age": [ages.get(person) for person in corpus.packed.people]
    }  # fmt: skip
    sheets = []
    for name, of in groups.items():
        for group in sorted({value for value in of if value}):
            rows = [place for place, value in enumerate(of) if value == group][:_SHOWN]
            columns = {"real": portraits(corpus)[rows], entry.members[0].name: made[rows]}
            sheets.append(sheet(lab, entry, columns, f"{name}-{group}"))
    return together(*sheets, Found(missing=absent(lab.labels, ("age",))))


def segments(lab: Lab, entry: Entry, count: int) -> Found:
    """A sheet of so many stretches of each voice, and how much closer a person's faces are than those of others."""
    model = lab.model(entry.members[0])
    corpus = lab.corpus(model)
    how = of_length(model, _SECONDS)
    made = [listening.hear(model, corpus, how, lab.judge, (lab.seed, draw)) for draw in range(count)]
    columns = {"real": portraits(corpus)[:_SHOWN]}
    columns |= {str(draw + 1): one.faces[:_SHOWN] for draw, one in enumerate(made)}
    table = consistency(entry, [one.embeddings.cpu() for one in made])
    return together(sheet(lab, entry, columns, "segments"), Found((table,)))


def consistency(entry: Entry, embeddings: Sequence[Tensor]) -> Table:
    """Mean cosine of two faces of one person, and of faces of two people, over pairs of draws."""
    stacked = torch.stack(list(embeddings)).double()
    draws, people, _ = stacked.shape
    cosines = torch.einsum("rnd,smd->rsnm", stacked, stacked)
    others = ~torch.eye(draws, dtype=torch.bool)
    same = cosines.diagonal(dim1=2, dim2=3)[others].mean(dim=0)  # (people,)
    own = cosines.diagonal(dim1=2, dim2=3).mean(dim=(0, 1))
    different = (people * cosines.mean(dim=(0, 1, 3)) - own) / (people - 1)  # of each person with all others
    values = {"one person": figure([same]), "two people": figure([different])}
    return Table(f"{entry.asks} Mean cosine by the judge.", tuple(values), (Line(entry.members[0].name, values),))


def noise_against_voice(lab: Lab, entry: Entry) -> Found:
    """The discriminator's output on faces of split `test`'s voices, in every draw of the budget, and of white noise."""
    model = lab.model(entry.members[0])
    corpus, how = lab.corpus(model), of_length(model, _SECONDS)
    runs = range(lab.spending.runs)
    made = [listening.hear(model, corpus, how, lab.judge, (lab.seed, run)).faces for run in runs]
    people = len(made[0])
    of_noise = [
        bytes_of(_faces(model, [noise("white", _SECONDS, lab.seed + run * people + k) for k in range(people)], lab))
        for run in runs  # rounded as those of voices are, since a picture holds no finer shades
    ]
    ours = []
    for name, drawn in (("voice", made), ("noise", of_noise)):
        real = [_realness(model, faces, lab) for faces in drawn]
        ours.append(Line(name, {"realness": figure(real), "spread": float(torch.cat(real).std(correction=0))}))
    return Found((Table(entry.asks, entry.metrics, tuple(ours), entry.published, entry.claims),))


@torch.no_grad()
def _realness(model: Model, faces: Tensor, lab: Lab) -> Tensor:
    """What the discriminator says of faces (N, 3, S, S) uint8, (N,)."""
    called, _ = model.networks["discriminator"](faces.to(lab.device).float() / 127.5 - 1)
    return distances.realness(called)
