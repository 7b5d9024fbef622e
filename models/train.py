"""The loop: set up, resume, step, report, validate, save. It runs the phases of any system and knows no loss.

The same command goes on where a stopped run was; a run of 2 + 2 iterations equals one of 4, bit for bit on a CPU.
"""

import copy
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from manifests.errors import DataError, Missing, UsageError
from manifests.table import write_text
from models import data, judges, pack, state, system
from models.config import Experiment
from models.losses import Perceptual
from models.report import Reporter
from models.state import LAST, State
from models.system import Losses, Phase, Step, System
from models.validate import Validation

FACTS = "run.json"
_SMALLEST_PART = 2  # voices per process


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


def train(out: Path, manifest: Path, experiment: Experiment, settings: Any, options: Options) -> Path:
    """Train an experiment into the folder `out`; return its last checkpoint.

    Raises UsageError where `out` holds another run or is in use, Missing and DataError for data or weights that are
    absent or broken, DataError after too many losses that are not finite.
    """
    place = _join(options.device)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0) if place.leads else nullcontext()
    try:
        with lock:
            return _train(out, manifest, experiment, settings, options, place)
    except Timeout as error:
        raise UsageError(f"{out} is in use by another `models train`: wait for it, or choose another --out") from error
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        raise DataError(
            f"out of memory on {place.device}: lower the batch (--set batch={max(settings.batch // 2, 1)} in a new "
            "--out), or what is kept of the real faces' states (--kept-gb); the last checkpoint is whole"
        ) from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _out_of_memory(error: Exception) -> bool:
    """Whether it says so; on a CPU torch has no exception of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _join(device: torch.device) -> Place:
    """The process group that torchrun announces, if any; one GPU per process."""
    if "WORLD_SIZE" not in os.environ:
        return Place(device=device)
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Place(rank, world, device)


def _train(out: Path, manifest: Path, experiment: Experiment, settings: Any, options: Options, place: Place) -> Path:
    if place.leads:
        for left_over in out.glob(".*.tmp"):  # by a killed run; `out` is locked
            left_over.unlink()
    module = system.load(experiment.system)
    phases = _wanted(system.plan(module, settings), options.until)
    if settings.batch < _SMALLEST_PART * place.world:
        raise UsageError(
            f"batch {settings.batch} over {place.world} processes: batch norm needs {_SMALLEST_PART} or more for each"
        )
    # Whatever can be found wrong is told before the data are packed, which may take an hour.
    with torch.device("meta"):
        system.build(module, settings, 1)
    _expect_start(out, options.start, module)
    judge = judges.load(settings.judge, place.device) if getattr(settings, "perceptual", 0.0) else None
    packed = pack.pack(manifest, "train", module.FRONT_END, module.side(settings), out.parent / "packed")
    corpus = data.load(packed, place.device)
    perceptual = Perceptual(judge, corpus.faces, settings.sides, options.kept_bytes) if judge else None
    facts = _facts(experiment, settings, options, packed, perceptual)
    run = _set_up(out, module, settings, facts, options, place, perceptual)
    validation = _validation(manifest, run) if place.leads else None
    with Reporter(out, options.trackers, place.leads) as reporter:
        reporter.go_on_from(run.state.phase, run.state.iteration)
        while run.state.phase < len(phases):
            phase = phases[run.state.phase]
            _run_phase(run, phase, corpus, validation, reporter)
            run.state.phase, run.state.iteration = run.state.phase + 1, 0
            if place.leads:
                state.save_state(out / f"{phase.name}.safetensors", run.state, facts)
                state.save_state(out / LAST, run.state, facts)
    return out / LAST


def _wanted(phases: tuple[Phase, ...], until: str | None) -> tuple[Phase, ...]:
    names = [phase.name for phase in phases]
    if until is None:
        return phases
    if until not in names:
        raise UsageError(f"no phase {until}: this experiment has {', '.join(names)}")
    return phases[: names.index(until) + 1]


def _expect_start(out: Path, start: Path | None, module: System) -> None:
    """Raise Missing for a new run without the networks that another must have trained."""
    if start is None and not (out / LAST).exists():
        for name, command in module.NEEDS.items():
            raise Missing(f"network {name} must be trained before: `{command}`, then name its folder with --start")


def _facts(
    experiment: Experiment, settings: Any, options: Options, packed: pack.Packed, perceptual: Perceptual | None
) -> dict[str, Any]:
    judge = None if perceptual is None else {"name": perceptual.judge.name, "sha256": perceptual.judge.sha256}
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
        "loss_judge": judge,
    }


@dataclass(frozen=True, slots=True)
class _Run:
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


def _set_up(
    out: Path,
    module: System,
    settings: Any,
    facts: dict[str, Any],
    options: Options,
    place: Place,
    perceptual: Perceptual | None,
) -> _Run:
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
        differing = sorted(name for name in facts if held.get(name) != facts[name])
        if differing:
            raise UsageError(
                f"{out} holds another run: {', '.join(differing)} differ. Use the same experiment, settings, seed and "
                "manifest to go on with it, or choose another --out"
            )
        state.restore(out / LAST, now, saved, held)
    elif options.start is not None:
        _take_over(options.start, now, module)
    if place.leads:
        write_text(out / FACTS, json.dumps(facts, indent=2, sort_keys=True) + "\n")
    return _Run(out, module, settings, facts, options, place, now, saved, perceptual)


def _take_over(path: Path, now: State, module: System) -> None:
    """The networks of another run's checkpoint, by name; those that it lacks stay new, unless they may not."""
    file = path / LAST if path.is_dir() else path
    tensors, _ = state.read(file)
    there = {
        name: network
        for name, network in now.networks.items()
        if any(k.startswith(f"network/{name}/") for k in tensors)
    }
    lacking = sorted(set(module.NEEDS) - set(there))
    if lacking:
        raise Missing(f"{file} has no network {', '.join(lacking)}: `{module.NEEDS[lacking[0]]}` makes one")
    state.put(there, tensors, file)
    for name in there if now.average else ():
        now.average[name].load_state_dict(now.networks[name].state_dict())


