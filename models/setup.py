"""What a run needs before its first iteration, or after a stop: options, processes, networks, optimisers.

Nothing here knows a loss; `models.train` is the loop.
"""

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from manifests.errors import DataError, Missing, UsageError
from manifests.table import write_text
from models import optimisers, pack, state, system
from models.config import Experiment
from models.experiments import EXPERIMENTS
from models.face_features import FaceFeatures
from models.facts import named
from models.judges import Judge
from models.losses import Perceptual
from models.state import LAST, State
from models.system import Phase, Step, System

FACTS = "run.json"


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is made; what it makes is the experiment's settings and the seed."""

    device: torch.device
    seed: int = 0
    until: str | None = None  # name of the last phase to train
    start: Path | None = None  # checkpoint whose networks are taken over, by name, before the first iteration
    report_every: int = 50  # iterations
    save_every: int = 500
    validate_every: int = 1000
    validation_judge: str | None = None  # face network of the validation metrics; None: that of the loss
    average: float = 0.0  # decay of the moving average of the weights; 0: none
    max_skipped: int = 20  # iterations with losses that are not finite, before the run ends
    autocast: bool = True  # bf16, on a GPU only
    compile: bool = True  # on a GPU only
    kept_bytes: int = 4 << 30  # of real faces' states, computed once
    trackers: tuple[str, ...] = ()  # tensorboard, dvclive


@dataclass(frozen=True, slots=True)
class Place:
    """One process among those that train together."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


def join(device: torch.device) -> Place:
    """The process group that torchrun announces, if any; one GPU per process."""
    if "WORLD_SIZE" not in os.environ:
        return Place(device=device)
    if absent := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise UsageError(f"WORLD_SIZE is set, {', '.join(absent)} not: start with torchrun, or unset WORLD_SIZE")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if device.index >= torch.cuda.device_count():
            raise UsageError(f"{torch.cuda.device_count()} GPUs here, one for each process: lower --nproc-per-node")
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Place(rank, world, device)


def wanted(phases: tuple[Phase, ...], until: str | None) -> tuple[Phase, ...]:
    """The phases up to the one named. Raises UsageError for a name that is none of theirs."""
    names = [phase.name for phase in phases]
    if not phases:
        raise UsageError("no phase of this experiment has iterations: nothing to train")
    if until is None:
        return phases
    if until not in names:
        raise UsageError(f"no phase {until}: this experiment has {', '.join(names)}")
    return phases[: names.index(until) + 1]


def expect_start(out: Path, start: Path | None, module: System, networks: Mapping[str, nn.Module]) -> None:
    """Raise Missing for a new run without the networks that another must have trained."""
    if start is None and not (out / LAST).exists():
        for name in module.NEEDS:
            made = _made_by(name, module, networks)
            raise Missing(f"network {name} must be trained before: {made}, then name its folder with --start")


def _made_by(name: str, module: System, networks: Mapping[str, nn.Module]) -> str:
    """The command that trains a network of the sizes that this run needs."""
    for one in EXPERIMENTS:
        other = system.load(one.system)
        if not other.GENERATES:
            with torch.device("meta"):
                found = system.build(other, one.settings, 1)
            if name in found and _shapes(found[name]) == _shapes(networks[name]):
                return f"`{module.NEEDS[name]} --experiment {one.name}`"
    return f"`{module.NEEDS[name]}` with the --set of its sizes that this run has"


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in network.state_dict().items()}


def facts_of(
    experiment: Experiment,
    settings: Any,
    options: Options,
    packed: pack.Packed,
    loss_judge: Judge | None,
    validation_judge: Judge | None,
    features: FaceFeatures | None = None,
) -> dict[str, Any]:
    """What a checkpoint says of the run: two runs with the same facts are the same run."""
    return {
        "experiment": experiment.name,
        "system": experiment.system,
        "settings": state.settings_of(settings),
        "seed": options.seed,
        "average": options.average,
        "front_end": packed.profile,
        "vad": packed.vad,
        "n_identities": len(packed.people),
        "manifest": packed.digest,
        "loss_judge": named(loss_judge),
        "validation_judge": named(validation_judge),
        "features": named(features),
    }


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same through a run, and its state."""

    out: Path
    module: System
    settings: Any
    facts: dict[str, Any]
    options: Options
    place: Place
    state: State
    saved: dict[str, Tensor]  # tensors of the checkpoint that the run goes on from; empty for a new run
    perceptual: Perceptual | None
    features: FaceFeatures | None = None
    traits: Mapping[str, Tensor] = field(default_factory=dict)


