"""The emotion stage: probabilities from the chip, the neutral rule from probabilities and landmarks."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from manifests import weights
from manifests.errors import Missing
from manifests.schema import EMOTION_SCORES, EMOTIONS, IDENTITY
from pipeline.faces import emotion
from pipeline.images import encode_jpeg
from pipeline.progress import FetchProgress
from pipeline.stage import Drop
from stages import landmarks
from stages.emotion import STAGE, Limits, Scoring, decide, score
from tests.factories import make_rows
from tests.pipeline.test_expression import draw_face

CALM = {"neutral": 0.9, "sad": 0.1}


@pytest.fixture(scope="module")
def network():
    try:
        weights.ensure([emotion.WEIGHTS], FetchProgress())
    except Missing as error:
        pytest.skip(str(error))


def scores(**p):
    return {"fault": None} | {f"p_{name}": float(p.get(name, 0.0)) for name in EMOTIONS}


def row(**drawn):
    return make_rows(IDENTITY, 1, landmarks=(100 * draw_face(**drawn) + 50).ravel().tolist())[0]


def judge(p, limits=None, **drawn):
    """The drop of a drawn face, or None if it is kept."""
    result = decide(row(**drawn), scores(**p), limits or Limits())
    return result if isinstance(result, Drop) else None


def test_a_calm_face_is_kept_with_its_probabilities():
    given = row()
    kept = decide(given, scores(**CALM), Limits())
    assert kept == given | {f"p_{name}": CALM.get(name, 0.0) for name in EMOTIONS}


@pytest.mark.parametrize(
    ("p", "drawn", "reason", "value", "limit"),
    [
        (CALM, {"opening": 0.3}, "mouth_open", 0.3, 0.2),
        ({"happy": 0.8, "neutral": 0.2}, {}, "smile", 0.8, 0.5),
        ({"sad": 0.95, "neutral": 0.05}, {}, "not_neutral", 0.05, 0.1),
    ],
)
def test_each_rule_says_what_it_measured_and_allowed(p, drawn, reason, value, limit):
    drop = judge(p, **drawn)
    assert (drop.reason, drop.limit) == (reason, limit)
    assert drop.value == pytest.approx(value)


def test_a_doubtful_face_is_dropped_by_its_neutrality_and_the_likeliest_is_named():
    drop = judge({"neutral": 0.3, "surprise": 0.7}, brows=0.45, eyes=0.45)
    assert (drop.reason, drop.limit, drop.detail) == ("not_neutral", 0.82, "likeliest: surprise")
    assert 0.1 < drop.value < 0.82


def test_a_minor_smile_passes_only_when_asked_for_and_never_with_teeth():
    smile, lenient = {"happy": 0.7, "neutral": 0.3}, Limits(allow_minor_smile=True)
    assert judge(smile, lift=0.06).reason == "smile"
    assert judge(smile, lenient, lift=0.06) is None
    assert judge(smile, lenient, lift=0.16).reason == "smile"
    assert judge(smile, lenient, lift=0.06, opening=0.1).reason == "smile"
    assert judge({"happy": 0.1, "neutral": 0.9}, lenient, lift=0.06, opening=0.25).reason == "mouth_open"


def test_a_looser_limit_never_drops_more():
    rng = np.random.default_rng(5)
    for _ in range(200):
        p = dict(zip(EMOTIONS, rng.dirichlet(np.full(7, 0.5)), strict=True))
        drawn = {"opening": rng.uniform(0, 0.3), "lift": rng.uniform(-0.05, 0.2), "brows": rng.uniform(0.15, 0.4)}
        if judge(p, **drawn) is None:
            for looser in ({"min_neutrality": 0.5}, {"min_p_neutral": 0.0}, {"max_mouth_opening": 0.4}):
                assert judge(p, replace(Limits(), **looser), **drawn) is None
            assert judge(p, Limits(allow_minor_smile=True), **drawn) is None


def test_switched_off_every_face_passes_with_null_probabilities():
    found = score({"chip": b"not even read", "fault": None}, Scoring(enabled=False))
    assert set(found) == set(EMOTION_SCORES.names) - {"row_id"}
    assert not any(found.values())
    kept = decide(row(opening=0.4), found, Limits())
    assert kept["p_neutral"] is None
    assert STAGE.weights(Scoring(enabled=False)) == ()


def test_a_picture_without_a_face_has_null_scores_and_the_fault_of_landmarks():
    found = score({"chip": None, "fault": "no_face"}, Scoring())
    assert found.pop("fault") == "no_face"
    assert not any(found.values())


def test_scores_are_the_networks_probabilities_of_the_chip(network):
    chip = np.random.default_rng(2).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    found = score({"chip": encode_jpeg(chip), "fault": None}, Scoring())
    assert found["fault"] is None
    assert sum(found[f"p_{name}"] for name in EMOTIONS) == pytest.approx(1.0, abs=1e-5)
    assert STAGE.weights(Scoring()) == (emotion.WEIGHTS,)


def test_posed_real_faces_are_told_apart(real_data, network):
    """Of nine posing people: most neutral faces are kept, and no smile is."""
    with (real_data / "PROVENANCE.csv").open() as stream:
        files = [line["file"] for line in csv.DictReader(stream)]
    kept = {"normal": [], "happy": []}
    for kind, results in kept.items():
        for file in (f for f in files if f.endswith(f"_{kind}.png") and "/yale_" in f):
            found = landmarks.score({"image": (real_data / file).read_bytes()}, landmarks.Scoring())
            result = decide(found, score(found, Scoring()), Limits())
            results.append(not isinstance(result, Drop))
    assert len(kept["normal"]) >= 6
    assert np.mean(kept["normal"]) >= 0.6
    assert not any(kept["happy"])
