"""Trains a face network of ours to tell the training people apart on their real pictures.

Layout `own` is a judge: half a of the people makes one, half b another, so that the judge that scores never saw the
people, nor shares the weights, of the one in the loss. Layout `vgg` makes the features of Speech2Face and AR-SPM where
VGG-Face cannot be had. The same command goes on where a stopped run was.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Interval
from numpy.typing import NDArray
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from manifests.settings import MoreThanZero, NotNegative, Positive
from models import face_features, face_net, judges, state, vggface
from models.augment import seen
from models.data import load as load_corpus
from models.face_net import Half, OwnNet, Shape, Size
from models.pack import pack
from models.published import fold
from models.state import State
from models.vggface import VggFace

FRAME = 128  # pixels of the packed pictures
Say = Callable[[str], None]
Ints = NDArray[np.int64]
Finished = tuple[judges.Judge, Callable[[Path, dict[str, Any]], None]]  # to measure it by, and to write it with


@dataclass(frozen=True, slots=True)
class Settings:
    """Sized for hundreds of people and minutes on a CPU; for thousands, double the width."""

    layout: Literal["own", "vgg"] = "own"
    width: Size = 32  # channels of the first stage
    embedding: Size = 1024  # fewer lose what different faces share, and voices tell of nothing else; vgg: before 4,096
    features: Size = vggface.FEATURES  # vgg: of the penultimate layer, as long as the `space` of what learns from it
    epochs: Positive = 16
    batch: Annotated[int, Ge(2)] = 32  # pictures; batch norm needs two
    rate: MoreThanZero = 2e-3  # at the start; it falls to zero along half a cosine
    weight_decay: NotNegative = 5e-3
    scale: MoreThanZero = 16.0  # of the cosines before the softmax
    margin: NotNegative = 0.15  # taken off the right person's cosine (CosFace, Wang et al. 2018)
    seed: Annotated[int, Interval(ge=0, lt=2**23)] = 0  # with epoch and iteration it fills 63 bits


# Whose features the small presets of Speech2Face and AR-SPM learn: their loss weights fit these. Minutes on a CPU.
SMALL_VGG = Settings(layout="vgg", width=16, embedding=512, epochs=12)


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

    That of layout vgg is for `face_features.load` instead.
    `front_end` names a profile that the manifest has mels of: people without speech are left out, as in `models train`.
    What it says of people it never saw is measured on the other half, where two of them have two pictures.
    Raises UsageError where `out` is of other settings or data, DataError where the half has fewer than two people,
    Missing or DataError for a manifest that is absent or broken.
    """
    packed = pack(manifest, "train", front_end, FRAME, out.parent / "packed")
    facts = {"half": half, "manifest": packed.digest, "settings": asdict(settings)}
    if out.exists():
        _expect(out, state.read(out)[1], facts)
        (vggface.read if settings.layout == "vgg" else face_net.read)(out)  # whole
        say(f"{out} is finished")
        return out
    people = np.array([half_of(person) == half for person in packed.people])
    if people.sum() < 2:
        raise DataError(f"{manifest}: half {half} of split train has {people.sum()} people, expected two or more")
    owner = packed.arrays["face_person"]
    rows = np.flatnonzero(people[owner])
    labels = (np.cumsum(people) - 1)[owner[rows]]
    corpus = load_corpus(packed, device)
    now = _epochs(out, corpus.faces, rows, labels, settings, facts, device, say)
    finish = _finished_vgg if settings.layout == "vgg" else _finished_own
    judge, write = finish(now, corpus.faces[torch.from_numpy(rows)], settings, device)
    others = np.flatnonzero(~people[owner])
    measured = None
    if (np.bincount(owner[others]) > 1).sum() > 1:  # two people of the other half with two pictures
        measured = real_against_real(judge, corpus.faces[torch.from_numpy(others)], owner[others])
        say(f"{out}: among {measured.gallery} unseen people {_recalls(measured)}")
    unseen = None if measured is None else asdict(measured)
    write(out, facts | {"people": int(people.sum()), "other_half": unseen})
    _unfinished(out).unlink(missing_ok=True)
    return out


def _finished_own(now: State, pictures: Tensor, settings: Settings, device: torch.device) -> Finished:
    del pictures  # nothing is left to be measured on them
    network, shape = now.networks["face"], Shape(settings.width, settings.embedding)
    assert isinstance(network, OwnNet)
    judge = judges.own(network.eval(), "own", "unsaved", device)
    return judge, lambda path, facts: face_net.write(path, network, shape, facts)


def _finished_vgg(now: State, pictures: Tensor, settings: Settings, device: torch.device) -> Finished:
    """Batch norms folded, and the head's directions made its last layer."""
    network, head = now.networks["face"], now.networks["head"]
    assert isinstance(network, VggFace) and isinstance(head, Head)
    fold(network)
    network.norms = False
    long = face_features.own(network, "own", "unsaved", device).of_all(pictures).norm(dim=1).mean()
    whole = vggface.finished(network, head.directions, settings.scale / float(long))
    seen_by = face_features.own(whole, "own", "unsaved", device)
    judge = judges.Judge("own", "unsaved", whole, seen_by.prepare, device)
    return judge, lambda path, facts: vggface.write(path, whole, facts)


def _recalls(found: Measured) -> str:
    """Recalls that say something, beside chance."""
    told = {1: found.recall_1, 10: found.recall_10}
    return ", ".join(
        f"Recall@{k} {value:.1%} (chance {k / found.gallery:.1%})" for k, value in told.items() if value is not None
    )


def _unfinished(out: Path) -> Path:
    return out.with_name(f"{out.name}.unfinished")


def _expect(path: Path, found: dict[str, Any], facts: dict[str, Any]) -> None:
    held = found.get("settings")
    if isinstance(held, dict):  # a file of before there was a choice of these
        found = {**found, "settings": {"layout": "own", "features": vggface.FEATURES, **held}}
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
) -> State:
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
    return now


def _start(settings: Settings, people: int, device: torch.device) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network, space = _untrained(settings)
        head = Head(space, people, settings.scale, settings.margin)
    networks: dict[str, nn.Module] = {"face": network.to(device).to(memory_format=torch.channels_last)}
    networks["head"] = head.to(device)
    weights = [weight for each in networks.values() for weight in each.parameters()]
    optimiser = torch.optim.AdamW(weights, settings.rate, weight_decay=settings.weight_decay)
    return State(networks, {"all": optimiser})


def _untrained(settings: Settings) -> tuple[nn.Module, int]:
    """The network of a layout, and how many numbers it embeds a face in."""
    if settings.layout == "vgg":
        shape = vggface.Shape(0, settings.width, settings.embedding, vggface.OWN_SIDE, settings.features)
        return VggFace(shape, norms=True), settings.features
    return OwnNet(Shape(settings.width, settings.embedding)), settings.embedding


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
        logits = head(network(_views(frames, noise, settings).contiguous(memory_format=torch.channels_last)), person)
        loss = F.cross_entropy(logits, person)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    mean = float(total) / len(chunks)
    if not math.isfinite(mean):
        raise DataError(f"the loss of epoch {epoch + 1} is {mean}: lower the rate (--set rate={settings.rate / 4:g})")
    return mean


def _views(frames: Tensor, noise: torch.Generator, settings: Settings) -> Tensor:
    """What a layout takes of frames (B, 3, S, S) in 0..1, each seen in a way of its own."""
    if settings.layout == "vgg":
        return vggface.prepared(seen(frames, noise, vggface.OWN_SIDE), vggface.OWN_SIDE)
    return seen(frames, noise)


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
