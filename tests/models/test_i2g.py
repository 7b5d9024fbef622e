"""I2G: losses against an independent computation in float64, the order of its steps, and the traps of its paper."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from manifests.errors import DataError, UsageError
from manifests.settings import build
from models import data, i2g, pack, state, system
from models.experiments import find, parameters
from models.i2g import matching, prepared
from models.noise import strangers
from models.residual import AdaIN, FaceEncoder
from models.state import LAST
from models.system import Batch, Step
from tests.models import drawn
from tests.models.drawn import Sketch
from tests.models.steps import batch, built, moved, moves, step_of, weights_of
from tests.models.test_relid import plainly
from tests.models.test_train import check_same, interrupted, run

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = drawn.I2G
FACES = torch.randint(256, (9, 3, 16, 16), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
PEOPLE = torch.tensor([0, 1, 2, 2])


def waves(seed: int = 0) -> Batch:
    """Four voices and faces of three people, frames of the waveform in the place of mels."""
    given = batch(160, FACES, seed)
    return replace(given, mel=(given.mel - 11) / 100, identity=PEOPLE, face_identity=PEOPLE)


def prepared_step(phase: str, settings: i2g.Settings = SETTINGS) -> Step:
    (chosen,) = [one for one in i2g.phases(settings) if one.name == phase]
    return step_of(i2g, settings, built(i2g, settings), chosen)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_parameters_are_those_of_the_tables() -> None:
    counts = parameters(find("i2g"))
    assert counts == {
        "speech": 5_830_948, "face": 29_148_032, "discriminator": 29_148_032 + 129, "generator": 35_509_955
    }  # fmt: skip


# Stage A


@pytest.mark.parametrize("way", ["V-F", "F-V"])
def test_matching_is_the_cross_entropy_written_out(way: str) -> None:
    """p(right) = exp(<s, f>) / sum of exp over K candidates, for every probe; the candidates are found again."""
    s, f = numbers(4, 6), numbers(4, 6, seed=1)
    scores = s @ f.T if way == "V-F" else f @ s.T
    found, error = matching(scores, PEOPLE, 3, torch.Generator().manual_seed(5))
    losses, errors = [], []
    rows, there = strangers(PEOPLE, 2, torch.Generator().manual_seed(5))
    for probe in range(4):
        assert there[probe].all() and all(PEOPLE[row] != PEOPLE[probe] for row in rows[probe])
        products = [
            math.fsum(float(x) * float(y) for x, y in zip(s[a], f[b], strict=True))
            for a, b in ([(probe, row) for row in [probe, *rows[probe].tolist()]] if way == "V-F"
                         else [(row, probe) for row in [probe, *rows[probe].tolist()]])
        ]  # fmt: skip
        losses.append(-math.log(math.exp(products[0]) / math.fsum(map(math.exp, products))))
        errors.append(max(products[1:]) >= products[0])
    assert float(found) == pytest.approx(sum(losses) / 4, rel=1e-12)
    assert float(error) == sum(errors) / 4


def test_people_of_the_same_name_are_no_negatives() -> None:
    everybody_one = torch.zeros(4, dtype=torch.long)
    loss, error = matching(numbers(4, 4), everybody_one, 10, torch.Generator())
    assert float(loss) == 0 and float(error) == 0  # nobody has a gallery


def test_a_probe_without_enough_other_people_does_not_count() -> None:
    """Of six rows of three people K = 3 is asked of all; of two people and one, K = 3 of nobody."""
    s = numbers(6, 6)
    people = torch.tensor([0, 0, 1, 1, 2, 2])
    loss, _ = matching(s, people, 3, torch.Generator())
    assert float(loss) > 0
    few = torch.tensor([0, 0, 1, 1, 1, 1])
    assert [float(found) for found in matching(s, few, 3, torch.Generator())] == [0, 0]


GALLERIES = {
    "one candidate": {"candidates": 1},
    "a batch of one": {"matching_batch": 1, "candidates": 2},
    "more than a batch": {"candidates": 5},
}


@pytest.mark.parametrize("changed", GALLERIES.values(), ids=GALLERIES)
def test_galleries_that_no_batch_holds_are_refused(tmp_path: Path, changed: dict[str, int]) -> None:
    settings = replace(SETTINGS, **changed)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--set candidates, or the batch"):
        run(tmp_path / "run", tmp_path / "nothing.parquet", settings)
    alone = replace(settings, stage_a=False)
    assert len(system.plan(system.load("i2g"), alone)) == 1, "without stage A nothing asks for galleries"


def test_the_share_of_a_process_must_hold_a_gallery_too() -> None:
    given = waves()
    share = replace(given, mel=given.mel[:2], face=given.face[:2], identity=PEOPLE[:2])
    with pytest.raises(UsageError, match="3 candidates, and 2 voices and faces in a batch of each process"):
        i2g.update(prepared_step("matching"), share)


@pytest.mark.parametrize(("people", "changed"), [(2, {}), (1, {"stage_a": False}), (1, {"matching_iterations": 0})])
def test_too_few_people_are_told_before_training(tmp_path: Path, people: int, changed: dict[str, Any]) -> None:
    manifest = drawn.write_manifest(tmp_path, Sketch(train=people, audio=True))
    with pytest.raises(DataError, match=f"{people} training people: a gallery of"):
        run(tmp_path / "run", manifest, replace(SETTINGS, **changed))


def test_blind_scores_are_at_chance() -> None:
    """All alike: the loss is that of guessing, and every tie is an error."""
    loss, error = matching(torch.zeros(40, 40), torch.arange(40), 10, torch.Generator())
    assert float(loss) == pytest.approx(math.log(10)) and float(error) == 1


@pytest.mark.parametrize("starts_trained", [False, True])
def test_before_stage_a_f_loses_what_all_faces_share_and_nothing_else(tmp_path: Path, starts_trained: bool) -> None:
    """A common part would cancel in V-F and drown the rest in F-V; a face encoder that comes trained is left alone."""
    settings = replace(SETTINGS, matching_iterations=0) if starts_trained else SETTINGS
    manifest = drawn.write_manifest(tmp_path, Sketch(audio=True))
    corpus = data.load(pack.pack(manifest, "train", "wave", 16, tmp_path / "packed"), torch.device("cpu"))
    networks = built(i2g, SETTINGS)
    faces = corpus.faces.float() / 255
    before = i2g.portraits(networks, settings, faces)
    with torch.no_grad():
        i2g.begin(networks, settings, corpus, None)
    after = i2g.portraits(networks, settings, faces)
    spread = before - before.mean(dim=0)
    torch.testing.assert_close(after - after.mean(dim=0), spread, rtol=1e-3, atol=1e-4)
    assert torch.equal(before, after) if starts_trained else after.mean(dim=0).norm() < 0.2 * before.mean(dim=0).norm()


def test_stage_a_moves_both_encoders_and_hands_f_to_the_discriminator() -> None:
    step = prepared_step("matching")
    before = {name: weights_of(network) for name, network in step.networks.items()}
    losses = i2g.update(step, waves())
    assert losses.keys() == {"matching", "error"}
    assert {name for name, network in step.networks.items() if moved(network, before[name])} == {
        "speech", "face", "discriminator"
    }  # fmt: skip
    phi, face = step.networks["discriminator"].phi, step.networks["face"]
    assert isinstance(phi, FaceEncoder)
    assert all(torch.equal(a, b) for a, b in zip(phi.parameters(), face.parameters(), strict=True))


def test_stage_a_is_sgd_with_momentum_whose_rate_falls_twice() -> None:
    settings = i2g.Settings()
    phase = i2g.phases(settings)[0]
    chosen = phase.optimisers["matching"]
    assert (chosen.kind, chosen.momentum, chosen.weight_decay) == ("sgd", 0.9, 5e-4)
    rates = [phase.rate("matching", at) for at in (0, 19_999, 20_000, 40_000, 59_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-5])
    assert (phase.batch, phase.frames, settings.candidates) == (32, (600, 600), 10)
    assert find("i2g-fv").settings == replace(settings, way="F-V", matching_batch=12)


# Stage B


def plain_update(step: Step, given: Batch, noise: torch.Generator) -> dict[str, Tensor]:
    """Stage B with nothing shared between its steps: two of the discriminator on halves, one of the generator."""
    n, s = step.networks, SETTINGS
    adam = {
        "discriminator": torch.optim.Adam(n["discriminator"].parameters(), 5e-5, (0.9, 0.9)),
        "generator": torch.optim.Adam(n["generator"].parameters(), 1e-4, (0.9, 0.9)),
    }
    flip = torch.rand(4, generator=noise) < 0.5
    real = torch.stack([f.flip(2) if flipped else f for f, flipped in zip(given.face, flip, strict=True)]) * 2 - 1
    c = n["speech"](given.wave / given.wave.square().mean(1, keepdim=True).sqrt() * 0.01).detach()
    judged, penalties = [], []
    for rows in (slice(0, 2), slice(2, 4)):
        fake = n["generator"](torch.randn(2, s.noise, generator=noise), c[rows]).detach()
        own = real[rows].clone().requires_grad_()
        rows_, there = strangers(PEOPLE[rows], 1, noise)
        other = torch.where(there, c[rows][rows_[:, 0]], c[rows])
        loss = plainly(n["discriminator"](own), n["discriminator"](fake), c[rows], other)[0]
        judge = n["discriminator"](own)
        (slope,) = torch.autograd.grad(((c[rows] * judge.phi).sum(1) + judge.psi).sum(), own, create_graph=True)
        penalties.append(slope.square().sum((1, 2, 3)).mean())
        judged.append(loss)
        adam["discriminator"].zero_grad()
        (loss + 5 * penalties[-1]).backward()  # type: ignore[no-untyped-call]
        adam["discriminator"].step()
    fake = n["generator"](torch.randn(2, s.noise, generator=noise), c[2:])
    loss = plainly(n["discriminator"](real[2:]), n["discriminator"](fake), c[2:], other)[1]
    adam["generator"].zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam["generator"].step()
    return {"discriminator": sum(judged) / 2, "r1": sum(penalties) / 2, "generator": loss}  # type: ignore[dict-item]


def test_losses_and_weights_of_stage_b_are_those_of_the_plain_order() -> None:
    step = prepared_step("gan")
    plain = replace(step, networks=copy.deepcopy(dict(step.networks)))
    expected = plain_update(plain, waves(), torch.Generator().manual_seed(11))
    found = i2g.update(step, waves())
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert float(value) == pytest.approx(float(expected[name].detach()), rel=1e-4), name
    for name in ("generator", "discriminator"):
        for one, other in zip(step.networks[name].parameters(), plain.networks[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)  # a fraction of one step of Adam


def test_speech_encoder_and_the_judging_face_encoder_stay_as_stage_a_left_them() -> None:
    step = prepared_step("gan")
    before = {
        name: {key: value.clone() for key, value in step.networks[name].state_dict().items()}
        for name in ("speech", "face")
    }
    for seed in range(2):
        i2g.update(step, waves(seed))
    for name, held in before.items():
        assert all(torch.equal(value, held[key]) for key, value in step.networks[name].state_dict().items())


def test_two_steps_of_the_discriminator_for_one_of_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = moves(monkeypatch, i2g)
    i2g.update(prepared_step("gan"), waves())
    assert seen == [(name, {name}) for name in ("discriminator", "discriminator", "generator")]
    phase = i2g.phases(i2g.Settings())[1]
    assert phase.batch == 2 * 24 and {one.betas for one in phase.optimisers.values()} == {(0.9, 0.9)}
    assert [phase.rate(name, 0) for name in ("discriminator", "generator")] == [5e-5, 1e-4]


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    step = prepared_step("gan")
    before = {name: weights_of(network) for name, network in step.networks.items()}
    given = waves()
    i2g.update(step, replace(given, face=torch.full_like(given.face, torch.nan)))
    assert not any(moved(network, before[name]) for name, network in step.networks.items())


def test_without_mil_strangers_change_nothing() -> None:
    """The generator's loss does not depend on who else is in the batch."""
    losses = []
    for people in (PEOPLE, torch.zeros(4, dtype=torch.long)):
        step = prepared_step("gan", replace(SETTINGS, mil=False))
        losses.append(i2g.update(step, replace(waves(), identity=people)))
    with_mil = i2g.update(prepared_step("gan"), waves())
    assert losses[0] == losses[1] and losses[0]["discriminator"] != with_mil["discriminator"]


