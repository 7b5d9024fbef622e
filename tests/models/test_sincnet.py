"""The speech encoder: every row of its table, and filters that are the band-pass filters they claim to be."""

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import nn

from models.sincnet import SincConv, WaveEncoder, _strided
from tests.models.networks import check_gradients, check_rows_alone, n_parameters, on_meta, shapes

pytestmark = pytest.mark.usefixtures("one_thread")
RATE = 16_000


def small() -> WaveEncoder:
    torch.manual_seed(0)
    return WaveEncoder((4, 4, 4, 4, 4, 4, 4, 4), 5, 6, kernel=31)


def test_every_row_of_the_table() -> None:
    """Output of 6 s, without the batch."""
    network = on_meta(WaveEncoder)
    wave = torch.zeros(1, 96_000, device="meta")
    assert shapes(network, SincConv, wave) == [(64, 96_000)]
    assert shapes(network, nn.Conv1d, wave) == [
        (64, 9600), (128, 4800), (128, 4800), (256, 2400), (256, 2400), (512, 1200), (512, 600), (100, 600)
    ]  # fmt: skip
    assert shapes(network, nn.Linear, wave) == [(128,)] and network(wave).shape == (1, 128)
    kernels = [(layer.kernel_size, layer.stride) for layer in network.modules() if isinstance(layer, nn.Conv1d)]
    assert kernels == [
        ((20,), (10,)), ((11,), (2,)), ((11,), (1,)), ((11,), (2,)), ((11,), (1,)), ((11,), (2,)), ((11,), (2,)),
        ((1,), (1,)),
    ]  # fmt: skip
    slopes = [layer.num_parameters for layer in network.modules() if isinstance(layer, nn.PReLU)]
    assert slopes == [64, 64, 128, 128, 256, 256, 512, 512]  # one a channel


def test_parameters() -> None:
    convolutions = [(64, 64, 20), (64, 128, 11), (128, 128, 11), (128, 256, 11), (256, 256, 11), (256, 512, 11),
                    (512, 512, 11), (512, 100, 1)]  # fmt: skip
    weights = sum(i * o * k + o for i, o, k in convolutions)
    filters, norms_and_slopes, linear = 2 * 64, 3 * (64 + 64 + 2 * 128 + 2 * 256 + 2 * 512), 100 * 128 + 128
    network = on_meta(WaveEncoder)
    assert n_parameters(network) == weights + filters + norms_and_slopes + linear == 5_830_948  # about 5.8 million


def test_the_last_convolution_has_neither_norm_nor_slope() -> None:
    """PASE's own has a batch norm without parameters there, which no count of parameters would show."""
    network = small()
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in network.modules()) == 8
    assert isinstance(list(network.layers)[-1], nn.Conv1d)


def test_time_is_averaged_before_the_rectifier() -> None:
    network = small().eval()
    last = list(network.layers)[-1]
    assert isinstance(last, nn.Conv1d) and last.bias is not None
    with torch.no_grad():
        last.weight.mul_(100)
        last.bias.zero_()
    wave = torch.randn(3, 8000, generator=torch.Generator().manual_seed(1))
    steps = network.layers(wave[:, None])
    torch.testing.assert_close(network(wave), network.embedding(steps.mean(dim=2).relu()))
    assert not torch.allclose(network(wave), network.embedding(steps.relu().mean(dim=2)), atol=1e-3)


