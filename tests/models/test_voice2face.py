"""voice2face's update against the released order written down plainly; its encoder stays as it came."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import voice2face
from models.system import Batch, Step
from tests.models import drawn
from tests.models.steps import batch, built, moved, moves, step_of, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")
FACES = torch.randint(256, (9, 3, 64, 64), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
SETTINGS = drawn.VOICE2FACE


def prepared() -> Step:
    return step_of(voice2face, SETTINGS, built(voice2face, SETTINGS), voice2face.phases(SETTINGS)[0])


def plain_update(step: Step, b: Batch, noise: torch.Generator) -> dict[str, Tensor]:
    """Discriminator and classifier first, then the generator against them as they are now."""
    n = step.networks
    adam = {
        name: torch.optim.Adam(n[name].parameters(), 2e-4, (0.5, 0.999), fused=False)
        for name in ("discriminator", "generator")
    }
    bce = F.binary_cross_entropy_with_logits
    flip = torch.rand(len(b.face), generator=noise) < 0.5
    real = torch.stack([f.flip(2) if flipped else f for f, flipped in zip(b.face, flip, strict=True)]) * 2 - 1
    e = F.normalize(n["encoder"]((b.mel - b.mel_mean[..., None]) / b.mel_std[..., None]).detach())
    e = F.normalize(e + 0.05 * torch.randn(e.shape, generator=noise))
    fake = n["generator"](e)[0]
    (real_r, who_r), (real_f, _) = n["discriminator"](real), n["discriminator"](fake.detach())
    losses = {
        "discriminator": bce(real_r, torch.ones(len(e))) + bce(real_f, torch.zeros(len(e))),
        "classifier": F.cross_entropy(who_r, b.face_identity),
    }
    (losses["discriminator"] + losses["classifier"]).backward()  # type: ignore[no-untyped-call]
    adam["discriminator"].step()
    real_f, who_f = n["discriminator"](fake)
    losses["image_gan"], losses["identity"] = bce(real_f, torch.ones(len(e))), F.cross_entropy(who_f, b.identity)
    losses["generator"] = losses["image_gan"] + losses["identity"]
    losses["generator"].backward()  # type: ignore[no-untyped-call]
    adam["generator"].step()
    return losses


def test_losses_and_weights_are_those_of_the_released_order() -> None:
    step = prepared()
    plain = replace(step, networks=copy.deepcopy(dict(step.networks)))
    given = batch(voice2face.BANDS, FACES)
    expected = plain_update(plain, given, torch.Generator().manual_seed(11))
    found = voice2face.update(step, given)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert float(value) == pytest.approx(float(expected[name].detach()), rel=1e-5), name
    for name in ("generator", "discriminator"):
        for one, other in zip(step.networks[name].parameters(), plain.networks[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=5e-5)  # a quarter of one step of Adam


def test_the_discriminator_moves_first_and_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = moves(monkeypatch, voice2face)
    voice2face.update(prepared(), batch(voice2face.BANDS, FACES))
    assert seen == [(name, {name}) for name in ("discriminator", "generator")]


def test_the_encoder_keeps_weights_and_statistics() -> None:
    step = prepared()
    before = {key: value.clone() for key, value in step.networks["encoder"].state_dict().items()}
    for seed in range(3):
        voice2face.update(step, batch(voice2face.BANDS, FACES, seed))
    after = step.networks["encoder"].state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_flips_and_noise_come_from_the_steps_generator() -> None:
    """Discriminator and classifier hear of the flips, the generator of the noise."""
    seen = []
    for seed in (1, 1, 2):
        step = prepared()
        step.noise.manual_seed(seed)
        seen.append({k: float(v) for k, v in voice2face.update(step, batch(voice2face.BANDS, FACES)).items()})
    assert seen[0] == seen[1]
    assert seen[0]["classifier"] != seen[2]["classifier"] and seen[0]["image_gan"] != seen[2]["image_gan"]


def test_a_loss_that_is_not_finite_moves_neither() -> None:
    step = prepared()
    before = {name: weights_of(network) for name, network in step.networks.items()}
    given = batch(voice2face.BANDS, FACES)
    voice2face.update(step, replace(given, face=torch.full_like(given.face, torch.nan)))
    assert not any(moved(network, before[name]) for name, network in step.networks.items())


def test_windows_are_averaged_over_those_that_count() -> None:
    networks = built(voice2face, SETTINGS)
    for network in networks.values():
        network.eval()
    given = batch(voice2face.BANDS, FACES, windows=3)
    assert given.n_windows is not None
    together = voice2face.embed(networks, given)
    for row, count in enumerate(given.n_windows.tolist()):
        parts = []
        for window in range(count):
            alone = replace(
                given,
                mel=given.mel[row, window][None],
                mel_mean=given.mel_mean[row, window][None],
                mel_std=given.mel_std[row, window][None],
                n_windows=None,
            )
            parts.append(voice2face.embed(networks, alone))
        torch.testing.assert_close(together[row], F.normalize(torch.cat(parts).mean(0), dim=0), rtol=1e-5, atol=1e-6)


def test_a_silent_band_is_no_division_by_zero() -> None:
    given = batch(voice2face.BANDS, FACES)
    silent = replace(given, mel=torch.full_like(given.mel, 2.0), mel_mean=torch.full_like(given.mel_mean, 2.0),
                     mel_std=torch.zeros_like(given.mel_std))  # fmt: skip
    assert not voice2face.normalised(silent).any()


def test_faces_are_pictures_without_noise() -> None:
    networks = built(voice2face, SETTINGS)
    for network in networks.values():
        network.eval()
    one, other = (voice2face.faces(networks, SETTINGS, batch(voice2face.BANDS, FACES)) for _ in range(2))
    assert torch.equal(one, other) and one.shape == (4, 3, 64, 64) and one.min() >= 0 and one.max() <= 1


def test_one_phase_of_unpaired_batches() -> None:
    (phase,) = voice2face.phases(voice2face.Settings())
    assert phase.kind == "unpaired" and phase.frames == (300, 800) and phase.batch == 128
    assert phase.trained == {"discriminator", "generator"}
    assert {phase.rate(name, i) for name in phase.optimisers for i in (0, 49_999)} == {2e-4}
    assert {optimiser.betas for optimiser in phase.optimisers.values()} == {(0.5, 0.999)}
