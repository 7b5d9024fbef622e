"""DIMNet: its table row by row, its losses in float64, one classifier for both modalities, and no pairs."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from models import dimnet, dimnet_frozen, pack, state, system, voice2face
from models.data import load
from models.experiments import find
from models.state import LAST
from models.system import Batch, Step, matcher
from tests.models import drawn
from tests.models.networks import check_gradients, check_rows_alone, n_parameters, on_meta, shapes
from tests.models.steps import PEOPLE, batch, built, moved, step_of, weights_of
from tests.models.test_train import check_same, interrupted, run

pytestmark = pytest.mark.usefixtures("one_thread")
FACES = torch.randint(256, (9, 3, 32, 32), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
SETTINGS = replace(drawn.DIMNET, nationalities=3)
TRAITS = {"gender": torch.tensor([0, 1, 1, 0, 1]), "nationality": torch.tensor([2, 0, 1, 1, 0])}


def prepared(settings: dimnet.Settings = SETTINGS, phase: int = 0, **changed: Tensor) -> Step:
    step = step_of(dimnet, settings, built(dimnet, settings), dimnet.phases(settings)[phase])
    return replace(step, traits=TRAITS | changed)


def test_the_voice_table() -> None:
    encoder = built(dimnet, dimnet.Settings())["voice"].eval()
    found = shapes(encoder, (dimnet.Block, dimnet.Residual, nn.Conv1d), torch.zeros(1, 64, 320))
    rows = [shape for shape in found if shape]
    strided = [(256, 160), (384, 80), (576, 40), (864, 20)]
    for shape in strided:
        assert rows.count(shape) == 7  # a block of a convolution, then a pair of two such and their sum
    assert rows[-1] == (64, 10) and len(rows) == 4 * 7 + 1
    assert encoder(torch.zeros(2, 64, 999)).shape == (2, 64)


def test_the_face_table() -> None:
    encoder = built(dimnet, dimnet.Settings())["face"].eval()
    rows = shapes(encoder, (dimnet.Block, dimnet.Residual, nn.Conv2d), torch.zeros(1, 3, 128, 128))
    for channels, side in ((64, 64), (128, 32), (256, 16), (512, 8)):
        assert rows.count((channels, side, side)) == 7
    assert rows[-1] == (64, 4, 4) and encoder(torch.zeros(2, 3, 128, 128)).shape == (2, 64)


@pytest.mark.parametrize(
    ("name", "taps", "widths"), [("voice", 3, (64, 256, 384, 576, 864)), ("face", 9, (3, 64, 128, 256, 512))]
)
def test_parameters_are_those_of_the_table(name: str, taps: int, widths: tuple[int, ...]) -> None:
    def count(pairs: int) -> int:
        """Convolutions without bias and their batch norms; the last one has a bias and no norm."""
        total = taps * widths[-1] * 64 + 64
        for before, after in pairwise(widths):
            total += taps * before * after + 2 * after + pairs * 2 * (taps * after * after + 2 * after)
        return total

    for pairs in (0, 1):
        networks = on_meta(lambda p=pairs: nn.ModuleDict(dimnet.build(dimnet.Settings(residual_pairs=p), 9)))  # type: ignore[misc]
        assert n_parameters(networks[name]) == count(pairs)  # type: ignore[index]


def test_without_pairs_the_voice_encoder_is_voice2faces() -> None:
    plain = on_meta(lambda: dimnet.build(dimnet.Settings(residual_pairs=0), 9)["voice"])
    other = on_meta(lambda: voice2face.build(voice2face.Settings(), 9)["encoder"])
    assert n_parameters(plain) == n_parameters(other)


def test_encoders_have_gradients_and_keep_rows_apart() -> None:
    networks = built(dimnet, SETTINGS)
    for name, example in (("voice", torch.randn(3, 64, 40)), ("face", torch.randn(3, 3, 32, 32))):
        check_rows_alone(networks[name], example)
        check_gradients(networks[name], example)


def test_losses_are_those_of_the_paper_in_float64() -> None:
    step, given = prepared(), batch(voice2face.BANDS, FACES)
    n = {name: network.double() for name, network in built(dimnet, SETTINGS).items()}
    mirrored = torch.rand(4, generator=torch.Generator().manual_seed(11)) < 0.5
    pixels = (given.face.double() * 255 - 127.5) / 127.5
    pixels = torch.stack([face.flip(2) if flip else face for face, flip in zip(pixels, mirrored, strict=True)])
    mel = (given.mel.double() - given.mel_mean.double()[..., None]) / given.mel_std.double()[..., None]
    voice, face = n["voice"](mel), n["face"](pixels)

    def cross_entropy(logits: Tensor, wanted: Tensor) -> float:
        chosen = logits.gather(1, wanted[:, None])[:, 0]
        return float((logits.exp().sum(1).log() - chosen).mean().detach())

    labels = {"identity": torch.arange(PEOPLE), **TRAITS}
    expected = {}
    for name, of in labels.items():
        expected[f"{name}_voice"] = cross_entropy(n[name](voice), of[given.identity])
        expected[f"{name}_face"] = cross_entropy(n[name](face), of[given.face_identity])
    found = dimnet.update(step, given)
    assert set(found) == {*expected, "total"}
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name
    assert float(found["total"]) == pytest.approx(sum(expected.values()), rel=1e-4)


def test_the_step_is_sgd_with_momentum_and_weight_decay() -> None:
    settings = replace(SETTINGS, covariates=("gender",), weight_decay=0.1)
    step, given = prepared(settings), batch(voice2face.BANDS, FACES)
    head = step.networks["gender"]
    assert isinstance(head, nn.Linear)
    velocity, wanted = torch.zeros_like(head.weight), head.weight.detach().clone()
    for _ in range(3):
        dimnet.update(step, given)
        assert head.weight.grad is not None
        velocity = 0.9 * velocity + head.weight.grad + 0.1 * wanted
        wanted = wanted - 0.1 * velocity
        torch.testing.assert_close(head.weight.detach(), wanted, rtol=1e-4, atol=1e-6)


def test_gender_has_a_head_of_its_own() -> None:
    """A public port feeds gender labels to the identity classifier."""
    networks = built(dimnet, SETTINGS)
    heads = {name: networks[name] for name in SETTINGS.covariates}
    assert {name: head.out_features for name, head in heads.items()} == {
        "identity": PEOPLE, "gender": 2, "nationality": 3
    }  # fmt: skip
    given = batch(voice2face.BANDS, FACES)
    one = dimnet.update(prepared(), given)
    other = dimnet.update(prepared(gender=1 - TRAITS["gender"]), given)
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"gender_voice", "gender_face", "total"}


def test_one_classifier_serves_both() -> None:
    """Its gradient is the sum of what voices and faces ask of it."""
    given, asked = batch(voice2face.BANDS, FACES), {}
    for name in ("both", "voice", "face"):
        step = prepared(replace(SETTINGS, covariates=("identity",)))
        n = step.networks
        losses = dimnet.covariate_losses(
            step, ("identity",), n["voice"](voice2face.normalised(given)), n["face"](2 * given.face - 1), given
        )
        total = sum(losses.values()) if name == "both" else losses[f"identity_{name}"]
        total.backward()  # type: ignore[union-attr]
        asked[name] = n["identity"].weight.grad
    torch.testing.assert_close(asked["both"], asked["voice"] + asked["face"])
    assert asked["voice"].any() and asked["face"].any()  # type: ignore[union-attr]


def test_no_pair_is_needed() -> None:
    """Faces and voices of a batch are of other people, and the losses of voices do not know the faces."""
    given = batch(voice2face.BANDS, FACES)
    assert not torch.equal(given.identity, given.face_identity)
    others = replace(given, face=given.face.roll(1, 0) / 2, face_identity=given.face_identity.roll(1, 0))
    one, other = (dimnet.update(prepared(), each) for each in (given, others))
    assert {name for name in one if torch.equal(one[name], other[name])} == {
        "identity_voice", "gender_voice", "nationality_voice"
    }  # fmt: skip


def test_people_of_unknown_gender_are_left_out_of_its_loss() -> None:
    given = batch(voice2face.BANDS, FACES)
    logits, wanted = torch.randn(4, 2), torch.tensor([0, -1, 1, -1])
    assert float(dimnet.known_cross_entropy(logits, wanted)) == pytest.approx(
        float(F.cross_entropy(logits[[0, 2]], wanted[[0, 2]]))
    )
    nobody = dimnet.update(prepared(gender=torch.full((PEOPLE,), -1)), given)
    assert float(nobody["gender_voice"]) == float(nobody["gender_face"]) == 0.0
    assert torch.isfinite(nobody["total"])


def test_the_schedule_of_the_paper() -> None:
    phases = dimnet.phases(dimnet.Settings())
    assert [phase.iterations for phase in phases] == [16_000, 8_000, 4_000]
    assert [phase.rate("all", 0) for phase in phases] == pytest.approx([0.1, 0.01, 0.001])
    assert [phase.optimisers["all"].goes_on for phase in phases] == [False, True, True]
    for phase in phases:
        chosen = phase.optimisers["all"]
        assert (phase.kind, phase.batch, phase.frames) == ("unpaired", 256, (300, 800))
        assert (chosen.kind, chosen.momentum, chosen.weight_decay) == ("sgd", 0.9, 1e-3)
        assert phase.trained == {"voice", "face", "identity"}


@pytest.mark.parametrize("wrong", [(), ("gender", "gender")])
def test_covariates_that_cannot_be(wrong: Any) -> None:
    with pytest.raises(UsageError, match="one or more of identity, gender, nationality"):
        system.build(system.load("dimnet"), replace(SETTINGS, covariates=wrong), 5)


def test_what_nobody_tells_cannot_be_learnt(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path)
    packed = pack.pack(manifest, "train", "voice2face", 32, tmp_path / "packed")
    corpus = load(replace(packed, nationalities=(None,) * 6), torch.device("cpu"))
    dimnet.begin({}, replace(SETTINGS, covariates=("identity", "gender")), corpus, None)
    with pytest.raises(DataError, match="nobody's nationality"):
        dimnet.begin({}, SETTINGS, corpus, None)


def test_it_learns_five_people() -> None:
    step = prepared(replace(SETTINGS, rate=0.03))
    given = batch(voice2face.BANDS, FACES, voices=16)
    losses = [float(dimnet.update(step, given)["total"]) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def matched(module: Any, settings: Any) -> tuple[Tensor, Tensor, Batch]:
    networks = {name: network.eval() for name, network in built(module, settings).items()}
    given = batch(voice2face.BANDS, FACES)
    return module.voices(networks, settings, given), module.portraits(networks, settings, given.face), given


@pytest.mark.parametrize(("module", "settings"), [(dimnet, SETTINGS), (dimnet_frozen, drawn.DIMNET_FROZEN)])
def test_it_matches_by_cosine_any_number_either_way(module: Any, settings: Any) -> None:
    voice, face, _ = matched(module, settings)
    again = matched(module, settings)[1]
    assert torch.equal(face, again) and voice.shape == face.shape == (4, settings.embedding)
    gallery = face[torch.tensor([[0, 1, 2], [3, 2, 1], [0, 0, 1], [1, 2, 3]])]
    scores = module.scores({}, settings, voice, gallery, "V-F")
    expected = (F.normalize(voice)[:, None] * F.normalize(gallery, dim=2)).sum(2)
    torch.testing.assert_close(scores, expected)
    assert module.sizes(settings, "V-F") is module.sizes(settings, "F-V") is None
    assert matcher(system.load(module.__name__.removeprefix("models."))).MATCHES


@pytest.mark.parametrize("settings", [drawn.DIMNET, drawn.DIMNET_FROZEN])
def test_a_resumed_run_ends_in_the_same_bytes(
    settings: Any, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four iterations, and the same stopped before the third; momentum and dropout go on."""
    run(tmp_path / "whole", manifest, settings)
    module = dimnet if isinstance(settings, dimnet.Settings) else dimnet_frozen
    with monkeypatch.context() as patch:
        interrupted(patch, 3, module)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", manifest, settings)
    run(tmp_path / "cut", manifest, settings)
    check_same(tmp_path / "cut", tmp_path / "whole")
    facts = state.read(tmp_path / "cut" / LAST)[1]
    assert facts["settings"]["nationalities"] == 2 and facts["place"]["phase"] == 3