def test_without_stage_a_the_speech_encoder_learns_in_the_gan() -> None:
    settings = replace(SETTINGS, stage_a=False)
    (phase,) = system.plan(system.load("i2g"), settings)
    assert phase.name == "gan" and phase.trained == {"discriminator", "generator", "speech"}
    step = prepared_step("gan", settings)
    before = {name: weights_of(network) for name, network in step.networks.items()}
    i2g.update(step, waves())
    assert {name for name, network in step.networks.items() if moved(network, before[name])} == phase.trained
    portraits = i2g.portraits(step.networks, settings, FACES.float() / 255)
    assert torch.equal(portraits, step.networks["discriminator"](FACES.float() / 255 * 2 - 1).phi)


# Inference


def test_waveforms_have_one_level_and_the_length_of_training() -> None:
    settings = replace(SETTINGS, frames=(600, 600))
    for samples in (16_000, 96_000, 120_000):
        wave = 0.3 * torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
        found = prepared(wave, settings)
        assert found.shape == (2, 96_000)
        torch.testing.assert_close(found[:, :16_000].square().mean(1).sqrt(), torch.full((2,), 0.01), rtol=0.02, atol=0)
        torch.testing.assert_close(found, prepared(5 * wave, settings))
    louder = torch.cat([wave[:, :96_000], 9 * wave[:, 96_000:]], dim=1)
    assert torch.equal(prepared(louder, settings), found), (
        "of a longer voice the first 6 s are heard, and set the level"
    )
    assert prepared(wave, replace(settings, frames=(40, 40))).shape == (2, 96_000)  # trained on less, it may hear 6 s
    assert prepared(wave, replace(settings, frames=(600, 700))).shape == (2, 112_000)
    short = prepared(wave[:, :16_000], settings)
    assert torch.equal(short[:, :16_000], short[:, 16_000:32_000])  # repeated
    assert not prepared(torch.zeros(1, 1600), settings).any()  # silence is no division by zero


