"""The loop: set up, resume, step, report, validate, save. It runs the phases of any system and knows no loss.

The same command goes on where a stopped run was; a run of 2 + 2 iterations equals one of 4, bit for bit on a CPU.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from manifests.errors import DataError, UsageError
from models import data, face_features, judges, memory, pack, state, system, traits
from models.config import Experiment
from models.judges import Judge
from models.losses import Perceptual
from models.report import Reporter
from models.setup import Options, Place, Run, expect_start, facts_of, join, prepare, set_up, wanted
from models.state import LAST, State
from models.system import Losses, Phase, System
from models.validate import Validation

FACTS = "run.json"
_SMALLEST_PART = 2  # voices per process


def train(out: Path, manifest: Path, experiment: Experiment, settings: Any, options: Options) -> Path:
    """Train an experiment into the folder `out`; return its last checkpoint.

    Raises UsageError where `out` holds another run or is in use, Missing and DataError for data or weights that are
    absent or broken, DataError after too many losses that are not finite.
    """
    place = join(options.device)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0) if place.leads else nullcontext()
    try:
        with lock:
            return _train(out, manifest, experiment, settings, options, place)
    except Timeout as error:
        raise UsageError(f"{out} is in use by another `models train`: wait for it, or choose another --out") from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _train(out: Path, manifest: Path, experiment: Experiment, settings: Any, options: Options, place: Place) -> Path:
    if place.leads:
        for left_over in out.glob(".*.tmp"):  # by a killed run; `out` is locked
            left_over.unlink()
    module = system.load(experiment.system)
    wanted(system.plan(module, settings), options.until)  # a phase that does not exist is told before any missing file
    if settings.batch < _SMALLEST_PART * place.world:
        raise UsageError(
            f"batch {settings.batch} over {place.world} processes: batch norm needs {_SMALLEST_PART} or more for each"
        )
    # Whatever can be found wrong is told before the data are packed, which may take an hour.
    judge = judges.load(settings.judge, place.device) if system.needs_judge(settings) else None
    if judge is not None:
        settings = system.fitted(settings, judge.space)
    features = face_features.load(settings.features, place.device) if system.needs_features(settings) else None
    if features is not None:
        system.expect_space(settings, features.network.shape.features)
    phases = wanted(system.plan(module, settings), options.until)
    with torch.device("meta"):
        expect_start(out, options.start, module, system.build(module, settings, 1))
    validating = _validation_judge(module, options, judge, place.device)
    side, cache = module.side(settings), out.parent / "packed"
    packed = pack.pack(manifest, "train", module.FRONT_END, side, cache)
    settings = system.peopled(settings, len(traits.nationalities(packed)))
    with memory.enough(f"before the first iteration on {place.device}", memory.to_prepare(options.kept_bytes), out):
        corpus = data.load(packed, place.device)
        perceptual = Perceptual(judge, corpus.faces, settings.sides, options.kept_bytes) if judge else None
        facts = facts_of(experiment, settings, options, packed, judge, validating, features)
        told = traits.of(packed, place.device)
        run = set_up(out, module, settings, facts, options, place, perceptual, features, told)
        _begin(run, corpus)
        validation = _validation(manifest, run, validating) if place.leads else None
    with Reporter(out, options.trackers, place.leads) as reporter:
        reporter.go_on_from(run.state.phase, run.state.iteration)
        while run.state.phase < len(phases):
            phase = phases[run.state.phase]
            with memory.enough(f"in phase {phase.name} on {place.device}", memory.to_train(phase), out):
                _run_phase(run, phase, corpus, validation, reporter)
            run.state.phase, run.state.iteration = run.state.phase + 1, 0
            if run.state.phase == len(system.plan(module, settings)):
                run.state.optimisers = {}  # nothing goes on from a finished run: its moments are two thirds of a file
            _save(run, f"{phase.name}.safetensors")
            if place.leads:
                state.name_too(out / f"{phase.name}.safetensors", out / LAST)
    return out / LAST


def _begin(run: Run, corpus: data.Corpus) -> None:
    """What a system does once, with all the data at hand, before the first iteration of a run."""
    begin = getattr(run.module, "begin", None)
    if begin is not None and not run.saved:
        with torch.no_grad():
            begin(run.state.networks, run.settings, corpus, run.features)
        for name, average in run.state.average.items():
            average.load_state_dict(run.state.networks[name].state_dict())


def _save(run: Run, name: str) -> None:
    if run.place.leads:
        with memory.enough("while saving", memory.TO_SAVE, run.out):
            state.save_state(run.out / name, run.state, run.facts)


def _validation_judge(module: System, options: Options, of_loss: Judge | None, device: torch.device) -> Judge | None:
    """The face network that the best checkpoints are chosen by, if any."""
    if options.validation_judge is None:
        return of_loss
    if not module.GENERATES:
        raise UsageError(f"--validation-judge {options.validation_judge}: this experiment makes no faces to look at")
    return judges.load(options.validation_judge, device)


def _validation(manifest: Path, run: Run, judge: Judge | None) -> Validation | None:
    """What the best checkpoints are chosen by; None where validation is off, or there are no faces to look at."""
    if not run.options.validate_every or not run.module.GENERATES:
        return None
    side, cache = run.module.side(run.settings), run.out.parent / "packed"
    try:
        packed = pack.pack(manifest, "val", run.module.FRONT_END, side, cache)
    except DataError as error:
        raise DataError(f"{error}; --validate-every 0 trains without validation") from error
    return Validation(data.load(packed, run.place.device), judge, run.options.seed, run.place.device)


def _run_phase(run: Run, phase: Phase, corpus: data.Corpus, validation: Validation | None, reporter: Reporter) -> None:
    step, options, now = prepare(run, phase), run.options, run.state
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
        if validation is not None and phase.kind != "faces" and (_due(now.iteration, options.validate_every) or last):
            _validate(run, phase, validation, reporter)
        if _due(now.iteration, options.save_every):
            _save(run, LAST)


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
        held_weights: list[Tensor] = list(average.parameters())
        if held_weights:  # the fused call takes no empty list, and AR-SPM's priors have none
            torch._foreach_lerp_(held_weights, list(network.parameters()), 1.0 - decay)
        for held, seen in zip(average.buffers(), network.buffers(), strict=True):
            held.copy_(seen)


def _validate(run: Run, phase: Phase, validation: Validation, reporter: Reporter) -> None:
    """Measure, show, and keep the weights that are best by each metric."""
    now = run.state
    networks = now.average or now.networks
    with memory.enough(f"while validating on {run.place.device}", memory.TO_VALIDATE, run.out):
        measured, shown = validation.measure(run.module, networks, run.settings, phase)
    reporter.validated(phase, now.phase, now.iteration, measured, run.facts["validation_judge"], shown)
    for name, value in measured.items():
        better = -value if name in Validation.SMALLER_IS_BETTER else value
        if better > now.best.get(f"{phase.name}/{name}", -math.inf):
            now.best[f"{phase.name}/{name}"] = better
            kind = "average" if now.average else "network"
            place = {"phase": now.phase, "iteration": now.iteration}
            facts = {**run.facts, "chosen_by": name, "place": place}
            state.write(run.out / f"best-{name}.safetensors", state.weights(networks, kind), facts)
