"""Wav2Pix: its table row by row, its losses written out in float64, and the faults of its code that are not here."""

import copy
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor, nn

from manifests.errors import UsageError
from models import state, system, wav2pix
from models.experiments import find, parameters
from models.noise import seeded, strangers
from models.state import LAST
from models.system import Batch, Step
from models.wav2pix import Discriminator, Encoder, Generator, discriminator_loss, prepared
from tests.models import drawn
from tests.models.drawn import Sketch
from tests.models.networks import check_gradients, check_rows_alone, n_parameters, on_meta, shapes
from tests.models.steps import batch, built, moved, moves, step_of, weights_of
from tests.models.test_train import check_same, interrupted, run

pytestmark = pytest.mark.usefixtures("one_thread")
FULL, SETTINGS = wav2pix.Settings(), drawn.WAV2PIX
FACES = torch.randint(256, (9, 3, 16, 16), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def waves(seed: int = 0) -> Batch:
    given = batch(160, FACES, seed, frames=100)
    return replace(given, mel=(given.mel - 11) / 100)


def prepared_step(settings: wav2pix.Settings = SETTINGS) -> Step:
    return step_of(wav2pix, settings, built(wav2pix, settings), wav2pix.phases(settings)[0])


def test_every_row_of_the_encoder() -> None:
    network = on_meta(lambda: Encoder(FULL.encoder_channels, FULL.hidden, FULL.embedding))
    second = torch.zeros(1, 16_000, device="meta")
    assert shapes(network, nn.Conv1d, second) == [
        (16, 4000), (32, 1000), (128, 250), (256, 63), (512, 16), (1024, 4)
    ]  # fmt: skip
    assert shapes(network, nn.Linear, second) == [(256,), (128,), (128,)]
    assert shapes(network, nn.AdaptiveAvgPool1d, second) == [(1024, 4)]  # of a second nothing is averaged


def test_every_row_of_the_generator() -> None:
    network = on_meta(lambda: Generator(128, FULL.generator_channels, FULL.dropout))
    heard = torch.zeros(1, 128, device="meta")
    assert shapes(network, nn.ConvTranspose2d, heard) == [
        (1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (3, 128, 128)
    ]  # fmt: skip
    kinds = [type(layer).__name__.removeprefix("Parametrized") for layer in network.layers]  # type: ignore[union-attr]
    assert kinds == ["ConvTranspose2d", *["Dropout", "ReLU", "ConvTranspose2d"] * 5, "Tanh"]  # none before the tanh


def test_every_row_of_the_discriminator() -> None:
    network = on_meta(lambda: Discriminator(FULL.discriminator_channels, 128))
    face, heard = torch.zeros(1, 3, 128, 128, device="meta"), torch.zeros(1, 128, device="meta")
    assert shapes(network, nn.Conv2d, face, heard) == [
        (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4), (1, 1, 1)
    ]  # fmt: skip
    score, features = network(face, heard)
    assert score.shape == (1,) and features.shape == (1, 1024, 4, 4)


def test_parameters() -> None:
    encoder = sum(15 * i * o + 2 * o for i, o in [(1, 16), (16, 32), (32, 128), (128, 256), (256, 512), (512, 1024)])
    linear = sum(i * o + o for i, o in [(4096, 256), (256, 128), (128, 128)])
    generator = sum(16 * i * o for i, o in pairwise([128, 1024, 512, 256, 128, 64, 3]))
    discriminator = sum(16 * i * o for i, o in pairwise([3, 64, 128, 256, 512, 1024])) + 16 * (1024 + 128)
    classifier = 128 * 200 + 200 + 2 * 200 + 200 * 2890 + 2890 + 2 * 2890
    assert parameters(find("wav2pix")) == {
        "encoder": encoder + linear, "generator": generator, "discriminator": discriminator, "classifier": classifier
    }  # fmt: skip


def test_weights_begin_with_a_deviation_of_a_fiftieth() -> None:
    torch.manual_seed(0)
    encoder, judge = Encoder((16, 32, 64), (8,), 8), Discriminator((32, 64), 32)
    for weight in (encoder.layers[9].weight, judge.last.weight):
        assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)  # type: ignore[operator, union-attr]


def test_spectral_norm_is_on_every_convolution_but_the_last_of_the_discriminator() -> None:
    networks = built(wav2pix, SETTINGS)
    for name, kind, without in (("generator", nn.ConvTranspose2d, 0), ("discriminator", nn.Conv2d, 1)):
        layers = [layer for layer in networks[name].modules() if isinstance(layer, kind)]
        bare = [layer for layer in layers if not hasattr(layer, "parametrizations")]
        assert len(bare) == without and all(layer.bias is None for layer in layers)


def test_a_discriminator_that_hears_the_direction_does_not_hear_the_length() -> None:
    """As the official code has it, the scores of all faces rise with the length of what is heard."""
    torch.manual_seed(0)
    judge = Discriminator((4, 6), 5)
    of_direction = Discriminator((4, 6), 5, "direction")
    of_direction.load_state_dict(judge.state_dict())
    for network in (judge, of_direction):
        network.eval()  # spectral norm moves on in training
    face, heard = random(3, 3, 16, 16), random(3, 5, seed=1)
    unit = heard / heard.norm(dim=1, keepdim=True)
    for length in (1e-3, 1.0, 1e3):
        torch.testing.assert_close(of_direction(face, length * heard)[0], judge(face, unit)[0])
    gap = judge(face, 2 * heard)[0] - judge(face, heard)[0]
    assert gap.abs().min() > 0
    torch.testing.assert_close(judge(face, 3 * heard)[0] - judge(face, heard)[0], 2 * gap)  # linear, whatever the face


@pytest.mark.parametrize("samples", [4000, 16_000, 50_000])
def test_any_length_has_an_embedding(samples: int) -> None:
    """The official code sizes its first linear layer by a guess from the length."""
    network = Encoder((4,) * 6, (8, 8), 5).eval()
    assert network(random(2, samples)).shape == (2, 5)


def test_gradients_and_rows() -> None:
    torch.manual_seed(0)
    encoder, judge = Encoder((4,) * 6, (16, 16), 5), Discriminator((4, 6), 5)
    check_gradients(encoder, random(3, 16_000))
    check_rows_alone(encoder, random(3, 16_000))
    check_gradients(judge, random(3, 3, 16, 16), random(3, 5))
    check_gradients(Generator(5, (6, 4), 0.0), random(3, 5))


def test_the_middle_second_is_heard_at_one_level_with_pre_emphasis() -> None:
    wave = 0.2 * random(2, 40_000)
    found = prepared(wave)
    middle = wave[:, 12_000:28_000].double().numpy()
    middle /= np.abs(middle).max(axis=1, keepdims=True)
    expected = signal.lfilter([1, -0.95], [1], middle)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    torch.testing.assert_close(prepared(3 * wave), found)


def test_a_short_recording_is_repeated_and_silence_stays_silent() -> None:
    short = random(1, 5000)
    assert torch.equal(prepared(short), prepared(short.repeat(1, 4)[:, :16_000]))
    assert not prepared(torch.zeros(1, 16_000)).any()


def test_the_largest_sample_counts_whatever_its_sign() -> None:
    """Divided by its maximum alone, a wave that is negative at its loudest would be above full scale."""
    wave = torch.full((1, 16_000), 0.1)
    wave[0, 100] = -0.8
    torch.testing.assert_close(prepared(wave), prepared(-wave) * -1)


def test_the_discriminators_loss_is_written_out() -> None:
    real, fake, wrong = (random(4, seed=n, dtype=torch.float64) for n in range(3))
    there = torch.tensor([True, False, True, True])
    expected = (
        math.fsum((float(x) - 0.9) ** 2 for x in real) / 4
        + math.fsum(float(x) ** 2 for x in fake) / 4
        + math.fsum(float(x) ** 2 for x, other in zip(wrong, there, strict=True) if other) / 3
    )
    assert float(discriminator_loss(real, fake, wrong, there)) == pytest.approx(expected, rel=1e-5)
    nobody = discriminator_loss(real, fake, wrong, torch.zeros(4, dtype=torch.bool))
    assert float(nobody) == pytest.approx(float(((real - 0.9) ** 2).mean() + (fake**2).mean()), rel=1e-5)


def plain_update(step: Step, given: Batch, noise: torch.Generator) -> dict[str, Tensor]:
    """The official order, everything beside each other."""
    n, mse = step.networks, nn.MSELoss()
    together = [*n["encoder"].parameters(), *n["generator"].parameters(), *n["classifier"].parameters()]
    for_judge = torch.optim.Adam(n["discriminator"].parameters(), 4e-4, (0.5, 0.999))
    for_rest = torch.optim.Adam(together, 1e-4, (0.5, 0.999))
    real = given.face * 2 - 1
    rows, there = strangers(given.identity, 1, noise)
    assert there.all()
    with seeded(noise):
        e = n["encoder"](prepared(given.wave))
        fake = n["generator"](e)
        who = n["classifier"](e)
    d_real, d_fake, d_wrong = (n["discriminator"](x, e.detach())[0] for x in (real, fake.detach(), real[rows[:, 0]]))
    zeros, ones = torch.zeros(4), torch.ones(4)
    losses = {"discriminator": mse(d_real, 0.9 * ones) + mse(d_fake, zeros) + mse(d_wrong, zeros)}
    losses["discriminator"].backward()
    for_judge.step()
    called, found = n["discriminator"](fake, e)
    wanted = n["discriminator"](real, e)[1].detach()
    losses["image_gan"] = mse(called, ones)
    losses["feature_matching"] = mse(found.mean(0), wanted.mean(0))
    losses["l1"] = nn.L1Loss()(fake, real)
    losses["identity"] = nn.CrossEntropyLoss()(who, given.identity)
    losses["generator"] = (
        losses["image_gan"] + 100 * losses["feature_matching"] + 50 * losses["l1"] + 20 * losses["identity"]
    )
    losses["generator"].backward()
    for_rest.step()
    return losses


def test_losses_and_weights_are_those_of_the_official_order() -> None:
    step = prepared_step()
    plain = replace(step, networks=copy.deepcopy(dict(step.networks)))
    given = waves()
    noise = torch.Generator().manual_seed(11)
    expected = plain_update(plain, given, noise)
    found = wav2pix.update(step, given)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert float(value) == pytest.approx(float(expected[name].detach()), rel=1e-4), name
    for name in step.networks:
        for one, other in zip(step.networks[name].parameters(), plain.networks[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=5e-5)  # a fraction of one step of Adam


def test_the_discriminator_moves_first_then_all_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = moves(monkeypatch, wav2pix)
    wav2pix.update(prepared_step(), waves())
    assert seen == [("discriminator", {"discriminator"}), ("generator", {"encoder", "generator", "classifier"})]


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    step = prepared_step()
    before = {name: weights_of(network) for name, network in step.networks.items()}
    given = waves()
    wav2pix.update(step, replace(given, face=torch.full_like(given.face, torch.nan)))
    assert not any(moved(network, before[name]) for name, network in step.networks.items())


def test_dropout_draws_from_the_steps_seed() -> None:
    seen = []
    for seed in (1, 1, 2):
        step = prepared_step()
        step.noise.manual_seed(seed)
        torch.manual_seed(int(1000 * torch.rand(())))  # whatever else has drawn
        seen.append({k: float(v) for k, v in wav2pix.update(step, waves()).items()})
    assert seen[0] == seen[1] and seen[0]["l1"] != seen[2]["l1"]


def test_faces_are_pictures_without_dropout() -> None:
    """The official code leaves its networks in training mode when it makes faces."""
    networks = built(wav2pix, SETTINGS)
    for network in networks.values():
        network.eval()
    one, other = (wav2pix.faces(networks, SETTINGS, waves()) for _ in range(2))
    assert torch.equal(one, other) and one.shape == (4, 3, 16, 16) and one.min() >= 0 and one.max() <= 1
    whole = waves()
    windows = replace(whole, mel=torch.stack([whole.mel] * 3, dim=1), n_windows=torch.tensor([1, 2, 3, 3]))
    torch.testing.assert_close(wav2pix.faces(networks, SETTINGS, windows), one)


def test_settings_are_those_of_the_official_code() -> None:
    (phase,) = wav2pix.phases(FULL)
    assert (phase.kind, phase.batch, phase.frames) == ("paired", 64, (100, 100))
    assert {name: phase.rate(name, 0) for name in phase.optimisers} == {"discriminator": 4e-4, "generator": 1e-4}
    assert {one.betas for one in phase.optimisers.values()} == {(0.5, 0.999)}
    assert wav2pix.side(FULL) == 128 and wav2pix.side(replace(FULL, generator_channels=(512, 256, 128, 64))) == 64


def test_faces_of_two_sides_are_refused() -> None:
    with pytest.raises(UsageError, match="the generator draws 16 pixels, the discriminator sees others"):
        system.build(system.load("wav2pix"), replace(SETTINGS, discriminator_channels=(4, 4, 4)), 3)


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = drawn.write_manifest(tmp_path / "data", Sketch(audio=True))
    run(tmp_path / "whole", manifest, SETTINGS, drawn.CPU)
    with monkeypatch.context() as patch:
        interrupted(patch, 3, wav2pix)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", manifest, SETTINGS, drawn.CPU)
    run(tmp_path / "parts", manifest, SETTINGS, drawn.CPU)
    check_same(tmp_path / "parts", tmp_path / "whole")
    model = state.load_model(tmp_path / "whole" / LAST, torch.device("cpu"))
    assert n_parameters(model.networks["generator"]) == 16 * (8 * 8 + 8 * 4 + 4 * 3)


def test_a_few_people_are_learnt() -> None:
    """Four tones, four faces: soon the classifier names them, and the pixels come nearer."""
    sizes = {"generator_channels": (32, 16), "encoder_channels": (8,) * 6, "hidden": (16, 16), "embedding": 16}
    step = prepared_step(replace(SETTINGS, dropout=0.0, rate=1e-2, **sizes))
    tones = torch.sin(2 * math.pi * 300 * torch.arange(1, 5)[:, None] * torch.arange(16_000) / 16_000)
    faces = torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(2)).expand(4, 3, 16, 16)
    given = replace(waves(), mel=tones.view(4, 100, 160).transpose(1, 2), face=faces, identity=torch.arange(4))
    losses = [wav2pix.update(step, given) for _ in range(80)]
    assert float(losses[-1]["identity"]) < 0.2 * float(losses[0]["identity"])
    assert float(losses[-1]["l1"]) < 0.8 * float(losses[0]["l1"])