def test_the_frozen_variants_layers() -> None:
    settings = dimnet_frozen.Settings()
    networks = on_meta(lambda: nn.ModuleDict(dimnet_frozen.build(settings, 9)))
    sizes = {name: [(m.in_features, m.out_features) for m in networks[name].modules() if isinstance(m, nn.Linear)]  # type: ignore[index]
             for name in ("voice", "face", "shared", "identity")}  # fmt: skip
    assert sizes == {
        "voice": [(192, 256)], "face": [(512, 256)], "shared": [(256, 256), (256, 128)], "identity": [(128, 9)]
    }  # fmt: skip
    assert [m.p for m in networks.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert dimnet_frozen.phases(settings)[2].batch == 256


def test_frozen_encoders_keep_weights_and_statistics() -> None:
    settings = replace(drawn.DIMNET_FROZEN, covariates=("identity",))
    networks = built(dimnet_frozen, settings)
    trained = [{"encoder", "encoder_classifier"}, {"face_encoder", "face_encoder_classifier"},
               {"voice", "face", "shared", "identity"}]  # fmt: skip
    for phase, expected in zip(dimnet_frozen.phases(settings), trained, strict=True):
        step = step_of(dimnet_frozen, settings, networks, phase)
        frozen = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in networks.items()}
        before = {name: weights_of(network) for name, network in networks.items()}
        dimnet_frozen.update(step, batch(voice2face.BANDS, FACES))
        assert {name for name, network in networks.items() if moved(network, before[name])} == expected
        for name in networks.keys() - expected:
            assert all(torch.equal(v, frozen[name][k]) for k, v in networks[name].state_dict().items())