def evaluated(settings: i2g.Settings = SETTINGS) -> dict[str, torch.nn.Module]:
    networks = built(i2g, settings)
    for network in networks.values():
        network.eval()
    for module in networks["generator"].modules():
        if isinstance(module, AdaIN):
            torch.nn.init.normal_(module.gain.weight, generator=torch.Generator().manual_seed(1))
    return networks


def test_faces_are_pictures_and_the_same_every_time() -> None:
    networks = evaluated()
    one, other = (i2g.faces(networks, SETTINGS, waves()) for _ in range(2))
    assert torch.equal(one, other) and one.shape == (4, 3, 16, 16) and one.min() >= 0 and one.max() <= 1


def test_the_noise_of_a_face_is_that_of_its_place_and_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(networks: object, settings: object, condition: Tensor, noise: Tensor) -> Tensor:
        seen.append(noise)
        return condition

    monkeypatch.setattr(i2g, "faces_for", spy)
    networks = evaluated()
    i2g.faces(networks, SETTINGS, waves(0))
    i2g.faces(networks, SETTINGS, waves(1))
    assert torch.equal(*seen) and float(seen[0].abs().max()) <= 1 and len(seen[0].unique()) == seen[0].numel()
    untruncated = replace(SETTINGS, truncation=None, noise=64)
    i2g.faces(evaluated(untruncated), untruncated, waves())
    assert float(seen[2].abs().max()) > 1
    many = batch(160, FACES, voices=70)
    i2g.faces(networks, SETTINGS, many)
    assert torch.equal(seen[3][:4], seen[0]) and torch.equal(seen[3][64:], seen[3][:6])


