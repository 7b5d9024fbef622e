"""Whether mirrored and resized copies of a photograph are decided as the photograph is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.images import Pixels
from pipeline.stage import Drop, Row
from pipeline.warp import resized
from stages import emotion
from stages.accuracy.finding import Aim, Finding, Unmeasured, share
from stages.accuracy.scored import KEPT, Photo, decision, only, photos, score
from stages.landmarks import Limits

_STAGE = "same decision"
_SCALES = (0.8, 0.55, 0.35)
_LEAST_PX = Limits().min_pupil_px or 0.0
_SMALLEST_PX = _LEAST_PX * 2.0 / 3.0  # below, the face may not be found, which is another rule
_ONLY_SIZE = only("min_pupil_px")


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """The share of mirrored, then of resized copies that are decided alike."""
    pictures = photos(data)
    if not pictures:
        yield Unmeasured(_STAGE, "mirrored and resized copies", "the data has no photographs with faces in faces/")
        return
    yield _mirrored(pictures)
    yield from _resized(pictures)


def _mirrored(pictures: tuple[Photo, ...]) -> Finding:
    same = sum(_both(photo.scores) == _both(score(np.ascontiguousarray(photo.pixels()[:, ::-1]))) for photo in pictures)
    what = "the mirror image: same decision and reason of landmarks and of emotion"
    return Finding(_STAGE, what, "photographs", len(pictures), share(same, len(pictures)), aim=Aim(">=", 1.0))


def _both(scores: Row) -> tuple[str, str]:
    """The decisions of the landmarks and of the emotion stage."""
    if scores["fault"] is not None:
        return scores["fault"], scores["fault"]
    judged = emotion.decide(scores, emotion.score(scores, emotion.Scoring()), emotion.Limits())
    return decision(scores, Limits()), judged.reason if isinstance(judged, Drop) else KEPT


def _resized(pictures: tuple[Photo, ...]) -> Iterator[Finding]:
    """Pairs of a photograph that is large enough and a smaller copy of it."""
    limits = Limits()
    above: list[tuple[str, str]] = []  # decisions on photographs and on copies that are still large enough
    sizes: list[tuple[float, bool]] = []  # distance expected, whether the rule is right about it
    for photo in pictures:
        if photo.scores["pupil_px"] < _LEAST_PX:
            continue
        pixels, original = photo.pixels(), decision(photo.scores, limits)
        for expected_px, copy in _smaller(pixels, photo.scores["pupil_px"]):
            if expected_px >= _LEAST_PX:
                above.append((original, decision(copy, limits)))
            if copy["fault"] is None:
                sizes.append((expected_px, (decision(copy, _ONLY_SIZE) == KEPT) == (expected_px >= _LEAST_PX)))
    if not above:
        return
    alike = sum((before == KEPT) == (after == KEPT) for before, after in above)
    reasons = sum(before == after for before, after in above)
    yield Finding(
        _STAGE, "resized: kept or dropped alike", f"smaller copies with pupils ≥ {_LEAST_PX:.0f} px apart", len(above),
        share(alike, len(above)), aim=Aim(">=", 0.99), note=f"for the same reason: {reasons / len(above):.1%}",
    )  # fmt: skip
    wrong_px = [abs(expected_px - _LEAST_PX) for expected_px, right in sizes if not right]
    yield Finding(
        _STAGE, f"resized: the {_LEAST_PX:.0f} px rule decides as the scaled distance says",
        f"smaller copies with pupils ≥ {_SMALLEST_PX:.0f} px apart", len(sizes),
        share(len(sizes) - len(wrong_px), len(sizes)), aim=Aim(">=", 0.98),
        note=f"wrong ones at most {max(wrong_px, default=0.0):.1f} px from the limit",
    )  # fmt: skip


def _smaller(pixels: Pixels, pupil_px: float) -> Iterator[tuple[float, Row]]:
    """Expected distance of the pupils and scores of each smaller copy."""
    for scale in _SCALES:
        if scale * pupil_px >= _SMALLEST_PX:
            yield scale * pupil_px, score(resized(pixels, scale))
