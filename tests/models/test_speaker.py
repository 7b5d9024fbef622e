"""The speaker encoder's step: cross-entropy of the speaker, at a rate that falls."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from models import speaker, voice2face
from tests.models import drawn
from tests.models.steps import batch, built, moved, step_of, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")
FACES = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)


def test_the_loss_is_cross_entropy_and_both_networks_move() -> None:
    step = step_of(speaker, drawn.SPEAKER, built(speaker, drawn.SPEAKER), speaker.phases(drawn.SPEAKER)[0])
    given = batch(voice2face.BANDS, FACES)
    mel = (given.mel - given.mel_mean[..., None]) / given.mel_std[..., None]
    logits = step.networks["classifier"](step.networks["encoder"](mel)).detach()
    before = {name: weights_of(network) for name, network in step.networks.items()}
    losses = speaker.update(step, given)
    assert float(losses["speaker"]) == pytest.approx(float(F.cross_entropy(logits, given.identity)), rel=1e-5)
    assert float(losses["error"]) == pytest.approx(float((logits.argmax(1) != given.identity).float().mean()))
    assert all(moved(network, before[name]) for name, network in step.networks.items())


def test_it_learns_five_voices() -> None:
    settings = replace(drawn.SPEAKER, rate=1e-2)
    step = step_of(speaker, settings, built(speaker, settings), speaker.phases(settings)[0])
    given = batch(voice2face.BANDS, FACES, voices=16)
    losses = [float(speaker.update(step, given)["speaker"]) for _ in range(30)]
    assert losses[-1] < 0.3 * losses[0]


def test_its_encoder_is_the_one_that_voice2face_freezes() -> None:
    with torch.device("meta"):
        ours = speaker.build(speaker.Settings(), 9)["encoder"].state_dict()
        wanted = voice2face.build(voice2face.Settings(), 5)["encoder"].state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in wanted.items()}
    assert speaker.FRONT_END == voice2face.FRONT_END and set(voice2face.NEEDS) == {"encoder"}


def test_the_rate_falls_linearly() -> None:
    (phase,) = speaker.phases(speaker.Settings())
    assert phase.rate("both", 0) == 1e-3 and phase.rate("both", 39_999) == pytest.approx(1e-5)


def test_it_makes_no_faces() -> None:
    assert not speaker.GENERATES and not hasattr(speaker, "faces")
