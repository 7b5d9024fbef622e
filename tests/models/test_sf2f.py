"""SF2F's update against the released order written down plainly, and what must not happen in it."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import UsageError
from models import judges, sf2f
from models.experiments import find
from models.losses import PERCEPTUAL_WEIGHTS, Perceptual
from models.system import Batch, Step, fitted, needs_judge
from tests.models.steps import batch, built, moved, step_of, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
FACES = torch.randint(256, (9, 3, 128, 128), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
_SMALL = {
    "encoder_channels": (8, 8, 8, 8), "embedding": 8, "discriminator_width": 4, "batch": 4,
    "decoder_channels": (8, 8, 8, 8, 8, 8), "windows": 3,
}  # fmt: skip
CONFIGS = ("sf2f-64", "sf2f-64-paper", "sf2f-128", "sf2f-128-multi", "voice2face-sf2f", "sf2f-64-no-identity")


def settings_of(name: str, judge: Path) -> sf2f.Settings:
    """The experiment with small widths."""
    settings = replace(find(name).settings, **_SMALL, judge=str(judge))
    return replace(settings, decoder_channels=(8,) * 5) if max(settings.sides) == 64 else settings


def faces_of(settings: sf2f.Settings) -> Tensor:
    return FACES if max(settings.sides) == 128 else FACES[..., ::2, ::2].contiguous()


def prepared(settings: sf2f.Settings, number: int = 0) -> Step:
    perceptual = None
    if needs_judge(settings):
        perceptual = Perceptual(judges.load(settings.judge, CPU), faces_of(settings), settings.sides, 1 << 30)
    return step_of(sf2f, settings, built(sf2f, settings), sf2f.phases(settings)[number], perceptual)


class Broken:
    """A perceptual loss that is not finite."""

    def real(self, _index: Tensor, _side: int) -> list[Tensor]:
        return []

    def __call__(self, generated: Tensor, _wanted: list[Tensor]) -> tuple[Tensor, Tensor]:
        return torch.nan * generated.sum(), generated


class Plain:
    """The released order as it comes: nothing frozen, nothing kept, plain Adam."""

    def __init__(self, step: Step, noise: torch.Generator) -> None:
        self.s, self.phase, self.noise = step.settings, step.phase, noise
        self.networks = copy.deepcopy(dict(step.networks))
        self.judge = judges.load(self.s.judge, CPU) if self.s.perceptual else None
        self.adam = {
            name: torch.optim.Adam(
                [w for n in o.networks for w in self.networks[n].parameters()], o.rate, o.betas, fused=False
            )
            for name, o in self.phase.optimisers.items()
        }

    def voice(self, b: Batch) -> Tensor:
        mel = (b.mel - 10.9915) / 3.1661
        if mel.dim() == 3:
            e = self.networks["encoder"](mel)
        else:  # person by person: only the windows that count
            assert b.n_windows is not None
            e = torch.cat(
                [
                    self.networks["fuser"](self.networks["encoder"](person[:n])[None])
                    for person, n in zip(mel, b.n_windows.tolist(), strict=True)
                ]
            )
        if self.s.embedding_noise:
            e = F.normalize(e + self.s.embedding_noise * torch.randn(e.shape, generator=self.noise))
        return e

    def __call__(self, b: Batch) -> dict[str, float]:
        s, n = self.s, self.networks
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        x = (b.face - mean) / std
        ys = dict(zip(s.sides, n["decoder"](self.voice(b)), strict=True))
        xs = {side: x[..., :: x.shape[-1] // side, :: x.shape[-1] // side] for side in s.sides}
        bce = F.binary_cross_entropy_with_logits
        losses: dict[str, Tensor] = {}

        def add(name: str, weight: float, value: Tensor) -> None:
            losses[name] = losses.get(name, torch.zeros(())) + value
            losses["generator"] = losses.get("generator", torch.zeros(())) + weight * value

        for side, y in ys.items():
            add("l1", s.l1, (y - xs[side]).abs().mean())
            if f"image_{side}" in n:
                d = n[f"image_{side}"](y)
                add("image_gan", s.image_gan, bce(d, torch.ones_like(d)))
            if f"identity_{side}" in n:
                called, who = n[f"identity_{side}"](y)
                add("identity", s.identity, F.cross_entropy(who, b.identity))
                if called is not None:
                    add("identity_gan", s.identity, bce(called, torch.ones_like(called)))
            if self.judge is not None:
                states = (self.judge.states((v * std + mean).clamp(0, 1)) for v in (y, xs[side]))
                pairs = zip(PERCEPTUAL_WEIGHTS, *states, strict=True)
                add(
                    "perceptual",
                    s.perceptual,
                    sum((w * (f - g.detach()).abs().mean() for w, f, g in pairs), torch.zeros(())),
                )
        self._move("generator", losses["generator"])
        for side, y in ys.items():  # the y from before the generator's step
            if f"image_{side}" in n:
                fake, real = n[f"image_{side}"](y.detach()), n[f"image_{side}"](xs[side])
                loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
                losses[f"image_{side}"] = loss
                self._move(f"image_{side}", loss)
            if f"identity_{side}" in n:
                fake, _ = n[f"identity_{side}"](y.detach())
                real, who = n[f"identity_{side}"](xs[side])
                loss = F.cross_entropy(who, b.identity)
                if fake is not None:
                    loss = loss + bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
                losses[f"identity_{side}"] = loss
                self._move(f"identity_{side}", loss)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _move(self, name: str, loss: Tensor) -> None:
        self.adam[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam[name].step()


@pytest.mark.parametrize("number", [0, 1, 2], ids=["stage 1", "settling", "stage 2"])
@pytest.mark.parametrize("name", CONFIGS)
def test_losses_are_those_of_the_released_order(name: str, number: int, judge: Path) -> None:
    settings = settings_of(name, judge)
    step = prepared(settings, number)
    plain = Plain(step, torch.Generator().manual_seed(11))
    windows = settings.windows if number == 2 else 0
    for iteration in range(3):
        given = batch(sf2f.BANDS, faces_of(settings), iteration, windows=windows)
        found = {k: float(v) for k, v in sf2f.update(step, given).items()}
        expected = plain(given)
        assert found.keys() == expected.keys()
        # Adam divides by gradients that may be all rounding, so a weight's last digits wander after the first step.
        assert found == pytest.approx(expected, rel=1e-5 if iteration == 0 else 1e-3, abs=1e-5)


def test_the_generator_is_moved_before_the_discriminators_and_alone(
    judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = prepared(settings_of("sf2f-64", judge))
    real_move, order = sf2f.move, []
    owners = {"generator": ("encoder", "decoder"), "image_64": ("image_64",), "identity_64": ("identity_64",)}

    def spy(given: Step, name: str, loss: Tensor, go: Tensor | None = None) -> Tensor:
        before = {n: weights_of(network) for n, network in given.networks.items()}
        others = [w for n, network in given.networks.items() if n not in owners[name] for w in network.parameters()]
        for weight in others:
            weight.grad = None
        done = real_move(given, name, loss, go)
        assert {n for n, network in given.networks.items() if moved(network, before[n])} == set(owners[name])
        assert all(weight.grad is None for weight in others)  # nor is anything paid for
        order.append(name)
        return done

    monkeypatch.setattr(sf2f, "move", spy)
    sf2f.update(step, batch(sf2f.BANDS, faces_of(step.settings)))
    assert order == ["generator", "image_64", "identity_64"]


TERMS = {"l1": "l1", "image_gan": "image_gan", "identity": "identity", "perceptual": "perceptual"}


@pytest.mark.parametrize("weight", TERMS)
def test_a_term_of_weight_zero_is_not_computed(weight: str, judge: Path) -> None:
    settings = replace(settings_of("sf2f-64", judge), **{weight: 0.0})
    step = prepared(settings)
    assert (step.perceptual is None) == (weight == "perceptual")
    calls = {"image_64": 0, "identity_64": 0}

    def count(name: str) -> None:
        def hook(*_: object) -> None:
            calls[name] += 1

        step.networks[name].register_forward_hook(hook)

    for name in calls:
        count(name)
    losses = sf2f.update(step, batch(sf2f.BANDS, faces_of(settings)))
    wanted = {"l1", "image_gan", "identity", "identity_gan", "perceptual"} - {TERMS[weight]}
    if weight == "identity":
        wanted -= {"identity_gan"}
    assert losses.keys() == wanted | {"generator", "image_64", "identity_64"}
    assert calls == {"image_64": 2 + (weight != "image_gan"), "identity_64": 2 + (weight != "identity")}


def test_alignment_moves_the_encoder_and_its_own_layer(judge: Path) -> None:
    space = judges.load(str(judge), CPU).space
    only = dict.fromkeys(("l1", "image_gan", "identity", "perceptual"), 0.0)
    settings = replace(settings_of("sf2f-64", judge), **only, alignment=1.0, judge_space=space)
    step = prepared(settings)
    before = {name: weights_of(network) for name, network in step.networks.items()}
    losses = sf2f.update(step, batch(sf2f.BANDS, faces_of(settings)))
    assert float(losses["generator"]) == pytest.approx(float(losses["alignment"]), rel=1e-6)
    assert moved(step.networks["encoder"], before["encoder"]) and moved(step.networks["alignment"], before["alignment"])
    assert "alignment" in sf2f.phases(settings)[0].trained and "alignment" not in sf2f.phases(settings)[2].trained


def test_settings_are_fitted_to_the_judge_or_refused(judge: Path) -> None:
    space = judges.load(str(judge), CPU).space
    settings = replace(settings_of("sf2f-64", judge), alignment=1.0)
    assert fitted(settings, space) == fitted(fitted(settings, space), space) == replace(settings, judge_space=space)
    assert fitted(settings_of("sf2f-64", judge), space) == settings_of("sf2f-64", judge)  # nothing is aligned
    with pytest.raises(UsageError, match=f"embedding has {space} numbers"):
        fitted(replace(settings, judge_space=space + 1), space)


def test_embedding_noise_is_drawn_from_the_steps_generator(judge: Path) -> None:
    settings = replace(settings_of("sf2f-64", judge), embedding_noise=0.05)
    losses = []
    for seed in (1, 1, 2):
        step = prepared(settings)
        step.noise.manual_seed(seed)
        losses.append(float(sf2f.update(step, batch(sf2f.BANDS, faces_of(settings)))["l1"]))
    assert losses[0] == losses[1] != losses[2]
    step = prepared(settings)
    for network in step.networks.values():
        network.eval()
    one, other = (sf2f.faces(step.networks, settings, batch(sf2f.BANDS, faces_of(settings))) for _ in range(2))
    assert torch.equal(one, other)  # none at inference


@pytest.mark.parametrize("at_fault", ["generator", "image_64"])
def test_a_loss_that_is_not_finite_moves_nothing(at_fault: str, judge: Path) -> None:
    """Of the generator: nobody moves. Of a discriminator: it alone stays."""
    settings = replace(settings_of("sf2f-64", judge), image_gan=0.0)
    step = prepared(settings)
    given = batch(sf2f.BANDS, faces_of(settings))
    sf2f.update(step, given)
    before = {name: weights_of(network) for name, network in step.networks.items()}
    states = {n: [s["step"].clone() for s in o.state.values()] for n, o in step.optimisers.items()}
    if at_fault == "generator":
        sf2f.update(replace(step, perceptual=Broken()), given)  # the faces are finite
        stayed = {"encoder", "decoder", "image_64", "identity_64", "fuser"}
    else:
        first = next(step.networks["image_64"].parameters())
        first.data[0, 0, 0, 0] = torch.nan
        before["image_64"] = weights_of(step.networks["image_64"])
        sf2f.update(step, given)
        stayed = {"image_64", "fuser"}
    for name, network in step.networks.items():
        if name in stayed:
            for weight, held in zip(network.parameters(), before[name], strict=True):
                torch.testing.assert_close(weight.detach(), held, rtol=0, atol=0, equal_nan=True)
        else:
            assert moved(network, before[name]), name
    for name, optimiser in step.optimisers.items():
        steps = [s["step"] for s in optimiser.state.values()]
        same = name in ({"generator", "image_64", "identity_64"} if at_fault == "generator" else {"image_64"})
        assert [float(s) for s in steps] == [float(s) + (not same) for s in states[name]]


def test_the_schedule_is_the_published_one() -> None:
    code, paper = find("sf2f-64").settings, find("sf2f-64-paper").settings
    first, settling, fuser = sf2f.phases(code)
    assert (first.iterations, settling.iterations, fuser.iterations) == (110_000, 22_000, 550)
    assert first.rate("generator", 0) == first.rate("generator", 109_999) == first.rate("image_64", 5) == 5e-4
    for name in ("generator", "image_64"):
        assert settling.rate(name, 0) == 5e-4 and settling.rate(name, 21_999) == pytest.approx(5e-7)
        assert settling.rate(name, 10_999) == pytest.approx((5e-4 + 5e-7) / 2, rel=1e-3)
    assert settling.rate("identity_64", 21_999) == 5e-4
    assert all(fuser.rate(name, 0) == 1e-4 for name in fuser.optimisers)
    assert settling.optimisers["generator"].frozen_norms and not settling.optimisers["generator"].goes_on
    assert all(settling.optimisers[name].goes_on for name in ("image_64", "identity_64"))
    assert not any(optimiser.goes_on for optimiser in fuser.optimisers.values())
    assert fuser.trained == {"fuser", "image_64", "identity_64"} and fuser.kind == "windows"
    assert [p.iterations for p in sf2f.phases(paper)] == [120_000, 0, 360]
    assert sf2f.phases(paper)[2].rate("generator", 3) == 5e-4 and sf2f.phases(paper)[0].optimisers[
        "generator"
    ].betas == (0.9, 0.98)


def test_filling_windows_do_not_matter(judge: Path) -> None:
    networks = built(sf2f, settings_of("sf2f-64", judge))
    for network in networks.values():
        network.eval()
    given = batch(sf2f.BANDS, FACES, windows=3)
    assert given.n_windows is not None
    filling = torch.arange(3) >= given.n_windows[:, None]
    assert filling.any()
    other = replace(given, mel=torch.where(filling[:, :, None, None], torch.randn_like(given.mel), given.mel))
    torch.testing.assert_close(sf2f.embed(networks, given), sf2f.embed(networks, other), rtol=0, atol=0)


def test_the_two_spaces_are_each_others_inverse_and_the_clamp_has_no_gradient() -> None:
    face = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(sf2f.shown(sf2f.normalised(face)), face)
    image = torch.tensor([-9.0, 0.0, 9.0]).view(1, 1, 1, 3).repeat(1, 3, 1, 1).requires_grad_()
    sf2f.shown(image).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert (image.grad != 0).squeeze().any(0).tolist() == [False, True, False]


@pytest.mark.slow  # a minute of compilation
def test_a_compiled_step_gives_the_losses_of_an_eager_one(judge: Path) -> None:
    settings = settings_of("sf2f-64", judge)
    given = batch(sf2f.BANDS, faces_of(settings))
    eager, compiled = (prepared(settings) for _ in range(2))
    for network in compiled.networks.values():
        network.compile()
    for _ in range(2):
        expected = {k: float(v) for k, v in sf2f.update(eager, given).items()}
        assert {k: float(v) for k, v in sf2f.update(compiled, given).items()} == pytest.approx(expected, rel=1e-3)
    torch._dynamo.reset()


def test_a_step_under_bfloat16_gives_those_losses_to_its_digits(judge: Path) -> None:
    settings = settings_of("sf2f-128-multi", judge)
    step = prepared(settings)
    given = batch(sf2f.BANDS, faces_of(settings))
    half = replace(prepared(settings), autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    expected = {k: float(v) for k, v in sf2f.update(step, given).items()}
    assert {k: float(v) for k, v in sf2f.update(half, given).items()} == pytest.approx(expected, rel=0.05)
    weights: list[nn.Parameter] = [w for network in half.networks.values() for w in network.parameters()]
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights)
