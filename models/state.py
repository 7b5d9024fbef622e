"""What survives a crash: networks, optimisers and the place in the run, in one safetensors file with JSON inside.

Loading executes nothing. Files are written to a temporary name, synced and renamed, so that a killed run leaves
either the old checkpoint or the new one.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from manifests.errors import DataError, Missing, UsageError
from manifests.settings import build
from models import system as systems
from models import tensor_file
from models.facts import checked, place_of
from models.system import Phase, System

_KEY = "hqvox"
_FORMAT = 1
LAST = "last.safetensors"
_LOOKED_AT = 1 << 20  # numbers at once: whether they are finite is found in as much memory again


@dataclass(slots=True)
class State:
    """A run between two iterations."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    average: dict[str, nn.Module] = field(default_factory=dict)  # moving average of the networks' weights, if wanted
    phase: int = 0
    iteration: int = 0  # done in this phase
    skipped: int = 0  # iterations whose losses were not finite
    best: dict[str, float] = field(default_factory=dict)  # of the validation metrics


@dataclass(frozen=True, slots=True)
class Model:
    """A trained system, ready to make faces."""

    system: System
    settings: Any
    networks: dict[str, nn.Module]  # in eval mode; the moving average where the run kept one
    facts: dict[str, Any]  # experiment, settings, front end, data, judge of the loss, place in the run
    sha256: str  # of the checkpoint
    fusing: Phase | None  # the phase that taught it to hear several windows at once, if it came so far


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """One safetensors file, atomically."""
    metadata = {_KEY: json.dumps({"format": _FORMAT, **facts}, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as temporary, temporary.open("wb") as out:
        tensor_file.write(out, tensors, metadata)
        out.flush()
        os.fsync(out.fileno())


def name_too(path: Path, other: Path) -> None:
    """Give a file a second name, atomically; a copy, where the file system knows no links."""
    with _replacing(other) as temporary:
        try:
            os.link(path, temporary)
        except OSError:
            with path.open("rb") as source, temporary.open("wb") as out:
                shutil.copyfileobj(source, out)
                out.flush()
                os.fsync(out.fileno())


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name, whose file takes the place of `path` once it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file that `write` made; a tensor takes memory from when it is looked at.

    Raises Missing if the file is absent, DataError if it is another's.
    """
    if not path.is_file():
        raise Missing(f"no checkpoint {path}: `models train --out {path.parent}` makes one")
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a checkpoint of `models` ({type(error).__name__}: {error})") from error
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise DataError(f"{path} is of another format, expected {_FORMAT}: train again")
    return tensors, facts


def weights(networks: Mapping[str, nn.Module], kind: str = "network") -> dict[str, Tensor]:
    """The tensors of networks by `kind/network/name`."""
    return {
        f"{kind}/{n}/{key}": value for n, network in networks.items() for key, value in network.state_dict().items()
    }


def put(
    networks: Mapping[str, nn.Module],
    tensors: Mapping[str, Tensor],
    path: Path,
    kind: str = "network",
    assign: bool = False,
) -> None:
    """Load networks from tensors named as `weights` names them, or with `assign` make these their weights.

    Raises DataError where names, shapes or types differ.
    """
    for name, network in networks.items():
        start = f"{kind}/{name}/"
        own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        odd = [key for key, held in network.state_dict().items() if key in own and own[key].dtype != held.dtype]
        if odd:
            raise DataError(f"{path} does not fit network {name}: {odd[0]} is {own[odd[0]].dtype}")
        try:
            network.load_state_dict(own, assign=assign)
        except RuntimeError as error:
            told = " ".join(str(error).split())[:300]
            raise DataError(f"{path} does not fit network {name}: {told}. Is it of another experiment?") from error


def save_state(path: Path, state: State, facts: Mapping[str, Any]) -> None:
    """Everything that a resumed run needs."""
    tensors = weights(state.networks) | weights(state.average, "average")
    for name, optimiser in state.optimisers.items():
        for place, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{place}/{key}": value for key, value in moments.items()}
    place = {"phase": state.phase, "iteration": state.iteration, "skipped": state.skipped, "best": state.best}
    write(path, tensors, {**facts, "place": place})


def restore(path: Path, state: State, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Networks and place of a saved run; its optimisers follow with `restore_optimiser`, once their phase is set up."""
    put(state.networks, tensors, path)
    put(state.average, tensors, path, "average")
    place = place_of(path, facts)
    state.phase, state.iteration, state.skipped, state.best = place.phase, place.iteration, place.skipped, place.best


def expect_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise DataError for values that no training that went well leaves."""
    for name, tensor in tensors.items():
        parts = torch.split(tensor.flatten(), _LOOKED_AT) if tensor.is_floating_point() else ()
        if not all(bool(torch.isfinite(part).all()) for part in parts):
            raise DataError(
                f"{path}: {name} holds values that are not finite: the training went wrong, take another checkpoint"
            )


def restore_optimiser(name: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The moments of one optimiser, where the saved run had any. Raises DataError for those of other weights."""
    moments: dict[int, dict[str, Tensor]] = {}
    try:
        for key, value in tensors.items():
            kind, *rest = key.split("/")
            if kind == "optimiser" and rest[0] == name:
                moments.setdefault(int(rest[1]), {})[rest[2]] = value
        for place, weight in enumerate(optimiser.param_groups[0]["params"]):
            for kind, value in moments.get(place, {}).items():
                if value.dim():  # fused Adam pairs numbers by their place in memory: layouts must agree
                    moments[place][kind] = torch.empty_like(weight).copy_(value)
    except (ValueError, IndexError, RuntimeError) as error:
        raise DataError(
            f"the checkpoint's moments of optimiser {name} are not those of its weights: {error}"
        ) from error
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def load_model(path: Path, device: torch.device) -> Model:
    """A trained system from a checkpoint, or from a run's folder (its last checkpoint).

    The networks are built without memory, and the file's tensors become their weights: there is one copy of them, and
    what a file says of their size costs nothing until its tensors fit. What only a resumed run needs is not read.
    Raises Missing for an absent file, DataError for one that is not a whole checkpoint of a run.
    """
    file = path / LAST if path.is_dir() else path
    tensors, facts = read(file)
    told = checked(file, facts)
    system = systems.load(told.system)
    if told.front_end != system.FRONT_END:
        raise DataError(f"{file}: system {told.system} hears front end {system.FRONT_END}, found {told.front_end!r}")
    try:
        settings = build(system.Settings, told.settings, "settings")
        with torch.device("meta"):
            networks = systems.build(system, settings, told.n_identities)
        phases = systems.plan(system, settings)
    except UsageError as error:
        raise DataError(f"{file} holds settings that make no run: {error}") from error
    kind = "average" if any(name.startswith("average/") for name in tensors) else "network"
    tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{kind}/")}
    expect_finite(file, tensors)
    put(networks, tensors, file, kind, assign=True)
    _add_constants(networks, lambda: systems.build(system, settings, told.n_identities))
    for network in networks.values():
        network.to(device).eval().requires_grad_(False)
    with file.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    begun = phases[: told.place.phase + (told.place.iteration > 0)]
    fusing = next((phase for phase in begun if phase.kind == "windows"), None)
    return Model(system, settings, networks, facts, digest, fusing)


def _add_constants(networks: Mapping[str, nn.Module], build: Callable[[], Mapping[str, nn.Module]]) -> None:
    """Give networks built without memory the constants that no file holds, from others like them, if there are any."""
    lacking = [(n, key) for n, network in networks.items() for key, held in network.named_buffers() if held.is_meta]
    if not lacking:
        return
    with torch.random.fork_rng(devices=[]):
        others = build()
    for name, key in lacking:
        parent, _, leaf = key.rpartition(".")
        setattr(networks[name].get_submodule(parent), leaf, others[name].get_buffer(key))


def expect_faces(model: Model) -> None:
    """Raise UsageError for a system that makes none."""
    if not model.system.GENERATES:
        raise UsageError(f"experiment {model.facts['experiment']} makes no faces: name a checkpoint of one that does")


def settings_of(settings: Any) -> dict[str, Any]:
    """Settings as JSON holds them."""
    held: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return held
