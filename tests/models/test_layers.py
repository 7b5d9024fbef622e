"""The blocks, against their description and a slow reading of it."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.layers import Inception1d, PaperUpBlock, UpBlock, UpConv2d
from tests.models.networks import n_parameters, on_meta


@given(frames=st.integers(2, 400))
@settings(max_examples=60, deadline=None)
def test_an_inception_module_halves_the_frames_rounding_up(frames: int) -> None:
    block = Inception1d(2, 8).eval()
    assert block(torch.zeros(3, 2, frames)).shape == (3, 8, (frames + 1) // 2)


@pytest.mark.parametrize(
    ("inputs", "outputs", "count"), [(40, 256, 44_032), (256, 384, 418_560), (384, 576, 941_184), (576, 864, 2_116_800)]
)
def test_parameters_of_an_inception_module(inputs: int, outputs: int, count: int) -> None:
    block = on_meta(lambda: Inception1d(inputs, outputs))
    assert n_parameters(block) == count
    quarters = [branch[0].out_channels for branch in (block.k2, block.k3, block.k5, block.k7)]
    assert quarters == [outputs // 4] * 4


@pytest.mark.parametrize("frames", [2, 3, 9, 12])
def test_branches_stand_in_the_order_of_their_kernels(frames: int) -> None:
    """Each frame of each branch by hand: where its window begins, and zeros outside the recording."""
    torch.manual_seed(frames)
    block = Inception1d(3, 8).eval()
    mel = torch.randn(3, frames)
    output = block(mel[None])[0]
    padded = F.pad(mel, (3, 7))
    for branch, kernel, padding in ((0, 2, 1), (1, 3, 1), (2, 5, 2), (3, 7, 3)):
        weight = [block.k2, block.k3, block.k5, block.k7][branch][0].weight
        for frame in range((frames + 1) // 2):
            begin = 3 + 2 * frame - padding
            heard = padded[:, begin : begin + kernel]
            expected = ((weight * heard).sum(dim=(1, 2)) / (1 + 1e-5) ** 0.5).relu()  # batch norm at its start
            torch.testing.assert_close(output[2 * branch : 2 * branch + 2, frame], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [8, 9])
def test_the_frame_that_is_dropped_counts_in_the_batch_norm(frames: int) -> None:
    """The authors drop the last frame of kernel 2 after its batch norm."""
    torch.manual_seed(0)
    block = Inception1d(3, 8).train()
    mel = torch.randn(4, 3, frames)
    block(mel)
    seen = F.conv1d(mel, block.k2[0].weight, stride=2, padding=1)
    assert seen.shape[2] == frames // 2 + 1
    torch.testing.assert_close(block.k2[1].running_mean, 0.1 * seen.mean(dim=(0, 2)))


@pytest.mark.parametrize("side", [1, 2, 5])
def test_enlarging_and_convolving_in_one_equals_one_after_the_other(side: int) -> None:
    torch.manual_seed(side)
    both = UpConv2d(3, 4).double()
    x = torch.randn(2, 3, side, side, dtype=torch.float64, requires_grad=True)
    apart = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), both.weight, padding=1)
    torch.testing.assert_close(both(x), apart, rtol=1e-12, atol=1e-12)
    pull = torch.randn_like(apart)
    found = torch.autograd.grad(both(x), (x, both.weight), pull)
    wanted = torch.autograd.grad(apart, (x, both.weight), pull)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert sorted(both.state_dict()) == ["weight"]


def test_an_inception_module_needs_a_multiple_of_four_channels() -> None:
    with pytest.raises(ValueError, match="30 channels: expected a multiple of its 4 branches"):
        Inception1d(40, 30)


def test_up_block_repeats_pixels_and_gates_the_first_half_by_the_second() -> None:
    torch.manual_seed(0)
    block = UpBlock(3, 4).eval()
    x = torch.randn(2, 3, 5, 5)
    twice = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    y = F.conv2d(twice, block[0].weight, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), y[:, :4] * torch.sigmoid(y[:, 4:]))


@pytest.mark.parametrize(("inputs", "outputs"), [(512, 512), (512, 256), (64, 32)])
def test_parameters_of_the_papers_up_block(inputs: int, outputs: int) -> None:
    assert n_parameters(on_meta(lambda: PaperUpBlock(inputs, outputs))) == 16 * inputs * outputs + 3 * outputs


def test_the_papers_up_block_looks_one_pixel_up_and_left_and_two_down_and_right() -> None:
    """A kernel with one weight at its corner shifts the enlarged picture by the padding of that corner."""
    block = PaperUpBlock(1, 1).eval()
    x = torch.rand(1, 1, 6, 6)
    enlarged = F.interpolate(x, size=(12, 12), mode="bilinear", align_corners=False)
    for corner, shifted in (
        ((0, 0), F.pad(enlarged, (1, 0, 1, 0))[..., :12, :12]),
        ((3, 3), F.pad(enlarged, (0, 2, 0, 2))[..., 2:, 2:]),
    ):
        with torch.no_grad():
            nn.init.zeros_(block[2].weight)[0, 0, corner[0], corner[1]] = 1
            nn.init.zeros_(block[2].bias)
            torch.testing.assert_close(block(x), shifted / (1 + 1e-5) ** 0.5)


def test_the_papers_up_block_normalises_after_relu() -> None:
    block = PaperUpBlock(2, 3).train()
    output = block(torch.randn(8, 2, 4, 4))
    assert [type(layer) for layer in block][-2:] == [nn.ReLU, nn.BatchNorm2d]
    torch.testing.assert_close(output.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
