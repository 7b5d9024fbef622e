"""Speech2Face: every row of its tables, its losses written out in float64, its traps, and a tiny training."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from models import balance, data, feature_losses, pack, speech2face, state, system, train, vggface
from models.balance import measure, proposed
from models.experiments import find
from models.feature_decoders import ColeDecoder
from models.spectrogram import compressed
from models.spectrogram_encoders import SpeechEncoder
from models.speech2face import Settings
from models.vggface import VggFace
from models.warp import warped
from tests.models import drawn, featured
from tests.models.networks import check_gradients, check_rows_alone, n_parameters, on_meta, shapes
from tests.models.steps import built, moved, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = replace(
    Settings(),
    encoder_channels=(2, 2, 2, 2, 2, 2, 4, 4, 4),
    hidden=8,
    decoder_channels=(4, 4, 4, 4, 4),
    pixels=32,
    decoder_batch=4,
    decoder_iterations=4,
    batch=4,
    iterations=4,
    frames=(262, 262),
)


def test_every_row_of_the_voice_encoder_has_the_papers_size() -> None:
    with torch.device("meta"):
        encoder = SpeechEncoder()
        seen = shapes(encoder, (nn.Conv2d, nn.MaxPool2d, nn.Linear), torch.empty(1, 2, 257, 598))
    assert seen == [
        (64, 254, 595), (64, 251, 592), (128, 248, 589), (128, 248, 294), (128, 245, 291), (128, 245, 145),
        (128, 242, 142), (128, 242, 71), (256, 239, 68), (256, 239, 34), (512, 236, 31), (512, 117, 14), (512, 57, 6),
        (4096,), (4096,),
    ]  # fmt: skip
    convolutions = sum(n_parameters(m) for m in encoder.modules() if isinstance(m, nn.Conv2d))
    connected = sum(n_parameters(m) for m in encoder.modules() if isinstance(m, nn.Linear))
    assert encoder.head[0].in_features == 29_184
    assert [round(n / 1e6, 1) for n in (n_parameters(encoder), convolutions, connected)] == [148.1, 11.7, 136.3]


def test_the_encoder_takes_what_the_paper_publishes_and_no_pool_changes_the_frequencies() -> None:
    with torch.device("meta"):
        encoder = SpeechEncoder()
        for frames in (259, 298, 598, 1198):
            assert encoder(torch.empty(2, 2, 257, frames)).shape == (2, 4096)
        with pytest.raises(ValueError, match="258 frames"):
            encoder(torch.empty(2, 2, 257, 258))
    assert {m.kernel_size for m in encoder.modules() if isinstance(m, nn.MaxPool2d)} == {(1, 2)}
    assert {m.padding for m in encoder.modules() if isinstance(m, nn.Conv2d)} == {(0, 0)}


def test_time_is_averaged_before_the_last_activation_and_norm() -> None:
    encoder = SpeechEncoder(TINY.encoder_channels, TINY.hidden).eval()
    x = torch.randn(2, 2, 257, 298)
    mean = encoder.convolutions(x).mean(dim=3)
    assert (mean < 0).any(), "the last convolution has no activation"
    kinds = [type(m) for m in encoder.last]
    assert kinds == [nn.ReLU, nn.BatchNorm2d]
    torch.testing.assert_close(encoder(x), encoder.head(encoder.last(mean[..., None]).flatten(1)))


def test_every_row_of_the_decoder_has_the_papers_size() -> None:
    with torch.device("meta"):
        decoder = ColeDecoder()
        seen = shapes(decoder, (nn.ConvTranspose2d, nn.Conv2d, nn.Linear), torch.empty(1, 4096))
        assert seen == [
            (1000,), (50_176,), (128, 28, 28), (64, 56, 56), (32, 112, 112), (32, 224, 224), (3, 224, 224),
            (512,), (256,), (136,),
        ]  # fmt: skip
        plain = ColeDecoder(warps=False)
        assert shapes(plain, nn.Linear, torch.empty(1, 4096)) == [(1000,), (50_176,)]


def test_a_small_preset_is_smaller_and_its_pictures_are_64_pixels() -> None:
    settings = find("speech2face-small").settings
    assert n_parameters(on_meta(lambda: nn.ModuleDict(speech2face.build(settings, 3)))) < 8e6
    assert speech2face.side(settings) == 64 and find("speech2face").settings == Settings()


def test_networks_learn_in_every_part_and_rows_do_not_mix() -> None:
    torch.manual_seed(0)
    encoder = SpeechEncoder((4, 4, 4, 4, 4, 4, 8, 8, 8), 16)
    check_gradients(encoder, torch.randn(3, 2, 257, 262))
    check_rows_alone(encoder, torch.randn(3, 2, 257, 262))


def test_settings_that_no_network_can_have_are_refused() -> None:
    for wrong in (replace(TINY, frames=(200, 300)), replace(TINY, pixels=33), replace(TINY, encoder_channels=(2, 2))):
        with pytest.raises(UsageError, match="make no network"):
            system.build(system.load("speech2face"), wrong, 5)


def begun(settings: Settings = TINY, batch_seed: int = 0) -> dict[str, nn.Module]:
    networks = built(speech2face, settings)
    if settings.decoder == "warped":
        known = featured.voices(settings.pixels, batch_seed).landmarks
        assert known is not None
        networks["decoder"].mean_landmarks.copy_(known[1:].mean(0))  # type: ignore[operator,union-attr]
    return networks


def test_the_decoders_losses_are_those_written_out() -> None:
    networks = begun()
    phase = speech2face.phases(TINY)[0]
    step, given = featured.featured(speech2face, TINY, networks, phase), featured.voices(32)
    decoder = copy.deepcopy(networks["decoder"])
    found = speech2face.update(step, given)
    net, prepare = featured.network().double(), step.features.prepare
    face = given.face.double()
    shown = net.features(prepare(face))
    made = decoder(shown.float())
    a, b = net.features(prepare(made.picture.double())), shown
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    mean = decoder.mean_landmarks.double()
    real = torch.stack([mean, *given.landmarks[1:].double()])
    wanted = {
        "likeness": (1 - cosine).mean(),
        "texture": (made.texture.double() - warped(face, real, mean.expand_as(real))).abs().mean(),
        "landmark": (
            ((made.landmarks.double() - real) * 7.0)[1:] ** 2
        ).mean(),  # 224 / 32; nobody knows the first face's
    }
    wanted["total"] = wanted["landmark"] + 100 * wanted["texture"] + 100 * wanted["likeness"]
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(float(value.detach()), rel=2e-3), name


def test_a_batch_without_any_landmarks_still_teaches_the_texture() -> None:
    step = featured.featured(speech2face, TINY, begun(), speech2face.phases(TINY)[0])
    given = featured.voices(32)
    found = speech2face.update(step, replace(given, landmarks=torch.full_like(given.landmarks, torch.nan)))
    assert float(found["landmark"]) == 0 and all(loss.isfinite() for loss in found.values())


def written_out(said: Tensor, shown: Tensor, first: nn.Linear, last: nn.Linear) -> dict[str, float]:
    """Equation of section 1.5, sample by sample."""
    w, c = (np.asarray(layer.weight.detach().double()) for layer in (first, last))
    bias = np.asarray(last.bias.detach().double())
    terms: dict[str, list[float]] = {"first_layer": [], "direction": [], "distillation": []}
    for s, f in zip(said.double().numpy(), shown.double().numpy(), strict=True):
        terms["first_layer"].append(np.abs(w @ f - w @ s).sum())
        terms["direction"].append(((f / np.linalg.norm(f) - s / np.linalg.norm(s)) ** 2).sum())
        p_f, p_s = (np.exp((c @ v + bias) / 2) / np.exp((c @ v + bias) / 2).sum() for v in (f, s))
        terms["distillation"].append(-(p_f * np.log(p_s)).sum())
    return {name: float(np.mean(values)) for name, values in terms.items()}


def test_the_voices_loss_is_the_papers_and_moves_the_encoder_alone() -> None:
    networks = begun()
    step = featured.featured(speech2face, TINY, networks, speech2face.phases(TINY)[1])
    given = featured.voices(32, frames=262)
    twin = copy.deepcopy(networks)  # batch norms in training mode, as in the step
    with torch.no_grad():
        said = twin["encoder"](compressed(given.wave))
        shown = step.features.features(given.face)
    before = {name: weights_of(network) for name, network in networks.items()}
    frozen = weights_of(step.features.network)
    found = speech2face.update(step, given)
    wanted = written_out(said, shown, networks["decoder"].first, step.features.network.fc8)  # type: ignore[arg-type]
    wanted["total"] = wanted["first_layer"] + 0.025 * wanted["direction"] + 200 * wanted["distillation"]
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name
    assert moved(networks["encoder"], before["encoder"]) and not moved(networks["decoder"], before["decoder"])
    assert not moved(step.features.network, frozen)


def test_features_are_normalised_each_by_itself_and_not_by_the_batch() -> None:
    """A public port divides by the norm of the whole batch: a long feature then hides what the others lack."""
    said, shown = torch.randn(4, 4096), torch.randn(4, 4096)
    scaled = said * torch.tensor([1.0, 10.0, 100.0, 1000.0])[:, None]
    torch.testing.assert_close(feature_losses.directional(scaled, shown), feature_losses.directional(said, shown))
    port = (scaled / scaled.norm() - shown / shown.norm()).square().sum() / 4
    assert abs(float(port) - float(feature_losses.directional(scaled, shown))) > 0.5


def test_terms_do_not_depend_on_how_many_voices_there_are() -> None:
    said, shown = torch.randn(3, 50), torch.randn(3, 50)
    for term in (feature_losses.absolute, feature_losses.directional, feature_losses.turned, feature_losses.distilled):
        torch.testing.assert_close(term(said.repeat(4, 1), shown.repeat(4, 1)), term(said, shown))


@pytest.mark.parametrize("loss", ["feature", "pixel"])
def test_the_ablations_are_one_distance_alone(loss: str) -> None:
    settings = replace(TINY, loss=loss)
    networks = begun(settings)
    step = featured.featured(speech2face, settings, networks, speech2face.phases(settings)[1])
    said, shown = torch.randn(4, 4096), step.features.features(torch.rand(4, 3, 32, 32))
    found = speech2face.terms(networks, settings, step.features, said, shown)
    if loss == "feature":
        wanted = (said - shown).abs().sum(1).mean()
    else:
        wanted = (networks["decoder"](said).picture - networks["decoder"](shown).picture).abs().mean()
    assert found.keys() == {loss} == speech2face.weights(settings).keys()
    torch.testing.assert_close(found[loss], wanted)


def test_adam_and_its_rate_are_the_papers() -> None:
    decoder, encoder = speech2face.phases(Settings())
    assert (decoder.kind, decoder.batch, encoder.kind, encoder.batch) == ("faces", 16, "paired", 8)
    chosen = encoder.optimisers["encoder"]
    assert (chosen.rate, chosen.betas, chosen.epsilon) == (1e-3, (0.5, 0.999), 1e-4)
    rates = [encoder.rate("encoder", at) for at in (0, 9_999, 10_000, 25_000)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.95e-3, 0.95**2 * 1e-3])


def test_the_mean_landmarks_are_those_that_are_known_and_the_plain_decoder_needs_none(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(audio=True))
    corpus = data.load(pack.pack(manifest, "train", "wave", 32, tmp_path / "packed"), torch.device("cpu"))
    assert corpus.landmarks.isnan().all()
    plain = replace(TINY, decoder="plain")
    speech2face.begin(built(speech2face, plain), plain, corpus, featured.features())
    networks = built(speech2face, TINY)
    with pytest.raises(DataError, match="--set decoder=plain"):
        speech2face.begin(networks, TINY, corpus, featured.features())
    known, shape = torch.full_like(corpus.landmarks, torch.nan), torch.rand(68, 2)
    known[3], known[5] = 10.0 + shape, 20.0 + 3 * shape
    speech2face.begin(networks, TINY, replace(corpus, landmarks=known), featured.features())
    assert isinstance(networks["decoder"], ColeDecoder)
    torch.testing.assert_close(networks["decoder"].mean_landmarks, 15.0 + 2 * shape)
    line = torch.stack([torch.linspace(0, 31, 68), torch.linspace(5, 25, 68)], dim=1)
    for wrong in (torch.full((68, 2), 7.0), line, 1e30 * (shape - 0.5), 500.0 + 9 * shape):
        with pytest.raises(DataError, match=r"no face in pictures of 32 pixels.*--set decoder=plain"):
            speech2face.begin(networks, TINY, replace(corpus, landmarks=known * 0 + wrong), featured.features())


def test_a_decoder_that_is_taken_over_keeps_the_shape_of_its_textures(tmp_path: Path) -> None:
    """Even where the new training faces have no landmarks: it asks for none any more."""
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(audio=True))
    corpus = data.load(pack.pack(manifest, "train", "wave", 32, tmp_path / "packed"), torch.device("cpu"))
    networks, shape = built(speech2face, TINY), torch.rand(68, 2)
    assert isinstance(networks["decoder"], ColeDecoder)
    networks["decoder"].mean_landmarks.copy_(shape)
    speech2face.begin(networks, replace(TINY, decoder_iterations=0), corpus, featured.features())
    assert torch.equal(networks["decoder"].mean_landmarks, shape)
    with pytest.raises(DataError, match="no training face has landmarks"):
        speech2face.begin(networks, TINY, corpus, featured.features())  # it will be trained


def test_every_convolution_of_the_encoder_is_rectified_and_then_normed() -> None:
    """Not the other way round, which has as many parameters."""
    layers = [type(layer).__name__ for layer in speech2face.build(TINY, 3)["encoder"].convolutions]  # type: ignore[union-attr]
    kinds = "".join({"Conv2d": "c", "ReLU": "r", "BatchNorm2d": "b", "MaxPool2d": "p"}[name] for name in layers)
    assert kinds == "crbcrbcrbpcrbpcrbpcrbpcrbcrbc"  # the ninth's come after the mean


def test_a_decoder_that_diverges_ends_with_an_error_and_not_with_the_process(tmp_path: Path) -> None:
    """Its landmarks are not finite then; the warp must not look for pixels there."""
    manifest = drawn.write_manifest(tmp_path / "drawn", drawn.Sketch(audio=True, landmarks=True))
    vggface.write(tmp_path / "vgg.safetensors", VggFace(replace(featured.SHAPE, features=16)), {"half": "a"})
    settings = replace(TINY, features=str(tmp_path / "vgg.safetensors"), space=16, decoder_rate=1e30)
    options = replace(drawn.CPU, validate_every=0, save_every=0, max_skipped=2)
    with pytest.raises(DataError, match=r"3 iterations gave losses that are not finite \(limit 2\)"):
        train.train(tmp_path / "run", manifest, drawn.experiment(settings), settings, options)


def test_short_voices_are_repeated_and_windows_averaged() -> None:
    networks = begun()
    for network in networks.values():
        network.eval()
    given = featured.voices(32, frames=100, windows=3)
    together = speech2face.embed(networks, TINY, given)
    assert given.n_windows is not None
    for row, count in enumerate(given.n_windows.tolist()):
        waves = given.wave[row, :count].repeat(1, 3)[:, : 262 * 160]
        alone = networks["encoder"](compressed(waves)).mean(0)
        torch.testing.assert_close(together[row], alone, rtol=1e-3, atol=1e-5)


def test_of_a_long_voice_the_first_six_seconds_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """They alone set its level; a model trained on longer crops hears those."""
    heard: list[Tensor] = []

    def seen(wave: Tensor) -> Tensor:
        heard.append(wave)
        return compressed(wave)

    monkeypatch.setattr(speech2face, "compressed", seen)
    networks = {name: network.eval() for name, network in begun().items()}
    given = featured.voices(32, frames=700, count=2)
    given.mel[..., 600:] *= 9
    speech2face.faces(networks, TINY, given)
    speech2face.faces(networks, replace(TINY, level=0.05), given)
    speech2face.faces(networks, replace(TINY, frames=(262, 650)), given)
    assert torch.equal(heard[0], given.wave[:, :96_000]) and torch.equal(heard[2], given.wave[:, :104_000])
    torch.testing.assert_close(heard[1].square().mean(dim=1).sqrt(), torch.full((2,), 0.05))


def test_faces_are_pictures() -> None:
    networks = begun()
    for network in networks.values():
        network.eval()
    found = speech2face.faces(networks, TINY, featured.voices(32))
    assert found.shape == (4, 3, 32, 32) and found.min() >= 0 and found.max() <= 1


def test_both_phases_learn() -> None:
    settings = replace(TINY, decoder="plain", decoder_rate=1e-2, rate=1e-2, distillation=0.0)
    networks = begun(settings)
    given = featured.voices(32, frames=262)
    for phase, (term, share) in zip(speech2face.phases(settings), (("texture", 0.99), ("direction", 0.7)), strict=True):
        step = featured.featured(speech2face, settings, networks, phase)
        losses = [float(speech2face.update(step, given)[term]) for _ in range(10)]
        assert losses[-1] < share * losses[0], phase.name


def test_the_gradient_of_an_l1_in_a_balance_is_known_without_training() -> None:
    """With respect to a feature every number of |said - shown| pulls by 1."""
    settings = replace(TINY, loss="feature")
    networks = begun(settings)
    for network in networks.values():
        network.eval()
    model = state.Model(system.load("speech2face"), settings, networks, {}, "", None)
    found = balance.norms(speech2face, model, featured.features(), featured.voices(32, frames=262))
    assert found == {"feature": pytest.approx(4096**0.5, rel=1e-3)}


def test_a_balance_makes_every_term_pull_as_the_first_does() -> None:
    found = proposed({"a": 4.0, "b": 0.5, "c": 8.0}, {"a": 1.0, "b": 0.1, "c": 2.0})
    assert {name: one.proposed for name, one in found.items()} == {"a": 1.0, "b": 8.0, "c": 0.5}


def test_training_resumes_to_the_bit_and_holds_one_copy(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path / "drawn", drawn.Sketch(audio=True))
    settings = replace(
        TINY,
        features=str(featured.write(tmp_path / "vgg.safetensors")),
        decoder="plain",
        decoder_iterations=2,
        iterations=2,
    )
    options = replace(drawn.CPU, validate_every=2)
    experiment = drawn.experiment(settings)
    whole = train.train(tmp_path / "whole", manifest, experiment, settings, options)
    for until in ("decoder", None):
        last = train.train(tmp_path / "parts", manifest, experiment, settings, replace(options, until=until))
    assert last.read_bytes() == whole.read_bytes()
    tensors, facts = state.read(whole)
    assert facts["features"]["name"] == "own-vgg-a"
    assert {name.split("/")[0] for name in tensors} <= {"network", "optimiser"}, "no moving average"
    model = state.load_model(whole, torch.device("cpu"))
    found = measure(model, manifest, tmp_path / "packed", 2, torch.device("cpu"))
    assert found.keys() == speech2face.weights(settings).keys()
    for one in found.values():
        assert one.proposed * one.norm == pytest.approx(found["first_layer"].norm)
    vggface.write(tmp_path / "vgg.safetensors", featured.network(seed=4), {"half": "a"})
    with pytest.raises(DataError, match=f"learned the features of {facts['features']['sha256']}: put that file back"):
        measure(model, manifest, tmp_path / "packed", 2, torch.device("cpu"))