def test_windows_are_averaged_over_those_that_count() -> None:
    networks, given = evaluated(), waves()
    windows = torch.stack([given.mel, given.mel.flip(-1), torch.full_like(given.mel, 0.5)], dim=1)
    count = torch.tensor([1, 2, 2, 2])
    together = i2g.voices(networks, SETTINGS, replace(given, mel=windows, n_windows=count))
    first, second = (i2g.voices(networks, SETTINGS, replace(given, mel=windows[:, n])) for n in (0, 1))
    expected = torch.where(count[:, None] == 1, first, (first + second) / 2)
    torch.testing.assert_close(together, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", ["V-F", "F-V"])
def test_scores_are_inner_products(way: system.Way) -> None:
    probes, gallery = numbers(3, 5), numbers(3, 4, 5, seed=1)
    found = i2g.scores({}, SETTINGS, probes, gallery, way)
    expected = [[float(torch.dot(probes[b], gallery[b, k])) for k in range(4)] for b in range(3)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert i2g.sizes(SETTINGS, way) is None


# Whole runs


def test_generator_and_face_encoder_of_two_sides_are_refused() -> None:
    assert i2g.side(i2g.Settings()) == 128 and i2g.side(SETTINGS) == 16
    with pytest.raises(UsageError, match="the generator draws 32 pixels, the face encoder sees 16"):
        system.build(system.load("i2g"), replace(SETTINGS, generator_channels=(4, 4, 4, 4)), 3)


@pytest.mark.parametrize("kernel", [50_000_001, 4003, 30])
def test_a_file_cannot_ask_for_filters_of_any_length(tmp_path: Path, kernel: int) -> None:
    """They are computed, so none of its tensors would contradict it."""
    facts = {
        "experiment": "tiny", "system": "i2g", "settings": {**state.settings_of(SETTINGS), "speech_kernel": kernel},
        "seed": 0, "front_end": "wave", "vad": "sf2f", "n_identities": 3, "place": {"phase": 2, "iteration": 0},
    }  # fmt: skip
    state.write(tmp_path / LAST, state.weights(built(i2g, SETTINGS)), facts)
    with pytest.raises(DataError, match=r"settings that make no run: .*(speech_kernel|an odd number)"):
        state.load_model(tmp_path, torch.device("cpu"))
    longest = build(i2g.Settings, {"speech_kernel": 4001}, "settings")
    assert system.build(system.load("i2g"), replace(SETTINGS, speech_kernel=longest.speech_kernel), 3)


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped within each stage; F is kept, and the discriminator begins as F."""
    manifest = drawn.write_manifest(tmp_path / "data", Sketch(audio=True))
    run(tmp_path / "whole", manifest, SETTINGS, drawn.CPU)
    for at in (2, 4):
        with monkeypatch.context() as patch:
            interrupted(patch, at, i2g)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "parts" / str(at), manifest, SETTINGS, drawn.CPU)
        run(tmp_path / "parts" / str(at), manifest, SETTINGS, drawn.CPU)
        check_same(tmp_path / "parts" / str(at), tmp_path / "whole")
    tensors, _ = state.read(tmp_path / "whole" / LAST)
    after_a, _ = state.read(tmp_path / "whole" / "matching.safetensors")
    face = [key for key in tensors if key.startswith("network/face/")]
    assert face and all(torch.equal(tensors[key], after_a[key]) for key in face)
    phi = [key for key in tensors if key.startswith("network/discriminator/phi")]
    assert all(torch.equal(after_a[key], after_a[key.replace("discriminator/phi.", "face/")]) for key in phi)
    assert any(not torch.equal(tensors[key], after_a[key]) for key in phi)


def test_stage_a_learns_who_speaks() -> None:
    """Two people, one with a low tone and a dark face: soon no error is made."""
    settings = replace(SETTINGS, candidates=2, matching_rate=0.01, speech_channels=(8,) * 8, face_channels=(8, 8))
    step = prepared_step("matching", settings)
    rng = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(40):
        who = torch.tensor([0, 1] * 4)
        tone = torch.sin(2 * math.pi * (300 + 900 * who)[:, None] * torch.arange(6400) / 16_000)
        wave = tone + 0.1 * torch.randn(8, 6400, generator=rng)
        face = (0.2 + 0.5 * who)[:, None, None, None] + 0.2 * torch.rand(8, 3, 16, 16, generator=rng)
        given = replace(batch(160, FACES, voices=8), mel=wave.view(8, 40, 160).transpose(1, 2), face=face, identity=who)
        losses.append(float(i2g.update(step, given)["matching"]))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5]) and losses[-1] < 0.4
