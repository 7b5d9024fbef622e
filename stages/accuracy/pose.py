"""Yaw and pitch against known rotations, and decisions that copies of a photograph must share."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.pose import LEVEL_PITCH_DEG
from pipeline.stage import Row
from pipeline.world.faces import photograph
from pipeline.world.scene import draw_scene
from pipeline.world.traits import draw_person
from stages.accuracy import copies
from stages.accuracy.finding import Aim, Finding, Unmeasured, bootstrap, share
from stages.accuracy.labelled import files
from stages.accuracy.scored import KEPT, decision, score, score_bytes
from stages.landmarks import Limits

_STAGE = "yaw, pitch"
_SEED = 20
_WIDE, _WIDE_DEG = 150, 30.0  # drawn heads turned and nodded up to so far, evenly
_NEAR, _NEAR_DEG = 300, 12.0  # and more of those about which a 5-degree limit has to decide
_TRULY_DEG = 10.0  # what passes may not be turned farther
_LEVEL_DEG = 5.0  # pitch within which heads say where the zero lies
_ANNOTATION = "aflw2000_pose.csv"
_LOOKS_AHEAD = "yale_"  # names of photographs whose sitters were told to look ahead


@dataclass(frozen=True, slots=True)
class Head:
    """A head of known rotation and what was measured of it."""

    yaw_deg: float
    pitch_deg: float
    scores: Row

    @property
    def errors_deg(self) -> tuple[float, float]:
        """Measured minus true yaw and pitch."""
        return self.scores["yaw_deg"] - self.yaw_deg, self.scores["pitch_deg"] - self.pitch_deg

    def within(self, limit_deg: float) -> bool:
        """Whether neither true angle exceeds the limit."""
        return max(abs(self.yaw_deg), abs(self.pitch_deg)) <= limit_deg


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Errors on drawn heads and annotated photographs, then the decisions on mirrored and resized copies."""
    heads = drawn_heads(_SEED, _WIDE, _WIDE_DEG), drawn_heads(_SEED + 1, _NEAR, _NEAR_DEG)
    yield from of_drawn(*heads)
    yield _annotated(data)
    yield _looking_ahead(data)
    yield from copies.measure(data)


def drawn_heads(seed: int, count: int, most_deg: float) -> list[Head]:
    """People of the synthetic world, photographed at yaw and pitch up to `most_deg` either way, and measured."""
    rng = np.random.default_rng(seed)
    heads = []
    for index in range(count):
        yaw_deg, pitch_deg = (float(angle) for angle in rng.uniform(-most_deg, most_deg, 2))
        scene = replace(draw_scene(rng), yaw_deg=yaw_deg, pitch_deg=pitch_deg)
        heads.append(Head(yaw_deg, pitch_deg, score(photograph(draw_person(seed, index), scene).pixels)))
    return heads


def of_drawn(wide: list[Head], near: list[Head]) -> Iterator[Finding]:
    """Median errors, the zero of pitch, and what the default limits keep of heads of known rotation."""
    found = [head for head in wide if head.scores["fault"] is None]
    errors = _errors(found)
    for axis, name in enumerate(("yaw", "pitch")):
        yield Finding(
            _STAGE, f"{name}: median error", f"drawn heads, yaw and pitch within ±{_WIDE_DEG:.0f}°", len(found),
            bootstrap(np.abs(errors[:, axis]).tolist(), np.median), "°", Aim("<=", 3.0),
            note=f"{len(wide) - len(found)} of {len(wide)} not found; median signed {np.median(errors[:, axis]):+.1f}°",
        )  # fmt: skip
    level = [head for head in near if abs(head.pitch_deg) <= _LEVEL_DEG and head.scores["fault"] is None]
    yield Finding(
        _STAGE, "zero of pitch: median signed error", f"drawn heads nodding at most {_LEVEL_DEG:.0f}°", len(level),
        bootstrap(_errors(level)[:, 1].tolist(), np.median), "°", note=f"after {LEVEL_PITCH_DEG}° are taken off",
    )  # fmt: skip
    yield from _kept(wide + near)


