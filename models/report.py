"""What a run tells: a progress line for people, one JSON line per report, pictures, TensorBoard and DVCLive."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from manifests.errors import Missing, UsageError
from models.system import Phase

LOG = "log.jsonl"
_INSTALL = "pip install -c constraints.txt -e '.[track]'"


class Reporter:
    """Collects losses on the device and tells them now and then; silent in processes that do not lead."""

    def __init__(self, out: Path, trackers: Sequence[str], leads: bool) -> None:
        self._out, self._leads = out, leads
        self._trackers = [_TRACKERS[name](out) for name in trackers if leads]
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=Console(stderr=True),
            disable=not leads,
        )
        self._task: Any = None
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._bad: Tensor | None = None
        self._iterations, self._samples, self._since = 0, 0, time.perf_counter()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for tracker in self._trackers:
            tracker.close()

    def go_on_from(self, phase: int, iteration: int) -> None:
        """Forget the lines of iterations that will be done again."""
        log = self._out / LOG
        if not self._leads or not log.exists():
            return
        lines = filter(None, map(_parsed, log.read_text(encoding="utf-8", errors="replace").splitlines()))
        kept = [line for line in lines if (line["phase_number"], line["iteration"]) <= (phase, iteration)]
        temporary = log.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        os.replace(temporary, log)

    def add(self, losses: dict[str, Tensor], samples: int) -> None:
        """Add the losses of an iteration; nothing is read from the device."""
        values = {name: loss.detach().float() for name, loss in losses.items()}
        finite = torch.stack([torch.isfinite(value) for value in values.values()]).all()
        bad = (~finite).to(torch.int64)
        self._bad = bad if self._bad is None else self._bad + bad
        for name, value in values.items():
            usable = torch.where(finite, value, torch.zeros_like(value))
            self._sums[name] = usable if name not in self._sums else self._sums[name] + usable
        self._iterations, self._samples = self._iterations + 1, self._samples + samples

    def report(self, phase: Phase, number: int, iteration: int) -> int:
        """Tell the mean losses since the last report; return how many iterations were not finite."""
        if not self._iterations:
            return 0
        bad = 0 if self._bad is None else int(self._bad)
        if torch.distributed.is_initialized() and self._bad is not None:
            torch.distributed.all_reduce(self._bad, torch.distributed.ReduceOp.MAX)
            bad = int(self._bad)
        good = max(self._iterations - bad, 1)
        losses = {name: float(total) / good for name, total in self._sums.items()}
        seconds = time.perf_counter() - self._since
        speed = {"samples_per_s": round(self._samples / seconds, 1), "seconds": round(seconds, 3)}
        self._line(phase, number, iteration, {"losses": losses, "not_finite": bad, **speed})
        shown = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        self._show(phase, iteration, shown)
        for tracker in self._trackers:
            tracker.scalars({f"{phase.name}/{name}": value for name, value in losses.items()}, iteration)
        self._clear()
        return bad

    def validated(
        self,
        phase: Phase,
        number: int,
        iteration: int,
        measured: dict[str, float],
        judge: dict[str, str] | None,
        shown: Tensor,
    ) -> None:
        """Tell validation metrics and the judge behind them, and write real faces above generated ones."""
        self._line(phase, number, iteration, {"validation": measured, "validation_judge": judge})
        by = "" if judge is None else f" by {judge['name']} (sha256 {judge['sha256'][:12]})"
        told = "  ".join(f"{name} {value:.3g}" for name, value in measured.items())
        self._progress.console.print(f"{phase.name} {iteration}, validation{by}: {told}", markup=False, soft_wrap=True)
        folder = self._out / "samples"
        folder.mkdir(exist_ok=True)
        path = folder / f"{phase.name}-{iteration:07d}.png"
        save_grid(path, shown)
        for tracker in self._trackers:
            tracker.scalars({f"{phase.name}/val/{name}": value for name, value in measured.items()}, iteration)
            tracker.picture(f"{phase.name}/faces", path, iteration)

    def _show(self, phase: Phase, iteration: int, losses: str) -> None:
        if self._task is None or self._progress.tasks[-1].description != phase.name:
            self._task = self._progress.add_task(phase.name, total=phase.iterations, losses="")
        self._progress.update(self._task, completed=iteration, losses=losses)

    def _line(self, phase: Phase, number: int, iteration: int, told: dict[str, Any]) -> None:
        if self._leads:
            line = {"phase": phase.name, "phase_number": number, "iteration": iteration, **told}
            with (self._out / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of the log; None for what is none, such as the half of one that a killed run leaves."""
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(n), int) for n in ("phase_number", "iteration")):
        return None
    return parsed


def lines(run: Path) -> list[dict[str, Any]]:
    """What a run's log tells, line by line. Raises Missing where there is none."""
    try:
        text = (run / LOG).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise Missing(f"no log {run / LOG}: `models train` writes one") from error
    return [line for line in map(_parsed, text.splitlines()) if line is not None]


def training_seconds(run: Path) -> float:
    """How long a run's iterations took, over all its sittings, without those that a killed one has lost."""
    return float(sum(line.get("seconds", 0.0) for line in lines(run)))


def save_grid(path: Path, faces: Tensor) -> None:
    """Write (rows, columns, 3, S, S) faces in 0..1 as one picture."""
    rows = [torch.cat(list(row), dim=2) for row in faces]
    Image.fromarray(_bytes(torch.cat(rows, dim=1))).save(path)


def _bytes(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(3, H, W) in 0..1 as (H, W, 3) bytes."""
    return (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


class _TensorBoard:
    def __init__(self, out: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Missing(f"TensorBoard is not installed: {_INSTALL}") from error
        self._writer = SummaryWriter(str(out / "tensorboard"))

    def scalars(self, values: dict[str, float], iteration: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def picture(self, name: str, path: Path, iteration: int) -> None:
        self._writer.add_image(name, np.asarray(Image.open(path)), iteration, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class _DvcLive:
    def __init__(self, out: Path) -> None:
        try:
            from dvclive.live import Live
            from scmrepo.exceptions import SCMError
        except ImportError as error:
            raise Missing(f"DVCLive is not installed: {_INSTALL}") from error
        try:
            self._live = Live(str(out / "dvclive"), resume=True, save_dvc_exp=False, dvcyaml=None)
        except SCMError as error:
            raise UsageError(
                f"DVCLive asks git for the last commit, and got: {error}. Make a first commit, or leave "
                "--track dvclive out"
            ) from error

    def scalars(self, values: dict[str, float], iteration: int) -> None:
        self._live.step = iteration
        for name, value in values.items():
            self._live.log_metric(name, value)
        self._live.make_summary()  # type: ignore[no-untyped-call]

    def picture(self, name: str, path: Path, iteration: int) -> None:
        self._live.log_image(f"{name.replace('/', '-')}-{iteration}.png", path)

    def close(self) -> None:
        self._live.end()  # type: ignore[no-untyped-call]


_TRACKERS: dict[str, type[_TensorBoard | _DvcLive]] = {"tensorboard": _TensorBoard, "dvclive": _DvcLive}
TRACKERS = tuple(_TRACKERS)
