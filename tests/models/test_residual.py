"""The residual networks of I2G: every row of their tables, and what each block promises."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.residual import AdaIN, Down, FaceEncoder, FaceGenerator, FirstDown, Same, Up
from tests.models.networks import check_gradients, check_rows_alone, n_parameters, on_meta, shapes

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def conv(inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 + bias * outputs


def test_every_row_of_the_face_encoder() -> None:
    network = on_meta(FaceEncoder)
    face = torch.zeros(1, 3, 128, 128, device="meta")
    assert shapes(network, (FirstDown, Down, Same), face) == [
        (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4), (1024, 4, 4)
    ]  # fmt: skip
    assert shapes(network, nn.Linear, face) == [(128,)]
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_parameters_of_the_face_encoder() -> None:
    first = conv(3, 64) + conv(64, 64) + conv(3, 64, 1)
    down = sum(conv(i, i) + conv(i, o) + conv(i, o, 1) for i, o in [(64, 128), (128, 256), (256, 512), (512, 1024)])
    same, linear = 2 * conv(1024, 1024), 1024 * 128 + 128
    assert n_parameters(on_meta(FaceEncoder)) == first + down + same + linear == 29_148_032  # about 29 million


def test_every_row_of_the_generator() -> None:
    network = on_meta(FaceGenerator)
    given = torch.zeros(1, 128, device="meta")
    assert shapes(network, nn.Unflatten, given, given) == [(1024, 4, 4)]
    assert shapes(network, Up, given, given) == [
        (1024, 8, 8), (512, 16, 16), (256, 32, 32), (128, 64, 64), (64, 128, 128)
    ]  # fmt: skip
    assert network(given, given).shape == (1, 3, 128, 128)


def test_parameters_of_the_generator() -> None:
    widths = [(1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)]
    convolutions = sum(conv(i, o, bias=False) + conv(o, o, bias=False) + conv(i, o, 1, bias=False) for i, o in widths)
    norms = 2 * 128 * (sum(i + o for i, o in widths) + 64)  # gain and offset of each channel
    first, last = 256 * 1024 * 16 + 1024 * 16, conv(64, 3)
    assert (
        n_parameters(on_meta(FaceGenerator)) == convolutions + norms + first + last == 35_509_955
    )  # about 35.5 million


def test_the_first_block_is_that_of_the_projection_discriminator() -> None:
    """Pictures are not rectified before the first convolution; the shortcut is reduced first."""
    torch.manual_seed(0)
    block, x = FirstDown(3, 5), drawn(2, 3, 8, 8)
    expected = F.avg_pool2d(block.second(F.relu(block.first(x))), 2) + block.shortcut(F.avg_pool2d(x, 2))
    torch.testing.assert_close(block(x), expected)


def test_a_down_block_rectifies_before_each_convolution_but_not_the_shortcut() -> None:
    torch.manual_seed(0)
    block, x = Down(3, 5), drawn(2, 3, 8, 8)
    h = F.avg_pool2d(block.second(F.relu(block.first(F.relu(x)))), 2)
    torch.testing.assert_close(block(x), h + F.avg_pool2d(block.shortcut(x), 2))
    assert block.first.out_channels == 3  # hidden channels are those of the input


def test_the_last_block_keeps_the_side() -> None:
    """A public port halves once more there."""
    block, x = Same(4), drawn(2, 4, 4, 4)
    torch.testing.assert_close(block(x), x + block.second(F.relu(block.first(F.relu(x)))))


def test_the_encoder_sums_over_the_picture() -> None:
    network = FaceEncoder((4, 8))
    face = drawn(2, 3, 16, 16)
    code = network.blocks(face).relu()
    assert code.shape == (2, 8, 4, 4)
    expected = 16 * code.mean(dim=(2, 3)) @ network.embedding.weight.T + network.embedding.bias
    torch.testing.assert_close(network(face), expected)


def test_scores_begin_neither_flat_nor_saturated() -> None:
    """Faces with unit voices at random: inner products of a deviation near one, as the softmax of stage A needs it."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        faces = F.interpolate(drawn(16, 3, 4, 4, seed=seed), size=64, mode="bilinear").clamp(-1, 1)
        with torch.no_grad():
            scores = FaceEncoder((16, 32, 64, 128))(faces) @ F.normalize(drawn(128, 12, seed=seed), dim=0)
        found.append(float(scores.std(dim=0).mean()))
    assert 0.2 < sum(found) / 3 < 20