def _validation(manifest: Path, run: _Run) -> Validation | None:
    """What the best checkpoints are chosen by; None where validation is off, or there are no faces to look at."""
    if not run.options.validate_every or not run.module.GENERATES:
        return None
    name = run.options.validation_judge
    judge = run.perceptual.judge if name is None and run.perceptual is not None else None
    if name is not None:
        judge = judges.load(name, run.place.device)
    cache = run.out.parent / "packed"
    try:
        packed = pack.pack(manifest, "val", run.module.FRONT_END, run.module.side(run.settings), cache)
    except DataError as error:
        raise DataError(f"{error}; --validate-every 0 trains without validation") from error
    return Validation(data.load(packed, run.place.device), judge, run.options.seed, run.place.device)


def _prepare(run: _Run, phase: Phase) -> Step:
    """Modes, optimisers and wrappers of a phase: what does not train is frozen and uses its running statistics."""
    networks = run.state.networks
    for name, network in networks.items():
        network.requires_grad_(name in phase.trained).train(name in phase.trained)
    before, run.state.optimisers = run.state.optimisers, {}
    for name, chosen in phase.optimisers.items():
        for one in chosen.networks:
            networks[one].train(not chosen.frozen_norms)
        moving = [weight for one in chosen.networks for weight in networks[one].parameters()]
        optimiser = torch.optim.Adam(moving, chosen.rate, chosen.betas, fused=True)
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
    )


def _on_gpu(run: _Run) -> bool:
    return run.place.device.type == "cuda"


def _run_phase(run: _Run, phase: Phase, corpus: data.Corpus, validation: Validation | None, reporter: Reporter) -> None:
    step, options, now = _prepare(run, phase), run.options, run.state
    part = run.place.rank, run.place.world
    first = now.iteration
    statistics = _statistics(now, phase)
    source = data.batches(corpus, phase, options.seed, now.phase, first, part, run.place.device)
    for iteration, batch in enumerate(source, first):
        for name, optimiser in now.optimisers.items():
            optimiser.param_groups[0]["lr"] = phase.rate(name, iteration)
        step.noise.manual_seed(_key(options.seed, now.phase, iteration, run.place.rank))
        with _unless_not_finite(statistics) as losses:
            losses.update(run.module.update(step, batch))
        _follow(now, options.average)
        now.iteration = iteration + 1
        reporter.add(losses, len(batch.identity) * run.place.world)
        last = now.iteration == phase.iterations
        if _due(now.iteration, options.report_every) or _due(now.iteration, options.save_every) or last:
            now.skipped += reporter.report(phase, now.phase, now.iteration)
            if now.skipped > options.max_skipped:
                raise DataError(
                    f"{now.skipped} iterations gave losses that are not finite (limit {options.max_skipped}): lower "
                    "the learning rate (--set rate=...); the last checkpoint is from before"
                )
        if validation is not None and (_due(now.iteration, options.validate_every) or last):
            _validate(run, phase, validation, reporter)
        if run.place.leads and _due(now.iteration, options.save_every):
            state.save_state(run.out / LAST, now, run.facts)


def _statistics(now: State, phase: Phase) -> list[Tensor]:
    """The running statistics that training moves."""
    moving = [now.networks[name] for name in sorted(phase.trained)]
    return [buffer for network in moving for buffer in network.buffers() if buffer.is_floating_point()]


@contextmanager
def _unless_not_finite(statistics: list[Tensor]) -> Iterator[Losses]:
    """Undo what an iteration does to running statistics if its losses, filled in by the caller, are not finite.

    One NaN in them would stay for good. Nothing is read back from the device.
    """
    before = [one.clone() for one in statistics]
    losses: Losses = {}
    yield losses
    finite = torch.stack([torch.isfinite(loss) for loss in losses.values()]).all()
    for held, one in zip(before, statistics, strict=True):
        one.copy_(torch.where(finite, one, held))


def _due(iteration: int, every: int) -> bool:
    return every > 0 and iteration % every == 0


def _key(*numbers: int) -> int:
    """A seed of 63 bits from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@torch.no_grad()
def _follow(now: State, decay: float) -> None:
    """Move the average of the weights; batch norm's statistics are taken as they are."""
    for name, average in now.average.items():
        network = now.networks[name]
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)
        for held, seen in zip(average.buffers(), network.buffers(), strict=True):
            held.copy_(seen)


def _validate(run: _Run, phase: Phase, validation: Validation, reporter: Reporter) -> None:
    """Measure, show, and keep the weights that are best by each metric."""
    now = run.state
    networks = now.average or now.networks
    measured, shown = validation.measure(run.module, networks, run.settings, phase)
    reporter.validated(phase, now.phase, now.iteration, measured, shown)
    for name, value in measured.items():
        better = -value if name in Validation.SMALLER_IS_BETTER else value
        if better > now.best.get(f"{phase.name}/{name}", -math.inf):
            now.best[f"{phase.name}/{name}"] = better
            kind = "average" if now.average else "network"
            place = {"phase": now.phase, "iteration": now.iteration}
            facts = {**run.facts, "chosen_by": name, "place": place}
            state.write(run.out / f"best-{name}.safetensors", state.weights(networks, kind), facts)
