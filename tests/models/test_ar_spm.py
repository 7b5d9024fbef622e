"""AR-SPM: every row of its tables, priors with planted truth, its losses written out, the seven variants, training."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import pytest
import torch
from torch import nn

from manifests.errors import DataError
from models import ar_spm, feature_losses, ms_ssim, priors, state, train, vggface
from models.ar_spm import Settings, Variant
from models.backbones import ResidualTrunk
from models.cbam import ChannelGate, ParallelGates, SpatialGate, SqueezeExcitation
from models.experiments import EXPERIMENTS
from models.feature_decoders import AttentionDecoder
from models.priors import Priors
from models.spectrogram import compressed
from models.spectrogram_encoders import Backbone, GenderClassifier, ResidualEncoder, Trunk
from models.vggface import VggFace
from tests.models import drawn, featured
from tests.models.networks import n_parameters, shapes
from tests.models.steps import built, moved, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = replace(
    Settings(),
    encoder_channels=(2, 2, 4, 4, 4),
    decoder_channels=(4, 4, 4, 4, 4, 4),
    gender_channels=(2, 2, 4, 4, 4),
    pixels=32,
    batch=4,
    decoder_iterations=4,
    gender_iterations=2,
    iterations=4,
    frames=(80, 80),
)
VARIANTS = get_args(Variant)


def test_every_row_of_the_encoder_has_the_papers_size() -> None:
    with torch.device("meta"):
        encoder = ResidualEncoder()
        seen = shapes(encoder, (nn.Conv2d, nn.MaxPool2d, ChannelGate, SpatialGate), torch.empty(1, 2, 257, 598))
        last = encoder(torch.empty(2, 2, 257, 598))
    assert seen == [
        (64, 127, 297), (64, 63, 148), (128, 31, 73), (128, 15, 36), (256, 15, 36), (512, 15, 36), (512, 15, 36),
        (512, 4, 17), (512, 4, 17), (1, 4, 17), (512, 4, 17), (4096, 4, 17),
    ]  # fmt: skip
    assert last.shape == (2, 4096) and round(n_parameters(encoder) / 1e6) == 23


def test_every_row_of_the_decoder_has_the_papers_size_and_the_fourth_doubles() -> None:
    with torch.device("meta"):
        decoder = AttentionDecoder()
        kinds = (nn.Linear, nn.ConvTranspose2d, nn.Conv2d, ChannelGate)
        seen = shapes(decoder, kinds, torch.empty(1, 4096))
    gates = [(512, 28, 28), (1, 28, 28)]
    seen = [shape for shape in seen if shape not in ((512,), (32,))]  # the gate's own layers
    assert seen == [
        (1000,), (25_088,), *[(512, 14, 14)] * 3, *[(512, 28, 28)] * 2, *gates, *[(256, 56, 56)] * 3,
        *[(64, 112, 112)] * 2, (32, 224, 224), (3, 224, 224),
    ]  # fmt: skip
    assert round(n_parameters(decoder) / 1e6) == 69


def test_every_convolution_has_batch_norm_then_relu_and_linear_layers_relu() -> None:
    trunk = "".join(_kinds(Trunk((4, 4, 4, 4, 4))))
    assert trunk == "cbrpcbrpcbrcbrcbrp"
    decoder = _kinds(AttentionDecoder(32, (4, 4, 4, 4, 4, 4), "none", 8).rest)
    assert "".join(decoder).replace("?", "") == "rlru" + 3 * "tbr" + 2 * "tbr" + 3 * "tbr" + 2 * "tbr" + "tbr" + "cs"
    encoder = ResidualEncoder((4, 4, 4, 4, 4), "none", space=8)
    assert "".join(_kinds(encoder.fc1)) == "cr" and isinstance(encoder.fc2, nn.Linear)  # what is fused is not rectified


def _kinds(layers: nn.Module) -> list[str]:
    names = {"Conv2d": "c", "ConvTranspose2d": "t", "BatchNorm2d": "b", "ReLU": "r", "MaxPool2d": "p", "Linear": "l",
             "Unflatten": "u", "Sigmoid": "s"}  # fmt: skip
    return [names.get(type(layer).__name__, "?") for layer in layers.children()]


def test_the_classifier_of_genders_is_small_and_tells_two() -> None:
    with torch.device("meta"):
        classifier = GenderClassifier()
        assert classifier(torch.empty(3, 2, 257, 598)).shape == (3, 2)
    assert n_parameters(classifier) < 0.5e6
    kinds = [nn.Conv2d, nn.MaxPool2d, nn.Linear]
    assert [sum(isinstance(m, kind) for m in classifier.modules()) for kind in kinds] == [5, 3, 2]


def test_the_gates_are_the_official_ones() -> None:
    torch.manual_seed(0)
    x, gate, place = torch.randn(2, 32, 5, 6), ChannelGate(32), SpatialGate().eval()
    mlp = [gate.shared[0], gate.shared[2]]
    assert [tuple(layer.weight.shape) for layer in mlp] == [(2, 32), (32, 2)]

    def shared(v: torch.Tensor) -> torch.Tensor:
        return mlp[1](mlp[0](v).clamp_min(0))  # type: ignore[no-any-return]

    flat = x.flatten(2)
    scale = 1 / (1 + torch.exp(-(shared(flat.mean(2)) + shared(flat.max(2).values))))
    torch.testing.assert_close(gate(x), x * scale[:, :, None, None])
    assert place.convolution.bias is None and place.convolution.kernel_size == (7, 7)
    both = torch.stack([x.max(1).values, x.mean(1)], 1)
    torch.testing.assert_close(place(x), x * place.norm(place.convolution(both)).sigmoid())


def test_gates_in_parallel_both_see_what_comes_in() -> None:
    torch.manual_seed(0)
    x, gates = torch.randn(2, 32, 5, 6), ParallelGates(32).eval()
    mlp, flat = gates.channel.shared, x.flatten(2)
    channel = mlp(flat.mean(2)) + mlp(flat.max(2).values)
    place = gates.spatial.norm(gates.spatial.convolution(torch.stack([x.max(1).values, x.mean(1)], 1)))
    wanted = x / (1 + torch.exp(-(channel[:, :, None, None] + place)))
    torch.testing.assert_close(gates(x), wanted)
    in_series = gates.spatial(gates.channel(x))
    assert (in_series - wanted).abs().max() > 0.01


@pytest.mark.parametrize(
    ("kind", "gate"),
    [("cbam", SpatialGate), ("parallel", ParallelGates), ("se", SqueezeExcitation), ("none", None)],
)
def test_attention_is_a_choice_of_encoder_and_decoder(kind: str, gate: type | None) -> None:
    networks = built(ar_spm, replace(TINY, attention=kind))
    for name in ("encoder", "decoder"):
        kinds = ChannelGate | ParallelGates | SpatialGate | SqueezeExcitation
        gates = [m for m in networks[name].modules() if isinstance(m, kinds)]
        assert any(isinstance(m, gate) for m in gates) if gate else not gates


@pytest.mark.parametrize(
    ("backbone", "channels", "wanted"),
    [("resnet", ResidualTrunk.CHANNELS, (512, 9, 19)), ("densenet", (64,), (1024, 8, 18))],
)
def test_other_trunks_say_the_same_features(
    backbone: Backbone, channels: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        encoder = ResidualEncoder(channels, backbone=backbone)
        spectrogram = torch.empty(2, 2, 257, 598)
        assert encoder.trunk(spectrogram).shape[1:] == wanted
        assert encoder(spectrogram, torch.empty(2, 4096), before=True).shape == (2, 4096)
    held = replace(Settings(), backbone=backbone, encoder_channels=channels)
    assert held in [one.settings for one in EXPERIMENTS]


def test_another_trunk_learns_and_a_wrong_number_of_widths_is_told() -> None:
    settings = replace(TINY, backbone="densenet", encoder_channels=(2,))
    networks = begun(settings)
    phase = ar_spm.phases(settings)[1]
    step, before = featured.featured(ar_spm, settings, networks, phase), weights_of(networks["encoder"].trunk)
    assert float(ar_spm.update(step, featured.voices(32, frames=80))["total"]) > 0
    assert moved(networks["encoder"].trunk, before)
    for backbone, channels, told in (("densenet", (2, 2), "stem alone"), ("resnet", (2, 2), "expected 5")):
        with pytest.raises(ValueError, match=told):
            ResidualEncoder(channels, backbone=cast(Backbone, backbone))


def test_fewer_features_make_every_network_that_has_them_smaller() -> None:
    settings = replace(TINY, space=16, variant="neutral+fc")
    with torch.device("meta"):
        networks = ar_spm.build(settings, 5)
        assert networks["encoder"](torch.empty(2, 2, 257, 298)).shape == (2, 16)
        assert networks["decoder"](torch.empty(2, 16)).shape == (2, 3, 32, 32)
    assert {buffer.shape for buffer in networks["priors"].buffers()} == {(16,)}


def test_a_prior_takes_everybodys_first_face_before_anybodys_second() -> None:
    person = np.repeat(np.arange(30), 3)
    genders = ["m" if p % 3 else "f" for p in range(29)] + [None]
    for gender, people in (("m", 19), ("f", 10)):
        found = priors.order(person, genders, gender)
        assert sorted(found) == [row for row in range(90) if genders[person[row]] == gender]
        for turn in range(3):
            assert len(set(person[found[turn * people : (turn + 1) * people]])) == people
    assert np.array_equal(priors.order(person, genders, "m"), priors.order(person, genders, "m"))


def test_priors_are_planted_means_and_the_neutral_one_is_balanced() -> None:
    person = np.arange(40)
    genders: list[str | None] = ["m"] * 30 + ["f"] * 9 + [None]
    features = torch.zeros(40, 4096)
    features[:30], features[30:39], features[39] = 1.0, 3.0, 1000.0
    found = priors.means(features, person, genders, 10_000)
    assert [float(found[name].mean()) for name in ("male", "female", "neutral")] == [1.0, 3.0, 2.0]
    few = priors.means(torch.arange(40.0)[:, None].expand(-1, 4096), person, genders, 4)
    rows = {gender: priors.order(person, genders, gender) for gender in ("m", "f")}
    assert float(few["male"][0]) == pytest.approx(rows["m"][:4].mean())
    assert float(few["neutral"][0]) == pytest.approx((rows["m"][:2].mean() + rows["f"][:2].mean()) / 2)
    with pytest.raises(DataError, match="gender 'f'"):
        priors.means(features[:30], person[:30], genders[:30], 10)


def begun(settings: Settings) -> dict[str, nn.Module]:
    """Networks whose priors are set apart from each other."""
    networks = built(ar_spm, settings)
    if "priors" in networks:
        held = networks["priors"]
        assert isinstance(held, Priors)
        for place, name in enumerate(("neutral", "male", "female"), 1):
            getattr(held, name).fill_(float(place))
    return networks


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_adds_its_prior_where_it_says(variant: Variant) -> None:
    settings = replace(TINY, variant=variant)
    networks = begun(settings)
    for network in networks.values():
        network.eval()
    given, gender = featured.voices(32, frames=80), torch.tensor([0, 1, 1, 0])
    encoder = networks["encoder"]
    spectrogram = compressed(given.wave)
    hidden = encoder.fc1(encoder.attention(encoder.trunk(spectrogram))).mean(dim=(2, 3))
    prior = {"neutral": 1.0, "male": 2.0, "female": 3.0}.get(variant.removesuffix("+fc"), 0.0) * torch.ones(4, 1)
    if variant.startswith("gender"):
        prior = torch.where(gender[:, None] == 1, 2.0, 3.0)
    wanted = encoder.fc2(hidden + prior) if variant.endswith("+fc") else encoder.fc2(hidden) + prior
    torch.testing.assert_close(ar_spm.embed(networks, settings, given, gender), wanted)
    assert ("priors" in networks) == (variant != "none") and ("gender" in networks) == variant.startswith("gender")
    assert [p.name for p in ar_spm.phases(settings)] == (
        ["decoder", "gender", "encoder"] if variant.startswith("gender") else ["decoder", "encoder"]
    )


@torch.no_grad()
def test_the_predicted_gender_chooses_the_prior_at_test_and_where_nobody_knows_it() -> None:
    settings = replace(TINY, variant="gender")
    networks = begun(settings)
    for network in networks.values():
        network.eval()
    given = featured.voices(32, frames=80)
    encoder, heard = networks["encoder"], ar_spm.genders(networks, settings, given)
    plain = encoder(compressed(given.wave))
    at_test = ar_spm.embed(networks, settings, given) - plain
    torch.testing.assert_close(at_test[:, 0], torch.where(heard == 1, 2.0, 3.0))
    told = torch.tensor([0, 1, -1, -1])
    in_training = (ar_spm.embed(networks, settings, given, told) - plain)[:, 0]
    torch.testing.assert_close(in_training, torch.where(torch.tensor([0, 1, *heard[2:]]) == 1, 2.0, 3.0))


def test_all_seven_variants_are_experiments() -> None:
    held = {one.settings.variant for one in EXPERIMENTS if one.system == "ar_spm" and one.name != "ar-spm-small"}
    assert held == set(VARIANTS) and len(VARIANTS) == 7


def test_the_tri_item_loss_is_the_papers() -> None:
    networks = begun(TINY)
    features = featured.features()
    said, shown = torch.randn(4, 4096), features.features(torch.rand(4, 3, 32, 32))
    found = ar_spm.terms(networks, TINY, features, said, shown)
    w = networks["decoder"].first.weight.detach().double().numpy()
    c, bias = (v.detach().double().numpy() for v in (features.network.fc8.weight, features.network.fc8.bias))
    terms: dict[str, list[float]] = {"direction": [], "first_layer": [], "classes": []}
    for s, f in zip(said.double().numpy(), shown.double().numpy(), strict=True):
        terms["direction"].append(((s / np.linalg.norm(s) - f / np.linalg.norm(f)) ** 2).sum())
        terms["first_layer"].append(np.abs(w @ s - w @ f).sum())
        a, b = c @ s + bias, c @ f + bias
        terms["classes"].append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    for name, values in terms.items():
        assert float(found[name].detach()) == pytest.approx(np.mean(values), rel=1e-4), name
    assert ar_spm.weights(Settings()) == {"direction": 1.0, "first_layer": 0.04, "classes": 1.2}
    other = ar_spm.terms(networks, replace(TINY, third="distillation"), features, said, shown)
    logits = [features.logits(each) for each in (said, shown)]
    torch.testing.assert_close(other["classes"], feature_losses.distilled(logits[0], logits[1]))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_phase_moves_its_network_alone_by_its_own_loss(place: int) -> None:
    settings = replace(TINY, variant="gender+fc")
    networks = begun(settings)
    phase = ar_spm.phases(settings)[place]
    step, given = featured.featured(ar_spm, settings, networks, phase), featured.voices(32, frames=80)
    before = {name: weights_of(network) for name, network in networks.items()}
    twin = copy.deepcopy(networks)
    found = ar_spm.update(step, given)
    assert [name for name, network in networks.items() if moved(network, before[name])] == [phase.name]
    if phase.name == "decoder":
        shown = step.features.features(given.face)
        picture = twin["decoder"](shown)
        wanted = ms_ssim.loss(picture, given.face) + feature_losses.turned(step.features.features(picture), shown)
        torch.testing.assert_close(found["total"], wanted.detach(), rtol=1e-4, atol=1e-5)
    elif phase.name == "gender":
        logits = twin["gender"](compressed(given.wave)).log_softmax(1).detach()
        known = step.traits["gender"][given.identity]
        own = [-float(logits[row, label]) for row, label in enumerate(known.tolist()) if label >= 0]
        assert float(found["total"]) == pytest.approx(np.mean(own), rel=1e-4)
    else:
        weighted = found["direction"] + 0.04 * found["first_layer"] + 1.2 * found["classes"]
        torch.testing.assert_close(found["total"], weighted)


def test_a_batch_of_unknown_genders_teaches_nothing_and_is_finite() -> None:
    settings = replace(TINY, variant="gender")
    step = featured.featured(ar_spm, settings, begun(settings), ar_spm.phases(settings)[1])
    given = featured.voices(32, frames=80)
    found = ar_spm.update(step, replace(given, identity=torch.full_like(given.identity, 4)))  # nobody knows the last's
    assert float(found["total"]) == 0


def test_adam_and_its_rate_are_the_papers() -> None:
    for phase in ar_spm.phases(Settings()):
        (chosen,) = phase.optimisers.values()
        assert (chosen.rate, chosen.betas, chosen.epsilon, phase.batch) == (1e-3, (0.5, 0.999), 1e-4, 16)
        two_epochs = 2 * 6375 // 16
        assert phase.rate(phase.name, two_epochs) == pytest.approx(0.9e-3) and phase.iterations == 50 * (6375 // 16)


def test_priors_come_from_the_training_faces_and_training_resumes_to_the_bit(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path / "drawn", drawn.Sketch(audio=True))
    file = featured.write(tmp_path / "vgg.safetensors")
    settings = replace(TINY, features=str(file), decoder_iterations=2, iterations=2)
    # The fusion layer alone has 17 million weights: few checkpoints, to be quick.
    options, experiment = replace(drawn.CPU, validate_every=2, save_every=0), drawn.experiment(settings)
    whole = train.train(tmp_path / "whole", manifest, experiment, settings, options)
    for until in ("decoder", None):
        last = train.train(tmp_path / "parts", manifest, experiment, settings, replace(options, until=until))
    assert last.read_bytes() == whole.read_bytes()
    tensors, _ = state.read(whole)
    assert {name.split("/")[0] for name in tensors} <= {"network", "optimiser"}, "no moving average"
    packed = train.pack.pack(manifest, "train", "wave", 32, tmp_path / "packed")
    every = featured.features().of_all(torch.from_numpy(packed.arrays["faces"].copy()))
    male = torch.tensor([packed.genders[p] == "m" for p in packed.arrays["face_person"].tolist()])
    for name, of in (("male", male), ("female", ~male)):
        torch.testing.assert_close(tensors[f"network/priors/{name}"], every[of].mean(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", ["neutral+fc", "gender", "none"])
def test_the_averaged_weights_of_a_run_draw_faces_with_its_priors(tmp_path: Path, variant: Variant) -> None:
    """The priors are a network without weights: their average is what they are."""
    manifest = drawn.write_manifest(tmp_path / "drawn", drawn.Sketch(audio=True))
    vggface.write(tmp_path / "vgg.safetensors", VggFace(replace(featured.SHAPE, features=16)), {"half": "a"})
    settings = replace(TINY, features=str(tmp_path / "vgg.safetensors"), space=16, variant=variant)
    options = replace(drawn.CPU, average=0.9, validate_every=2, save_every=0)
    train.train(tmp_path / "run", manifest, drawn.experiment(settings), settings, options)
    tensors, _ = state.read(tmp_path / "run" / state.LAST)
    kept = [name for name in tensors if name.startswith("network/priors/")]
    assert len(kept) == (0 if variant == "none" else 3)
    assert all(torch.equal(tensors[name], tensors[name.replace("network/", "average/")]) for name in kept)
    assert any(not torch.equal(tensors[name], tensors[name.replace("network/", "average/")])
               for name in tensors if name.startswith("network/encoder/"))  # fmt: skip
    model = state.load_model(tmp_path / "run", torch.device("cpu"))
    assert ar_spm.faces(model.networks, settings, featured.voices(32, frames=80)).isfinite().all()


def test_of_a_long_voice_the_first_six_seconds_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the encoder, and by what hears the gender; a model trained on longer crops hears those."""
    heard: list[tuple[int, ...]] = []

    def seen(wave: torch.Tensor) -> torch.Tensor:
        heard.append(tuple(wave.shape))
        return compressed(wave)

    monkeypatch.setattr(ar_spm, "compressed", seen)
    settings = replace(TINY, variant="gender")
    networks = {name: network.eval() for name, network in begun(settings).items()}
    given = featured.voices(32, frames=1100, count=2)
    ar_spm.faces(networks, settings, given)
    ar_spm.genders(networks, settings, given)
    ar_spm.genders(networks, replace(settings, frames=(900, 900)), given)
    assert heard == [(2, 96_000), (2, 96_000), (2, 144_000)]