def _errors(heads: list[Head]) -> NDArray[np.float64]:
    return np.array([head.errors_deg for head in heads])


def _kept(heads: list[Head]) -> Iterator[Finding]:
    """How right the default limits are, and how much they keep of what is right."""
    limits = Limits()
    rule = f"limits {limits.max_yaw_deg:.0f}° and {limits.max_pitch_deg:.0f}°"
    drawn = f"; {len(heads)} heads drawn: {_WIDE} within ±{_WIDE_DEG:.0f}°, {_NEAR} within ±{_NEAR_DEG:.0f}°"
    kept = [head for head in heads if decision(head.scores, limits) == KEPT]
    right = sum(head.within(_TRULY_DEG) for head in kept)
    yield Finding(
        _STAGE, f"{rule}: of those kept, truly within {_TRULY_DEG:.0f}° on both axes", "drawn heads kept", len(kept),
        share(right, len(kept)), aim=Aim(">=", 0.9), note="even draws, so most heads lie beyond the limits" + drawn,
    )  # fmt: skip
    true = [head for head in heads if head.within(min(limits.max_yaw_deg or 0.0, limits.max_pitch_deg or 0.0))]
    again = sum(decision(head.scores, limits) == KEPT for head in true)
    yield Finding(
        _STAGE, f"{rule}: recall", "drawn heads truly within the limits", len(true), share(again, len(true)),
        note="every other rule of the stage applied too",
    )  # fmt: skip


def _annotated(data: Path) -> Finding | Unmeasured:
    """Every photograph of AFLW2000-3D that is there, and the error of those near frontal."""
    listing, what = data / "landmarks" / _ANNOTATION, "annotated photographs: median error of yaw and pitch together"
    if not listing.is_file():
        return Unmeasured(_STAGE, what, f"the data has no landmarks/{_ANNOTATION}")
    heads, notes = [], []
    with listing.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            # The annotation counts yaw positive to the left.
            yaw_deg, pitch_deg = -float(line["yaw_deg"]), float(line["pitch_deg"])
            head = Head(yaw_deg, pitch_deg, score_bytes((listing.parent / line["image"]).read_bytes()))
            heads.append(head)
            notes.append(f"{yaw_deg:+.0f}/{pitch_deg:+.0f} measured {_seen(head)}")
    near = [head for head in heads if head.within(_WIDE_DEG) and head.scores["fault"] is None]
    if not near:
        return Unmeasured(_STAGE, what, f"no picture of {_ANNOTATION} within ±{_WIDE_DEG:.0f}°")
    return Finding(
        _STAGE, what, f"angles of photographs within ±{_WIDE_DEG:.0f}°", 2 * len(near),
        bootstrap(np.abs(_errors(near)).ravel().tolist(), np.median), "°",
        note="yaw/pitch of all: " + ", ".join(notes),
    )  # fmt: skip


def _seen(head: Head) -> str:
    s = head.scores
    return "nothing" if s["fault"] else f"{s['yaw_deg']:+.0f}/{s['pitch_deg']:+.0f} ({decision(s, Limits())})"


def _looking_ahead(data: Path) -> Finding | Unmeasured:
    """The zero of pitch on people who look ahead with a neutral face."""
    what, scored = "zero of pitch: median", []
    for file in files(data, "emotion"):
        if file.label == "neutral" and file.path.name.startswith(_LOOKS_AHEAD):
            scored.append(score_bytes(file.path.read_bytes()))
    pitch_deg = [float(scores["pitch_deg"]) for scores in scored if scores["fault"] is None]
    if not pitch_deg:
        return Unmeasured(_STAGE, what, "no photographs of people told to look ahead")
    spread = f"standard deviation {np.std(pitch_deg):.1f}°: faces differ, and so do the heights of chins"
    figure = bootstrap(pitch_deg, np.median)
    return Finding(_STAGE, what, "people told to look ahead", len(pitch_deg), figure, "°", note=spread)