def test_spectral_norm_is_a_switch() -> None:
    """On, no layer stretches anything by more than one."""
    torch.manual_seed(0)
    network = FaceEncoder((8, 8), spectral=True)
    for _ in range(40):
        network(drawn(1, 3, 16, 16))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    stretches = [float(torch.linalg.matrix_norm(m.weight.detach().flatten(1), 2)) for m in layers]
    assert len(layers) == 9 and stretches == pytest.approx([1.0] * 9, abs=0.02)
    assert not hasattr(FaceEncoder((8, 8)).embedding, "parametrizations")


def test_adain_begins_as_plain_instance_norm() -> None:
    x, condition = drawn(2, 3, 5, 5), drawn(2, 7)
    mean, variance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(AdaIN(3, 7)(x, condition), (x - mean) / (variance + 1e-5).sqrt())


def test_adain_is_linear_in_the_condition() -> None:
    norm, x, condition = AdaIN(3, 7), drawn(2, 3, 5, 5), drawn(2, 7)
    for number, layer in enumerate((norm.gain, norm.offset)):
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(number))
    gain = 1 + torch.einsum("ci,bi->bc", norm.gain.weight, condition)[..., None, None]
    offset = torch.einsum("ci,bi->bc", norm.offset.weight, condition)[..., None, None]
    mean, deviation = x.mean(dim=(2, 3), keepdim=True), (x.var(dim=(2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x, condition), gain * (x - mean) / deviation + offset, rtol=1e-4, atol=1e-5)


def stirred(network: nn.Module) -> nn.Module:
    """With AdaINs that do something."""
    for module in network.modules():
        if isinstance(module, AdaIN):
            nn.init.normal_(module.gain.weight, std=0.3)
            nn.init.normal_(module.offset.weight, std=0.3)
    return network


def test_an_up_block_is_its_description() -> None:
    """The shortcut is convolved before it is enlarged, which is the same."""
    torch.manual_seed(0)
    block, x, c = stirred(Up(3, 5, 7)), drawn(2, 3, 4, 4), drawn(2, 7)
    assert isinstance(block, Up)

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    h = F.conv2d(doubled(F.leaky_relu(block.norm1(x, c), 0.2)), block.first.weight, padding=1)
    h = F.conv2d(F.leaky_relu(block.norm2(h, c), 0.2), block.second.weight, padding=1)
    torch.testing.assert_close(block(x, c), h + F.conv2d(doubled(x), block.shortcut.weight), rtol=1e-4, atol=1e-5)


def test_biases_before_an_instance_norm_would_do_nothing() -> None:
    """Why the generator's convolutions have none."""
    x, condition = drawn(2, 3, 5, 5), drawn(2, 7)
    norm = stirred(AdaIN(3, 7))
    torch.testing.assert_close(norm(x + drawn(3, 1, 1), condition), norm(x, condition), rtol=1e-4, atol=1e-4)


def test_adain_hears_the_condition_and_not_the_noise() -> None:
    """With the first layer's view of the condition cut off, it still arrives; the noise only enters there."""
    torch.manual_seed(0)
    network = stirred(FaceGenerator(6, 7, (8, 8, 4)))
    noise, condition = drawn(2, 6), drawn(2, 7)
    linear = network.first[0]  # type: ignore[index]
    heard = {module.gain.in_features for module in network.modules() if isinstance(module, AdaIN)}
    with torch.no_grad():
        linear.weight[:, 6:] = 0
        assert heard == {7} and not torch.equal(network(noise, condition), network(noise, condition + 1))
        linear.weight[:, :6] = 0
        assert torch.equal(network(noise, condition), network(noise + 1, condition))


@pytest.mark.parametrize("network", [FaceEncoder((4, 6), 5), FaceEncoder((4, 6), 5, spectral=True)])
def test_every_weight_of_the_encoder_has_a_gradient_and_rows_stay_apart(network: nn.Module) -> None:
    check_gradients(network, drawn(3, 3, 16, 16))
    check_rows_alone(network, drawn(3, 3, 16, 16))


def test_every_weight_of_the_generator_has_a_gradient() -> None:
    torch.manual_seed(0)
    network = stirred(FaceGenerator(6, 7, (8, 8, 4)))
    check_gradients(network, drawn(3, 6), drawn(3, 7))
    face = network(drawn(3, 6), drawn(3, 7))
    assert face.shape == (3, 3, 16, 16) and float(face.detach().abs().max()) <= 1
