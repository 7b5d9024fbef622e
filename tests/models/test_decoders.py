"""The face decoders: published sizes and counts, and the multi-resolution decoder against the single ones."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models.decoders import DeconvDecoder, GluDecoder, PaperDecoder
from models.encoders import CHANNELS, ConvEncoder, InceptionEncoder
from models.fusers import AttentionFuser
from models.layers import PaperUpBlock, UpBlock
from tests.models.networks import (
    check_bfloat16,
    check_captured,
    check_gradients,
    check_rows_alone,
    n_parameters,
    on_meta,
    shapes,
)

SMALL = (16, 8, 8, 4, 4)
DECODERS: dict[str, Callable[[], nn.Module]] = {
    "glu": lambda: GluDecoder(12, (64,), SMALL),
    "glu at two sides": lambda: GluDecoder(12, (16, 32), SMALL),
    "paper": lambda: PaperDecoder(12, (64,), SMALL),
    "deconvolution": lambda: DeconvDecoder(12, (16, 8, 8, 4, 4)),
}
every_decoder = pytest.mark.parametrize("build", DECODERS.values(), ids=DECODERS)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (GluDecoder, 11_566_083),
        (lambda: GluDecoder(sides=(128,)), 11_568_387),
        (lambda: GluDecoder(sides=(64, 128)), 11_577_734),
        (PaperDecoder, 11_178_499),
        (lambda: PaperDecoder(sides=(128,)), 11_186_691),
        (DeconvDecoder, 19_531_907),
        (lambda: DeconvDecoder(64), 12_191_875),
    ],
    ids=["64", "128", "multi", "paper 64", "paper 128", "deconvolution of 512", "deconvolution of 64"],
)
def test_published_parameter_counts(build: Callable[[], nn.Module], count: int) -> None:
    assert n_parameters(on_meta(build)) == count


@pytest.mark.parametrize(
    ("networks", "total"),
    [
        ((lambda: InceptionEncoder(40), GluDecoder), 16_414_275),
        ((lambda: InceptionEncoder(40), AttentionFuser, GluDecoder), 17_200_707),
        ((lambda: InceptionEncoder(40), lambda: GluDecoder(sides=(64, 128))), 16_425_926),
        ((lambda: InceptionEncoder(40), AttentionFuser, lambda: GluDecoder(sides=(64, 128))), 17_212_358),
        ((lambda: ConvEncoder(40, CHANNELS, 512, normalise=True), DeconvDecoder), 23_345_859),
    ],
    ids=["64", "64 fused", "multi", "multi fused", "voice2face of the SF2F authors"],
)
def test_published_totals_of_the_generator(networks: tuple[Callable[[], nn.Module], ...], total: int) -> None:
    assert sum(n_parameters(on_meta(build)) for build in networks) == total


GLU_CODES = [(256, 8, 8), (128, 16, 16), (64, 32, 32), (32, 64, 64)]
PAPER_CODES = [(512, 2, 2), (512, 4, 4), *GLU_CODES]
BIG_CODE = (16, 128, 128)


@pytest.mark.parametrize(
    ("build", "block", "codes", "sides"),
    [
        (GluDecoder, UpBlock, GLU_CODES, [64]),
        (lambda: GluDecoder(sides=(128,)), UpBlock, [*GLU_CODES, BIG_CODE], [128]),
        (lambda: GluDecoder(sides=(64, 128)), UpBlock, [*GLU_CODES, BIG_CODE], [64, 128]),
        (PaperDecoder, PaperUpBlock, PAPER_CODES, [64]),
        (lambda: PaperDecoder(sides=(128,)), PaperUpBlock, [*PAPER_CODES, BIG_CODE], [128]),
    ],
    ids=["64", "128", "multi", "paper 64", "paper 128"],
)
def test_codes_and_pictures(
    build: Callable[[], nn.Module], block: type, codes: list[tuple[int, ...]], sides: list[int]
) -> None:
    decoder = on_meta(build)
    embedding = torch.empty(2, 512, device="meta")
    assert shapes(decoder, block, embedding) == codes
    assert [image.shape for image in decoder(embedding)] == [(2, 3, side, side) for side in sides]


def test_the_linear_layer_of_the_decoder() -> None:
    decoder = on_meta(GluDecoder)
    embedding = torch.empty(2, 512, device="meta")
    steps = (nn.Linear, nn.BatchNorm1d, nn.GLU, nn.Unflatten)
    assert shapes(decoder.fc, steps, embedding) == [(16_384,), (16_384,), (8_192,), (512, 4, 4)]
    assert n_parameters(decoder.fc[0]) == 8_388_608


def test_the_head_of_the_decoder() -> None:
    head = on_meta(GluDecoder).up.heads["64"]
    assert [type(layer) for layer in head] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d]
    assert head[1].negative_slope == 0.01


def test_the_deconvolution_decoder_has_relu_between_all_layers_and_none_at_the_end() -> None:
    layers = [type(layer) for layer in on_meta(DeconvDecoder).layers]
    assert layers == [nn.ConvTranspose2d, nn.ReLU] * 5 + [nn.ConvTranspose2d]


@pytest.mark.parametrize("embedding", [512, 64])
def test_codes_of_the_deconvolution_decoder(embedding: int) -> None:
    decoder = on_meta(lambda: DeconvDecoder(embedding))
    got = shapes(decoder, nn.ConvTranspose2d, torch.empty(2, embedding, device="meta"))
    assert got == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (3, 64, 64)]


def test_the_multi_resolution_decoder_is_both_single_ones() -> None:
    """Given the same weights its pictures are those of the decoder at 64 and of the one at 128."""
    torch.manual_seed(0)
    channels = (16, 8, 8, 4, 4, 4)
    multi = GluDecoder(12, (64, 128), channels).eval()
    embedding = torch.randn(3, 12)
    low, high = multi(embedding)
    for side, image in ((64, low), (128, high)):
        single = GluDecoder(12, (side,), channels).eval()
        absent, _unused = single.load_state_dict(multi.state_dict(), strict=False)
        assert not absent
        torch.testing.assert_close(single(embedding)[0], image)


def test_the_high_picture_comes_from_the_code_not_from_the_low_picture() -> None:
    torch.manual_seed(0)
    decoder = GluDecoder(12, (16, 32), SMALL).eval()
    embedding = torch.randn(3, 12)
    _, before = decoder(embedding)
    for parameter in decoder.up.heads["16"].parameters():
        nn.init.zeros_(parameter)
    low, high = decoder(embedding)
    assert not low.any()
    assert torch.equal(high, before)


@pytest.mark.parametrize("decoder", [GluDecoder, PaperDecoder])
def test_pictures_come_smallest_first_whatever_the_order_asked(decoder: type) -> None:
    images = decoder(12, (32, 16), SMALL).eval()(torch.randn(2, 12))
    assert [image.shape[-1] for image in images] == [16, 32]


@every_decoder
def test_pictures_are_linear_not_clamped(build: Callable[[], nn.Module]) -> None:
    """Ten times the last layer is ten times the picture, beyond 0..1 and below zero."""
    torch.manual_seed(0)
    decoder = build().eval()
    embedding = torch.randn(4, 12)
    before = decoder(embedding)[-1]
    layers = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    with torch.no_grad():
        for parameter in layers[-1].parameters():
            parameter.mul_(1000)
    after = decoder(embedding)[-1]
    torch.testing.assert_close(after, 1000 * before, rtol=1e-3, atol=1e-3)
    assert after.abs().max() > 1


@pytest.mark.parametrize("decoder", [GluDecoder, PaperDecoder])
@pytest.mark.parametrize("sides", [(), (4,), (48,), (128,), (64, 100)])
def test_sides_that_the_channels_cannot_draw_are_refused(decoder: type, sides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"decoder sides .*: 5 channels can draw \(8, 16, 32, 64\) pixels"):
        decoder(12, sides, SMALL)


@every_decoder
def test_gradients_reach_every_weight(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_gradients(build(), torch.randn(4, 12))


@every_decoder
def test_faces_of_a_batch_do_not_mix(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_rows_alone(build(), torch.randn(4, 12))


@every_decoder
def test_one_graph_for_any_batch(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_captured(build(), torch.randn(4, 12), torch.randn(3, 12), {0: torch.export.Dim("batch")})


@every_decoder
def test_bfloat16(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_bfloat16(build(), torch.randn(8, 12))
