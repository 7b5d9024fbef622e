"""Keep neutral faces: mini-XCEPTION's seven probabilities, weighed together with mouth, brows and eyes."""

from dataclasses import dataclass

import numpy as np

from manifests.schema import EMOTION, EMOTION_SCORES, EMOTIONS, FACE_SCORES, IDENTITY
from manifests.settings import NotNegative, Share
from pipeline import expression
from pipeline.expression import Features
from pipeline.faces import emotion
from pipeline.images import decode
from pipeline.stage import Drop, Row, RowStage

_COLUMNS = tuple(f"p_{name}" for name in EMOTIONS)
_MAX_PIXELS = 1024 * 1024  # chips are far smaller


@dataclass(frozen=True, slots=True)
class Scoring:
    """Whether expressions are judged at all."""

    enabled: bool = True  # false: every face passes, with null probabilities


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as neutral. Lengths are shares of the distance between the eye centres."""

    min_neutrality: Share = 0.82  # 0..1, as pipeline.expression.neutrality
    min_p_neutral: Share = 0.1  # 0..1, the network's own probability
    max_mouth_opening: NotNegative = 0.2  # gap between the inner lips
    max_p_happy: Share = 0.5  # 0..1, the network's probability of a smile
    allow_minor_smile: bool = False  # a closed mouth with little raised corners counts as neutral
    max_smile_opening: NotNegative = 0.05  # gap between the lips of a minor smile: beyond it teeth show
    max_smile_lift: NotNegative = 0.08  # mouth corners above the middle of the lips, in a minor smile


def score(row: Row, scoring: Scoring) -> Row:
    """The seven probabilities; null where no face was found or expressions are not judged."""
    if row["chip"] is None or not scoring.enabled:
        return {"fault": row["fault"]} | dict.fromkeys(_COLUMNS)
    found = emotion.probabilities(decode(row["chip"], _MAX_PIXELS)[np.newaxis])[0]
    return {"fault": None} | dict(zip(_COLUMNS, map(float, found), strict=True))


def decide(row: Row, scores: Row, limits: Limits) -> Row | Drop:
    """Drop open mouths, then smiles, then whatever else is not neutral."""
    kept = row | {name: scores[name] for name in _COLUMNS}
    if scores["p_neutral"] is None:
        return kept
    found = expression.features(row["landmarks"])
    probabilities = [scores[name] for name in _COLUMNS]
    if found.mouth_opening > limits.max_mouth_opening:
        return Drop("mouth_open", found.mouth_opening, limits.max_mouth_opening)
    if limits.allow_minor_smile and _is_minor(found, limits):
        probabilities = expression.without_smile(probabilities)
    elif scores["p_happy"] > limits.max_p_happy:
        return Drop("smile", scores["p_happy"], limits.max_p_happy)
    return _not_neutral(probabilities, found, limits) or kept


def _is_minor(found: Features, limits: Limits) -> bool:
    return found.mouth_opening <= limits.max_smile_opening and found.corner_lift <= limits.max_smile_lift


def _not_neutral(probabilities: list[float], found: Features, limits: Limits) -> Drop | None:
    """The rule that a face without a plain smile breaks, if any."""
    likeliest = EMOTIONS[int(np.argmax(probabilities))]
    rules = (
        (probabilities[EMOTIONS.index("neutral")], limits.min_p_neutral),
        (expression.neutrality(probabilities, found), limits.min_neutrality),
    )
    for value, limit in rules:
        if value < limit:
            return Drop("not_neutral", value, limit, f"likeliest: {likeliest}")
    return None


def _weights(scoring: Scoring) -> tuple[str, ...]:
    return (emotion.WEIGHTS,) if scoring.enabled else ()


STAGE = RowStage(
    name="emotion",
    reads=IDENTITY,
    writes=EMOTION,
    scores=EMOTION_SCORES,
    scoring=Scoring,
    limits=Limits,
    score=score,
    decide=decide,
    depends=("chip",),
    score_all=FACE_SCORES,
    weights=_weights,
    version="2",
)
