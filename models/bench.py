"""How fast an experiment trains on a device: whole iterations on random data, batches gathered as `models train` does.

Face networks of the loss have random weights here: their time is the same, and no file is needed.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from manifests.errors import UsageError
from models import data, face_features, facenet, judges, system, traits
from models.config import Experiment
from models.face_features import FaceFeatures
from models.judges import Judge
from models.losses import Perceptual
from models.pack import Packed
from models.setup import Options, Place, Run, prepare
from models.state import State
from models.vggface import VggFace
from pipeline import dlib_net
from pipeline.frontend import WAVE, width

_FRAMES = 800  # of each random recording
_MATMUL = 4096  # side of the matrices that the device's own rate is measured with


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    steps: int = 50  # iterations that are timed
    warm_up: int = 10
    people: int = 2890  # of HQ-VoxCeleb's training split, each with one recording and one face
    phase: str = ""  # by name; without: the first


def measure(experiment: Experiment, settings: Any, options: Options, plan: Plan) -> dict[str, Any]:
    """Seconds of an iteration of a phase, samples per second, share of the device's rate, peak memory.

    The rate is that of a large matrix product in the precision of the run, measured before on the same device.
    Raises UsageError for a phase that the experiment does not have.
    """
    module, device = system.load(experiment.system), options.device
    corpus = data.load(_random(module.FRONT_END, module.side(settings), plan.people), device)
    judge = _judge(settings.judge, device) if system.needs_judge(settings) else None
    if judge is not None:
        settings = system.fitted(settings, judge.space)
    features = _features(device) if system.needs_features(settings) else None
    settings = system.peopled(settings, len(traits.nationalities(corpus.packed)))
    phases = {phase.name: phase for phase in system.plan(module, settings)}
    named = plan.phase or next(iter(phases))
    if named not in phases:
        raise UsageError(f"{experiment.name} has no phase {named}: expected one of {', '.join(phases)}")
    phase = replace(phases[named], iterations=1 + plan.warm_up + plan.steps)
    perceptual = None if judge is None else Perceptual(judge, corpus.faces, settings.sides, options.kept_bytes)
    networks = system.build(module, settings, plan.people)
    for network in networks.values():
        network.to(device).to(memory_format=torch.channels_last)
    told = traits.of(corpus.packed, device)
    place, now = Place(device=device), State(networks)
    run = Run(Path(), module, settings, {}, options, place, now, {}, perceptual, features, told)
    step = prepare(run, phase)
    batches = data.batches(corpus, phase, 0, 0, 0, (0, 1), device)
    rate = _device_rate(device, options.autocast)
    operations = _operations(lambda: module.update(step, next(batches)))
    for _ in range(plan.warm_up):
        module.update(step, next(batches))
    _wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    marks = [time.perf_counter()]
    for _ in range(plan.steps):
        module.update(step, next(batches))
        if device.type == "cpu":
            marks.append(time.perf_counter())
    _wait(device)
    whole = time.perf_counter() - marks[0]
    seconds = whole / plan.steps if device.type == "cuda" else statistics.median(b - a for a, b in pairwise(marks))
    return {
        "experiment": experiment.name,
        "phase": phase.name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "batch": phase.batch,
        "loss_judge": judge and f"{judge.name}, random weights",
        "features": features and f"{features.name}, random weights",
        "seconds_per_iteration": seconds,
        "iterations_per_s": 1 / seconds,
        "samples_per_s": phase.batch / seconds,
        "tera_operations_per_iteration": operations / 1e12,
        "share_of_matmul_rate": operations / seconds / rate,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def _random(profile: str, side: int, people: int) -> Packed:
    rng = np.random.default_rng(0)
    bands, one = width(profile), np.arange(people)
    size = people * _FRAMES, bands
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "mels": rng.integers(-999, 999, size, np.int16)
        if profile == WAVE
        else rng.normal(10, 3, size).astype(np.float16),
        "clip_start": one * _FRAMES,
        "clip_frames": np.full(people, _FRAMES),
        "clip_person": one,
        "clip_mean": np.full((people, bands), 10, np.float32),
        "clip_std": np.full((people, bands), 3, np.float32),
        "faces": rng.integers(0, 256, (people, 3, side, side), np.uint8),
        "face_person": one,
        "landmarks": (side * rng.random((people, 68, 2))).astype(np.float32),
    }
    names = tuple(f"{i:05d}" for i in one)
    genders, nations = (tuple(values[i % len(values)] for i in one) for values in ("mf", "abcdefgh"))
    return Packed("train", profile, names, genders, nations, {}, arrays, "random", "none")


def _judge(name: str, device: torch.device) -> Judge:
    """The network of that name, with random weights; anything but dlib's is timed as FaceNet."""
    if name == "dlib":
        box = judges.dlib_window()
        return judges.frozen("dlib", "", dlib_net.DlibResNet(), lambda f: judges.window(f, box, dlib_net.SIDE), device)
    return judges.frozen("facenet", "", facenet.FaceNet().eval(), facenet.prepared, device)


def _features(device: torch.device) -> FaceFeatures:
    """VGG-Face with random weights."""
    return face_features.own(VggFace(), face_features.PUBLISHED, "", device)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the operations of what runs inside. Torch's own follows modules too, and so fails at R1's gradient."""

    operations: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls `func` and adds its operations, where it has a known number of them."""
        found = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        self.operations += 0 if count is None else count(*args, **(kwargs or {}), out_val=found)
        return found


def _operations(iteration: Callable[[], object]) -> int:
    """Floating-point operations of one iteration, multiplications and additions counted apart."""
    with _Counter() as counter:  # type: ignore[no-untyped-call]
        iteration()
        found: int = counter.operations
    return found


def _device_rate(device: torch.device, autocast: bool) -> float:
    """Operations per second of a large matrix product."""
    kind = torch.bfloat16 if device.type == "cuda" and autocast else torch.float32
    side = _MATMUL if device.type == "cuda" else _MATMUL // 4
    a = torch.randn(side, side, device=device, dtype=kind)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        for _ in range(10):
            a @ a
        _wait(device)
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
