"""Train the person segmenter: `pipeline train-segmenter` on folders of masks, the synthetic world or Pascal VOC."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import Missing, UsageError
from pipeline.faces import segmenter_data as data
from pipeline.faces import segmenter_drawing as drawing
from pipeline.faces.segmenter import Architecture, Segmenter, build, load, normalised, person_probability, save
from pipeline.faces.segmenter_data import Example, Library


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What `pipeline train-segmenter` may be told."""

    out: Path  # the safetensors file to write
    folders: tuple[Path, ...] = ()  # each with images/ + masks/, cutouts_rgba/, backgrounds/, or some of them
    voc: Path | None = None  # VOCdevkit/VOC2012
    start: Path | None = None  # weights to go on from, of any side and stride
    world_people: int = 200  # synthetic people to draw, 0 for none
    world_share: float = 0.2  # of the training pictures
    keep_third: bool = True  # leave files out whose sha256 is divisible by 3, for the last measurement
    keep_validation: bool = True  # leave a sixth of the rest out, to tune by
    steps: int = 4000  # batches
    batch: int = 16  # pictures
    rate: float = 2e-3  # AdamW's highest learning rate
    decay: float = 0.02  # AdamW's weight decay
    average: float = 0.995  # of the weights, from one step to the next
    report_every: int = 200  # steps between measurements and checkpoints
    seed: int = 0
    side: int = 144  # pixels
    stride: int = 8  # pixels per cell of the last feature map; 16 learns twice as fast
    bfloat16: bool = False  # faster on processors that have it