def set_up(
    out: Path,
    module: System,
    settings: Any,
    facts: dict[str, Any],
    options: Options,
    place: Place,
    perceptual: Perceptual | None,
    features: FaceFeatures | None = None,
    traits: Mapping[str, Tensor] = MappingProxyType({}),
) -> Run:
    """New networks, or those of the folder's last checkpoint."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        networks = system.build(module, settings, facts["n_identities"])
    for network in networks.values():
        network.to(place.device)
        network.to(memory_format=torch.channels_last)
    now = State(networks, average=copy.deepcopy(networks) if options.average else {})
    saved: dict[str, Tensor] = {}
    if (out / LAST).exists():
        saved, held = state.read(out / LAST)
        differing = sorted(_differing(held, facts, state.settings_of(module.Settings())))
        if differing:
            raise UsageError(
                f"{out} holds another run: {', '.join(differing)} differ. Use the same experiment, settings, seed, "
                "manifest, face networks and --validation-judge to go on with it, or choose another --out"
            )
        state.expect_finite(out / LAST, saved)
        state.restore(out / LAST, now, saved, held)
        if now.best and "validation_judge" not in held:
            now.best.clear()
            click.echo(f"{out} does not say by which judge its best checkpoints were chosen: chosen anew", err=True)
    elif options.start is not None:
        _take_over(options.start, now, module, facts)
    if place.leads:
        write_text(out / FACTS, json.dumps(facts, indent=2, sort_keys=True) + "\n")
    return Run(out, module, settings, facts, options, place, now, saved, perceptual, features, traits)


def _differing(held: dict[str, Any], facts: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """The facts that two runs do not share, settings by name."""
    held = {"validation_judge": facts["validation_judge"], **held}
    found = [name for name in facts if name != "settings" and held.get(name) != facts[name]]
    before, now = held.get("settings"), facts["settings"]
    if not isinstance(before, dict):
        return [*found, "settings"]
    # A setting that the run's version did not have: its default does what was done before there was a choice.
    before = defaults | before
    return found + [f"settings.{key}" for key in {*before, *now} if before.get(key) != now.get(key)]


def _take_over(path: Path, now: State, module: System, facts: Mapping[str, Any]) -> None:
    """The networks of another run's checkpoint, by name; those that it lacks stay new, unless they may not."""
    file = path / LAST if path.is_dir() else path
    tensors, held = state.read(file)
    there = [name for name in now.networks if any(key.startswith(f"network/{name}/") for key in tensors)]
    holds = f"{file} is of system {held.get('system')!r}, experiment {held.get('experiment')!r}"
    for name in sorted(set(module.NEEDS) - set(there)):
        raise Missing(f"{holds}, and has no network {name}: {_made_by(name, module, now.networks)} makes one")
    if not there:
        raise DataError(f"{holds}, and has none of the networks {', '.join(now.networks)}")
    for name in there:
        try:
            state.put({name: now.networks[name]}, tensors, file)
        except DataError as error:
            made = f", or what {_made_by(name, module, now.networks)} makes" if name in module.NEEDS else ""
            raise DataError(
                f"{holds}: its network {name} is another than that of {facts['experiment']}; expected a run of system "
                f"{facts['system']} with the same sizes{made}"
            ) from error
        if now.average:
            now.average[name].load_state_dict(now.networks[name].state_dict())


def prepare(run: Run, phase: Phase) -> Step:
    """Modes, optimisers and wrappers of a phase: what does not train is frozen and uses its running statistics."""
    networks = run.state.networks
    for name, network in networks.items():
        network.requires_grad_(name in phase.trained).train(name in phase.trained)
    before, run.state.optimisers = run.state.optimisers, {}
    for name, chosen in phase.optimisers.items():
        for one in chosen.networks:
            networks[one].train(not chosen.frozen_norms)
        moving = [weight for one in chosen.networks for weight in networks[one].parameters()]
        optimiser = optimisers.new(chosen, moving)
        if run.saved and (run.state.iteration or chosen.goes_on):
            state.restore_optimiser(name, optimiser, run.saved)
        elif chosen.goes_on and name in before:
            optimiser.load_state_dict(before[name].state_dict())
        run.state.optimisers[name] = optimiser
    run.saved.clear()  # taken over now; later phases go on from the live optimisers
    if run.options.compile and run.place.device.type == "cuda":
        for network in networks.values():
            network.compile()
    parallel = dict(networks)
    if run.place.world > 1:
        for network in networks.values():  # running statistics are each process's own: from here on the leader's
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)
        for name in sorted(phase.trained):  # a set's own order differs between processes
            # Buffers stay each process's own: batch norm may not change under a backward that is still to come.
            parallel[name] = DistributedDataParallel(networks[name], broadcast_buffers=False)
    return Step(
        run.settings,
        phase,
        networks,
        parallel,
        run.state.optimisers,
        run.perceptual,
        torch.Generator(run.place.device),
        partial(torch.autocast, run.place.device.type, torch.bfloat16, run.options.autocast and _on_gpu(run)),
        run.features,
        run.traits,
    )


def _on_gpu(run: Run) -> bool:
    return run.place.device.type == "cuda"