@pytest.mark.parametrize(("kernel", "stride", "before"), [(20, 10, 9), (11, 2, 4), (11, 1, 5)])
def test_edges_of_strided_convolutions_are_reflected(kernel: int, stride: int, before: int) -> None:
    """The padding of PASE's code, written out: what lies before the first sample is what lies after it, mirrored."""
    pad, conv = _strided(1, 1, kernel, stride)
    x = torch.arange(40.0)[None, None]
    assert isinstance(conv, nn.Conv1d)
    expected = [float(abs(i)) for i in range(-before, 0)] + x[0, 0].tolist() + [38.0 - i for i in range(kernel // 2)]
    assert pad(x)[0, 0].tolist() == expected


@pytest.mark.parametrize("samples", [480, 3200, 16_000, 20_123])
def test_any_length_gives_one_embedding(samples: int) -> None:
    assert small().eval()(torch.randn(2, samples)).shape == (2, 6)


def test_a_second_is_a_hundred_steps() -> None:
    assert shapes(small(), nn.Conv1d, torch.zeros(2, RATE))[-1] == (5, 100)


def test_bands_begin_equally_spaced_on_the_mel_scale() -> None:
    conv = SincConv()
    edges = torch.cat([conv.low, (conv.low + conv.band)[-1:]]).detach().double()
    mel = 2595 * torch.log10(1 + edges / 700)
    torch.testing.assert_close(mel.diff(), mel.diff().mean().expand(64), rtol=1e-3, atol=1e-2)
    assert float(edges[0]) == pytest.approx(30, abs=0.01) and float(edges[-1]) == pytest.approx(7900, abs=0.1)
    assert conv.low.shape == conv.band.shape == (64,) and n_parameters(conv) == 128  # two numbers a filter


def test_bands_are_never_below_their_least_values() -> None:
    conv = SincConv(filters=4)
    with torch.no_grad():
        conv.low.copy_(torch.tensor([0.0, -30.0, 7990.0, 9000.0]))
        conv.band.copy_(torch.tensor([0.0, -200.0, 500.0, 0.0]))
    low, high = conv.bands()
    assert low.tolist() == [50, 80, 7950, 7950] and high.tolist() == [100, 330, 8000, 8000]
    assert (high - low).min() >= 50 and conv.kernels().isfinite().all()


def test_filters_are_scipys_windowed_band_pass_filters() -> None:
    """The same formula by another road; the middle is scaled to one."""
    conv = SincConv(filters=16)
    low, high = (cut.detach().double().numpy() for cut in conv.bands())
    for place, kernel in enumerate(conv.kernels().detach().double().numpy()):
        band = [low[place], min(high[place], RATE / 2 - 1e-3)]
        wanted = signal.firwin(251, band, window="hamming", pass_zero=False, scale=False, fs=RATE)
        np.testing.assert_allclose(kernel, wanted / wanted[125], atol=2e-4)
        assert kernel[125] == pytest.approx(1) and np.allclose(kernel, kernel[::-1], atol=1e-5)


@pytest.mark.parametrize("place", [3, 9, 14])
def test_a_tone_passes_its_own_filter_only(place: int) -> None:
    conv = SincConv(filters=16)
    low, high = (cut.detach() for cut in conv.bands())
    tone = torch.sin(2 * math.pi * float((low + high)[place]) / 2 * torch.arange(8000) / RATE)
    power = conv(tone[None, None])[0, :, 500:-500].square().mean(dim=1)
    assert int(power.argmax()) == place
    far = [other for other in range(16) if abs(other - place) > 2]
    assert float(power[far].max()) < 1e-2 * float(power[place])


def test_a_filter_without_a_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="a filter of 250 samples: expected an odd number"):
        SincConv(kernel=250)


def test_edges_are_reflected() -> None:
    conv = SincConv(filters=3, kernel=5)
    wave = torch.randn(1, 1, 9, generator=torch.Generator().manual_seed(0))
    padded = np.pad(wave[0, 0].numpy(), 2, mode="reflect")
    expected = [np.correlate(padded, kernel, "valid") for kernel in conv.kernels().detach().numpy()]
    torch.testing.assert_close(conv(wave)[0].detach(), torch.tensor(np.stack(expected)), rtol=1e-4, atol=1e-5)


def test_every_weight_has_a_gradient_and_rows_stay_apart() -> None:
    wave = torch.randn(3, 1600, generator=torch.Generator().manual_seed(0))
    check_gradients(small(), wave)
    check_rows_alone(small(), wave)