def train(settings: TrainSettings, report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Train, continue where a killed run stopped, write `settings.out`; `report` is called with each measurement.

    Raises Missing where the settings name no picture to learn from, UsageError where the checkpoint beside the file
    belongs to other settings.
    """
    torch.set_num_threads(1)
    learn, check = read(settings)
    architecture = Architecture(settings.side, settings.stride)
    torch.manual_seed(settings.seed)
    net = build(architecture)
    if settings.start is not None:
        net.load_state_dict(load(settings.start).net.state_dict())
    averaged = build(architecture).requires_grad_(False).eval()
    averaged.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    parts = {"net": net, "averaged": averaged, "optimiser": optimiser}
    checkpoint, key = settings.out.with_suffix(".checkpoint"), repr(settings)
    first, begun = _resume(checkpoint, key, parts), time.perf_counter()
    about: dict[str, Any] = {}
    for step in range(first, settings.steps):
        torch.manual_seed(settings.seed * 1_000_003 + step)  # dropout, the same after a restart
        _set_rate(optimiser, settings, step)
        value = update(net, optimiser, *batch(learn, settings, step), settings.bfloat16)
        _follow(averaged, net, settings.average, step)
        if (step + 1) % settings.report_every == 0 or step + 1 == settings.steps:
            about = _about(settings, learn, check, averaged, architecture, step + 1)
            save(settings.out, averaged, architecture, about)
            _keep(checkpoint, key, parts, step + 1)
            seconds = (time.perf_counter() - begun) / (step + 1 - first)
            iou = about["validation_iou"]
            report({"step": step + 1, "of": settings.steps, "loss": value, "iou": iou, "seconds_per_step": seconds})
    return about


def read(settings: TrainSettings) -> tuple[Library, tuple[Example, ...]]:
    """What to learn from and what to check with."""
    people: list[Example] = []
    check: list[Example] = []
    backgrounds = []

    def place(content: bytes, example: Example) -> None:
        if settings.keep_third and data.held_out(content):
            return
        chosen = check if settings.keep_validation and data.validation(content) else people
        chosen.append(example)

    for folder in settings.folders:
        for content, example in (*data.read_pairs(folder), *data.read_cutouts(folder)):
            place(content, example)
        backgrounds += [b for c, b in data.read_backgrounds(folder) if not (settings.keep_third and data.held_out(c))]
    if settings.voc is not None:
        people += [example for _, example in data.read_voc(settings.voc, "train")]
        check += [example for _, example in data.read_voc(settings.voc, "val")]
    synthetic = list(data.draw_world(settings.world_people, settings.seed))
    if not people and not synthetic:
        raise Missing(
            "no picture with a mask to learn from; name some with --folder DIR, --voc DIR or --world-people N"
        )
    return data.library(people, backgrounds, synthetic), tuple(e for e in check if e.faces and not e.cut_out)


def batch(library: Library, settings: TrainSettings, step: int) -> tuple[Tensor, Tensor]:
    """The pictures (n, 3, side, side) and masks (n, 1, side, side) of one step: they depend on seed and step alone."""
    rng = np.random.default_rng((settings.seed, step))
    drawn = [drawing.draw(library, rng, settings.side, settings.world_share) for _ in range(settings.batch)]
    pixels = normalised(np.stack([pixels for pixels, _ in drawn]))
    masks = torch.from_numpy(np.stack([alpha for _, alpha in drawn])).float().div(255)[:, None]
    return pixels.contiguous(memory_format=torch.channels_last), masks


def update(net: nn.Module, optimiser: torch.optim.Optimizer, pixels: Tensor, masks: Tensor, bfloat16: bool) -> float:
    """One step down the loss."""
    net.train()
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = net(pixels)
    value = loss(logits.float(), masks)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(value.detach())


def loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross entropy plus one minus the soft Dice overlap of each picture (Milletari et al. 2016); (n, 1, h, w) each."""
    p = torch.sigmoid(logits)
    overlap = 2 * (p * masks).sum((1, 2, 3)) + 1
    dice = overlap / ((p * p).sum((1, 2, 3)) + (masks * masks).sum((1, 2, 3)) + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - dice).mean()


def validation_iou(segmenter: Segmenter, examples: Sequence[Example]) -> float | None:
    """Mean intersection over union on squares of three face boxes around the largest face."""
    ious = []
    for example in examples:
        x, y, box = example.faces[0]
        square = (x, y, 3 * box)
        pixels = drawing.crop(example.pixels, square, 256, None)
        truth = drawing.crop(example.alpha, square, 256, None) > 127
        found = person_probability(pixels, segmenter) > 0.5
        ious.append((found & truth).sum() / max((found | truth).sum(), 1))
    return round(float(np.mean(ious)), 4) if ious else None


def _set_rate(optimiser: torch.optim.Optimizer, settings: TrainSettings, step: int) -> None:
    """A short climb, then half a cosine down to nothing."""
    climb = max(1, settings.steps // 20)
    if step < climb:
        share = (step + 1) / climb
    else:
        share = 0.5 + 0.5 * math.cos(math.pi * (step - climb) / (settings.steps - climb))
    for group in optimiser.param_groups:
        group["lr"] = settings.rate * share


@torch.no_grad()
def _follow(averaged: nn.Module, net: nn.Module, average: float, step: int) -> None:
    keep = min(average, (step + 1) / (step + 10))  # early on the past is worth little
    for old, new in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _about(
    settings: TrainSettings, learn: Library, check: Sequence[Example], net: nn.Module, arch: Architecture, step: int
) -> dict[str, Any]:
    kept = {k: v for k, v in asdict(settings).items() if k not in ("out", "folders", "voc", "start", "report_every")}
    return {
        "validation_iou": validation_iou(Segmenter(net, arch, {}), check),
        "validation_photos": len(check),
        "people": len(learn.people),
        "backgrounds": len(learn.backgrounds),
        "synthetic": len(learn.synthetic),
        "data": "pascal-voc-2012" if settings.voc else "image and mask pairs",
        "step": step,
        "settings": kept,
    }


def _keep(path: Path, key: str, parts: dict[str, Any], step: int) -> None:
    temporary = path.with_name(path.name + ".part")
    torch.save({"key": key, "step": step, **{name: part.state_dict() for name, part in parts.items()}}, temporary)
    temporary.replace(path)


def _resume(path: Path, key: str, parts: dict[str, Any]) -> int:
    """Fill in what a killed run had reached; the number of steps it had made."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["key"] != key:
        raise UsageError(f"{path} was written with other settings; remove it, or choose another --out")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])