def test_dropout_is_drawn_from_the_steps_generator() -> None:
    settings = replace(drawn.DIMNET_FROZEN, covariates=("identity",))
    losses = []
    for seed in (1, 1, 2):
        step = step_of(dimnet_frozen, settings, built(dimnet_frozen, settings), dimnet_frozen.phases(settings)[2])
        step.noise.manual_seed(seed)
        before = torch.random.get_rng_state()
        losses.append(float(dimnet_frozen.update(step, batch(voice2face.BANDS, FACES))["total"]))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert losses[0] == losses[1] != losses[2]


def test_the_rows_of_the_paper_differ_in_covariates_alone() -> None:
    for name, covariates in {
        "i": ("identity",), "g": ("gender",), "n": ("nationality",), "ig": ("identity", "gender"),
        "in": ("identity", "nationality"), "gn": ("gender", "nationality"),
        "ign": ("identity", "gender", "nationality"),
    }.items():  # fmt: skip
        assert find(f"dimnet-{name}").settings == dimnet.Settings(covariates=covariates)


def test_voices_are_normalised_by_their_whole_recording() -> None:
    given = batch(voice2face.BANDS, FACES)
    networks = {name: network.eval() for name, network in built(dimnet, SETTINGS).items()}
    louder = replace(given, mel=given.mel + 2, mel_mean=given.mel_mean + 2)
    one, other = (dimnet.voices(networks, SETTINGS, each) for each in (given, louder))
    assert np.allclose(one, other, atol=1e-4)
    assert not np.allclose(one, dimnet.voices(networks, SETTINGS, replace(given, mel=given.mel + 2)), atol=1e-3)
