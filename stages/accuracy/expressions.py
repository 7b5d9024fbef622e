"""Neutral or not: precision and recall on people that the fit has not seen, and the fit itself.

The photographs of `faces/` were labelled by eye (labels/expressions.csv; minor smiles and unsure ones do not count),
and so were the smiles that show teeth (labels/smiles.csv).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from manifests.schema import EMOTIONS
from pipeline import expression
from pipeline.faces import emotion
from pipeline.images import decode
from pipeline.stage import Drop, Row
from stages import emotion as stage
from stages import landmarks
from stages.accuracy.finding import Aim, Finding, Interval, Unmeasured, share
from stages.accuracy.labelled import File, by_eye, files

_STAGE = "neutral or not"
_MIN_PRECISION, _MIN_RECALL = 0.75, 0.6
_L2 = 1.0  # inverse strength of the regularisation
_WEIGHT = 20.0  # of the neutral, and of the other, faces of each collection together
_FOLDS = 5  # of people, where a threshold is chosen
_WANTED = 0.8  # precision that a threshold is chosen for: a little more than what is aimed at
_LIMITS = np.arange(0.50, 0.96, 0.01)
_MAX_PIXELS = 10**6  # of a chip
_NEUTRAL = EMOTIONS.index("neutral")
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Faces:
    """Labelled faces, one row of each array per face."""

    rows: list[Row]  # of the landmarks scores
    seen: NDArray[np.float32]  # the network's probabilities, faces x 7
    evidence: Floats  # faces x 11
    neutral: Flags
    counted: Flags  # false for minor smiles, which are neither
    teeth: Flags
    person: NDArray[np.str_]
    source: NDArray[np.str_]  # posed, wild or crawl


def measure(data: Path) -> Iterator[Finding | Unmeasured]:
    """Precision and recall of the stage and of the plain network; every face judged by a fit without this person."""
    faces = read(data)
    if not (faces.neutral & (faces.source != "crawl")).any():
        yield Unmeasured(_STAGE, "precision and recall", "the data has no neutral faces in emotion/")
        return
    surely, passes = left_out(faces), other_rules(faces)
    kept = (surely >= stage.Limits().min_neutrality) & passes
    emotions = faces.source != "crawl"
    yield from _rates("stage", kept, faces, emotions, "posed and wild faces", aims=True)
    for name in ("posed", "wild"):
        yield from _rates("stage", kept, faces, faces.source == name, f"{name} faces")
    yield from _rates("stage", kept, faces, (faces.source == "crawl") & faces.counted, "photographs of a crawl")
    yield from _curve(surely * passes, faces, emotions)
    chosen = nested(faces, surely, passes)
    yield from _rates("threshold chosen without the person", chosen, faces, emotions, "posed and wild faces")
    plain = faces.seen.argmax(axis=1) == _NEUTRAL
    yield from _rates("plain mini-XCEPTION", plain, faces, emotions, "posed and wild faces")
    yield from _teeth("stage", kept, faces, Aim("<=", 0.0))
    yield from _teeth("plain mini-XCEPTION", plain, faces)


def _rates(who: str, kept: Flags, faces: Faces, at: Flags, on: str, aims: bool = False) -> Iterator[Finding]:
    right, neutral = int((kept & faces.neutral & at).sum()), int((faces.neutral & at).sum())
    note = f"{neutral} of {int(at.sum())} faces are neutral"
    for what, whole, least in (("precision", int((kept & at).sum()), _MIN_PRECISION), ("recall", neutral, _MIN_RECALL)):
        figure = share(right, whole) if whole else Interval(0.0, 0.0, 1.0)
        yield Finding(_STAGE, f"{who}: {what}", on, whole, figure, "%", Aim(">=", least) if aims else None, note)


def _curve(surely: Floats, faces: Faces, at: Flags) -> Iterator[Finding]:
    """Precision where the limit on neutrality gives a recall; a face that another rule drops is never kept."""
    neutral = faces.neutral[at]
    ranked = neutral[np.argsort(-surely[at], kind="stable")]
    for recall in (0.5, 0.6, 0.7, 0.8):
        right = int(np.ceil(recall * neutral.sum()))
        kept = int(np.searchsorted(np.cumsum(ranked), right)) + 1
        limit = np.sort(surely[at])[-kept]
        yield Finding(
            _STAGE,
            f"stage: precision at a recall of {recall}",
            "posed and wild faces",
            kept,
            share(right, kept),
            note=f"min_neutrality {limit:.2f}" if limit else "not to be had: another rule drops such faces",
        )


def _teeth(who: str, kept: Flags, faces: Faces, aim: Aim | None = None) -> Iterator[Finding | Unmeasured]:
    what = f"{who}: smiles that show teeth, kept as neutral"
    count = int(faces.teeth.sum())
    if count:
        yield Finding(_STAGE, what, "smiles", count, share(int((kept & faces.teeth).sum()), count), "%", aim)
    else:
        yield Unmeasured(_STAGE, what, "none of the data's smiles is labelled by eye")


def read(data: Path) -> Faces:
    """Find and measure the face of every labelled photograph, as the landmarks stage does."""
    labels, smiles = by_eye("expressions"), by_eye("smiles")
    found: list[tuple[File, str, Row]] = []
    for file in files(data, "emotion", "faces"):
        label = file.label if file.category == "emotion" else labels.get(file.sha256, {}).get("expression", "unsure")
        if label != "unsure":
            row = landmarks.score({"image": file.path.read_bytes()}, landmarks.Scoring())
            if row["fault"] is None:
                found.append((file, label, row))
    rows = [row for _, _, row in found]
    chips = [decode(row["chip"], _MAX_PIXELS) for row in rows]
    seen = emotion.probabilities(np.stack(chips)) if chips else np.zeros((0, len(EMOTIONS)), np.float32)
    features = [expression.features(row["landmarks"]) for row in rows]
    return Faces(
        rows,
        seen,
        np.array([expression.evidence(p, f) for p, f in zip(seen.tolist(), features, strict=True)]),
        np.array([label == "neutral" for _, label, _ in found], bool),
        np.array([label != "minor_smile" for _, label, _ in found], bool),
        np.array([file.sha256 in smiles for file, _, _ in found], bool),
        np.array([file.identity for file, _, _ in found], str),
        np.array([_source(file) for file, _, _ in found], str),
    )


def _source(file: File) -> str:
    if file.category == "faces":
        return "crawl"
    return "posed" if file.path.name.startswith("yale_") else "wild"


def other_rules(faces: Faces) -> Flags:
    """Which faces pass every rule of the stage except the one on neutrality, which is fitted here."""
    limits = replace(stage.Limits(), min_neutrality=0.0)
    scores = [{f"p_{name}": float(p) for name, p in zip(EMOTIONS, line, strict=True)} for line in faces.seen]
    return np.array(
        [not isinstance(stage.decide(row, s, limits), Drop) for row, s in zip(faces.rows, scores, strict=True)], bool
    )


def fit(faces: Faces, of: Flags) -> tuple[Floats, float]:
    """Slopes and offset of a logistic regression on some of the faces.

    Neutral and other faces of both collections weigh alike. Over all faces this gives the numbers that
    `pipeline.expression` holds.
    """
    of = of & faces.counted
    evidence, neutral, crawl = faces.evidence[of], faces.neutral[of], faces.source[of] == "crawl"
    weight = np.zeros(len(evidence))
    for collection in (crawl, ~crawl):
        for label in (neutral, ~neutral):
            weight[collection & label] = _WEIGHT / max((collection & label).sum(), 1)
    mean, spread = evidence.mean(axis=0), evidence.std(axis=0)
    model = LogisticRegression(C=_L2, max_iter=1000).fit((evidence - mean) / spread, neutral, weight)
    slopes = model.coef_[0] / spread
    return slopes, float(model.intercept_[0] - slopes @ mean)


def _neutrality(faces: Faces, of: Flags, fitted_on: Flags) -> Floats:
    slopes, offset = fit(faces, fitted_on)
    surely: Floats = 1.0 / (1.0 + np.exp(-(faces.evidence[of] @ slopes + offset)))
    return surely


def left_out(faces: Faces) -> Floats:
    """Neutrality of every face by a fit without this person."""
    surely = np.zeros(len(faces.rows))
    for person in np.unique(faces.person):
        his = faces.person == person
        surely[his] = _neutrality(faces, his, ~his)
    return surely


def nested(faces: Faces, surely: Floats, passes: Flags) -> Flags:
    """Which posed and wild faces are kept if the threshold, too, is chosen without the person.

    It is the lowest that gives the wanted precision on the others, each judged by a fit without a fifth of the people.
    """
    kept = np.zeros(len(surely), bool)
    people = np.unique(faces.person)
    emotions = faces.source != "crawl"
    for person in np.unique(faces.person[emotions]):
        his = faces.person == person
        others = np.zeros(len(surely))
        for fold in range(_FOLDS):
            tested = np.isin(faces.person, people[fold::_FOLDS]) & ~his
            others[tested] = _neutrality(faces, tested, ~tested & ~his)
        at = emotions & ~his & passes
        kept[his] = surely[his] >= _threshold(others[at], faces.neutral[at])
    return kept & passes


def _threshold(surely: Floats, neutral: Flags) -> float:
    for limit in _LIMITS:
        if (surely >= limit).any() and neutral[surely >= limit].mean() >= _WANTED:
            return float(limit)
    return float(_LIMITS[-1])
