"""Trains `own`, a face network of ours, to tell the training people apart on their real pictures.

Half a of the people makes one judge, half b another, so that the judge that scores never saw the people, nor shares
the weights, of the one in the loss. The same command goes on where a stopped run was.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Interval
from numpy.typing import NDArray
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from manifests.settings import MoreThanZero, NotNegative, Positive
from models import face_net, judges, state
from models.augment import seen
from models.data import load as load_corpus
from models.face_net import Half, OwnNet, Shape, Size
from models.pack import pack
from models.state import State

FRAME = 128  # pixels of the packed pictures
Say = Callable[[str], None]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Settings:
    """Sized for hundreds of people and minutes on a CPU; for thousands, double the width."""

    width: Size = 32  # channels of the first stage
    embedding: Size = 1024  # fewer lose what different faces share, and voices tell of nothing else
    epochs: Positive = 16
    batch: Annotated[int, Ge(2)] = 32  # pictures; batch norm needs two
    rate: MoreThanZero = 2e-3  # at the start; it falls to zero along half a cosine
    weight_decay: NotNegative = 5e-3
    scale: MoreThanZero = 16.0  # of the cosines before the softmax
    margin: NotNegative = 0.15  # taken off the right person's cosine (CosFace, Wang et al. 2018)
    seed: Annotated[int, Interval(ge=0, lt=2**23)] = 0  # with epoch and iteration it fills 63 bits


@dataclass(frozen=True, slots=True)
class Measured:
    """How well a judge recognises real people by one picture among the means of their others."""

    people: int  # with two pictures or more
    gallery: int  # people in each gallery
    recall_1: float  # mean over the galleries
    recall_10: float | None  # None in galleries of ten or fewer, where it says nothing
    auc: float  # chance that a picture is nearer to its own person than to another


class Head(nn.Module):
    """Scaled cosines to one direction per person, with a margin for the right one."""

    def __init__(self, embedding: int, people: int, scale: float, margin: float) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(people, embedding))
        self.scale, self.margin = scale, margin

    def forward(self, embedding: Tensor, person: Tensor) -> Tensor:
        """Logits (B, people)."""
        cosine = embedding @ F.normalize(self.directions).T
        return self.scale * (cosine - self.margin * F.one_hot(person, cosine.shape[1]))


def half_of(identity_id: str) -> Half:
    """Which half a person belongs to: the same for every manifest, seed and machine."""
    return "a" if sha256(f"half of {identity_id}".encode()).digest()[0] % 2 == 0 else "b"


def train(
    out: Path,
    manifest: Path,
    half: Half,
    settings: Settings,
    device: torch.device,
    front_end: str = "sf2f",
    say: Say = lambda text: None,
) -> Path:
    """Train on the pictures of one half of split `train`; return `out`, which `judges.load` takes.

    `front_end` names a profile that the manifest has mels of: people without speech are left out, as in `models train`.
    What it says of people it never saw is measured on the other half, where two of them have two pictures.
    Raises UsageError where `out` is of other settings or data, DataError where the half has fewer than two people,
    Missing or DataError for a manifest that is absent or broken.
    """
    packed = pack(manifest, "train", front_end, FRAME, out.parent / "packed")
    facts = {"half": half, "manifest": packed.digest, "settings": asdict(settings)}
    if out.exists():
        _expect(out, face_net.read(out)[1], facts)
        say(f"{out} is finished")
        return out
    people = np.array([half_of(person) == half for person in packed.people])
    if people.sum() < 2:
        raise DataError(f"{manifest}: half {half} of split train has {people.sum()} people, expected two or more")
    owner = packed.arrays["face_person"]
    rows = np.flatnonzero(people[owner])
    labels = (np.cumsum(people) - 1)[owner[rows]]
    corpus = load_corpus(packed, device)
    network = _epochs(out, corpus.faces, rows, labels, settings, facts, device, say)
    shape = Shape(settings.width, settings.embedding)
    others = np.flatnonzero(~people[owner])
    measured = None
    if (np.bincount(owner[others]) > 1).sum() > 1:  # two people of the other half with two pictures
        judge = judges.own(network, "own", "unsaved", device)
        measured = real_against_real(judge, corpus.faces[torch.from_numpy(others)], owner[others])
        say(f"{out}: among {measured.gallery} unseen people {_recalls(measured)}")
    unseen = None if measured is None else asdict(measured)
    face_net.write(out, network, shape, facts | {"people": int(people.sum()), "other_half": unseen})
    _unfinished(out).unlink(missing_ok=True)
    return out


def _recalls(found: Measured) -> str:
    """Recalls that say something, beside chance."""
    told = {1: found.recall_1, 10: found.recall_10}
    return ", ".join(
        f"Recall@{k} {value:.1%} (chance {k / found.gallery:.1%})" for k, value in told.items() if value is not None
    )


def _unfinished(out: Path) -> Path:
    return out.with_name(f"{out.name}.unfinished")


def _expect(path: Path, found: dict[str, Any], facts: dict[str, Any]) -> None:
    differ = [key for key, value in facts.items() if found.get(key) != value]
    if differ:
        raise UsageError(f"{path} is of another {', '.join(differ)}: remove it, or choose another --out")


def _epochs(
    out: Path,
    faces: Tensor,
    rows: Ints,
    labels: Ints,
    settings: Settings,
    facts: dict[str, Any],
    device: torch.device,
    say: Say,
) -> OwnNet:
    """Train to the end, from the last finished epoch on."""
    now = _start(settings, int(labels.max()) + 1, device)
    optimiser, file = now.optimisers["all"], _unfinished(out)
    if file.exists():
        tensors, found = state.read(file)
        _expect(file, found, facts)
        state.restore(file, now, tensors, found)
        state.restore_optimiser("all", optimiser, tensors)
    for epoch in range(now.iteration, settings.epochs):
        loss = _epoch(now, faces, rows, labels, settings, epoch, device)
        now.iteration = epoch + 1
        say(f"epoch {now.iteration} of {settings.epochs}: loss {loss:.3f}")
        state.save_state(file, now, facts)
    network = now.networks["face"]
    assert isinstance(network, OwnNet)
    return network.eval()


def _start(settings: Settings, people: int, device: torch.device) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = OwnNet(Shape(settings.width, settings.embedding))
        head = Head(settings.embedding, people, settings.scale, settings.margin)
    networks: dict[str, nn.Module] = {"face": network.to(device).to(memory_format=torch.channels_last)}
    networks["head"] = head.to(device)
    weights = [weight for each in networks.values() for weight in each.parameters()]
    optimiser = torch.optim.AdamW(weights, settings.rate, weight_decay=settings.weight_decay)
    return State(networks, {"all": optimiser})


def _epoch(
    now: State, faces: Tensor, rows: Ints, labels: Ints, settings: Settings, epoch: int, device: torch.device
) -> float:
    """Every picture once; returns the mean loss. Raises DataError where it is not finite."""
    network, head, optimiser = now.networks["face"].train(), now.networks["head"].train(), now.optimisers["all"]
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(rows))
    chunks = [chunk for chunk in np.array_split(order, math.ceil(len(order) / settings.batch)) if len(chunk) > 1]
    total = torch.zeros((), device=device)
    for number, chunk in enumerate(chunks):
        done = (epoch + number / len(chunks)) / settings.epochs
        optimiser.param_groups[0]["lr"] = settings.rate * 0.5 * (1 + math.cos(math.pi * done))
        noise = torch.Generator().manual_seed((settings.seed << 40) + (epoch << 20) + number)
        frames = faces[torch.from_numpy(rows[chunk]).to(faces.device)].to(device).float() / 255
        person = torch.from_numpy(labels[chunk]).to(device)
        logits = head(network(seen(frames, noise).contiguous(memory_format=torch.channels_last)), person)
        loss = F.cross_entropy(logits, person)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    mean = float(total) / len(chunks)
    if not math.isfinite(mean):
        raise DataError(f"the loss of epoch {epoch + 1} is {mean}: lower the rate (--set rate={settings.rate / 4:g})")
    return mean


def real_against_real(judge: judges.Judge, faces: Tensor, person: Ints, gallery: int = 100, seed: int = 0) -> Measured:
    """How well the judge recognises people in real pictures (n, 3, S, S) uint8: the ceiling of every score with it.

    The first picture of each person is looked for among the means of their others, in as many galleries as fit; in one
    smaller gallery where there are not enough people. Raises DataError for fewer than two people with two pictures.
    """
    found = torch.cat([judge.embed(part.float() / 255).cpu() for part in torch.split(faces, 64)]).numpy()
    places = [np.flatnonzero(person == one) for one in np.unique(person)]
    places = [own for own in places if len(own) > 1]
    if len(places) < 2:
        raise DataError(f"{len(places)} people have two pictures or more: expected two people")
    probe = np.stack([found[own[0]] for own in places])
    mean = np.stack([found[own[1:]].mean(axis=0) for own in places])
    scores = probe @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T
    size = min(gallery, len(places))
    shuffled = np.random.default_rng(seed).permutation(len(places))[: len(places) // size * size].reshape(-1, size)
    ranks = np.concatenate(
        [(scores[np.ix_(g, g)] >= scores[g, g][:, None]).sum(axis=1) for g in shuffled]  # 1: the nearest of all
    )
    own, other = np.diag(scores), scores[~np.eye(len(places), dtype=bool)]
    auc = np.searchsorted(np.sort(other), own).mean() / len(other)
    recall_1, recall_10 = (float((ranks <= k).mean()) if k < size else None for k in (1, 10))
    assert recall_1 is not None  # of two people or more
    return Measured(len(places), size, recall_1, recall_10, float(auc))
