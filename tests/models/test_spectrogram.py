"""The spectrograms against numpy and scipy in float64, frame by frame."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.spectrogram import at_least, compressed, magnitude

Floats = NDArray[np.float64]
RNG = np.random.default_rng(0)
WAVE = 0.1 * RNG.standard_normal((2, 16_000)) * np.linspace(0.2, 1.0, 16_000)


def spectrum(wave: Floats, window: Floats, size: int) -> NDArray[np.complex128]:
    """(bins, T), one frame after the other."""
    starts = range(0, len(wave) - 400 + 1, 160)
    return np.stack([np.fft.rfft(wave[s : s + 400] * window, size) for s in starts], axis=1)


@pytest.mark.parametrize(("seconds", "frames"), [(3, 298), (6, 598), (12, 1198)])
def test_the_frames_are_those_of_the_paper_without_padding(seconds: int, frames: int) -> None:
    wave = torch.zeros(1, seconds * 16_000)
    assert compressed(wave).shape == (1, 2, 257, frames)
    # torch.stft without padding frames by the transform's length, and is one short of it.
    framed = torch.stft(wave, 512, 160, 400, torch.hann_window(400), center=False, return_complex=True)
    assert framed.shape[-1] == frames - 1


def test_302_hops_make_the_300_frames_of_svhf() -> None:
    assert magnitude(torch.rand(1, 302 * 160)).shape == (1, 512, 300)


def test_real_and_imaginary_part_are_compressed_each_by_itself() -> None:
    found = compressed(torch.from_numpy(WAVE).float()).numpy()
    for row, wave in zip(found, WAVE, strict=True):
        wanted = spectrum(wave, scipy.signal.get_window("hann", 400), 512)
        for part, expected in zip(row, (wanted.real, wanted.imag), strict=True):
            np.testing.assert_allclose(part, np.sign(expected) * np.abs(expected) ** 0.3, rtol=1e-3, atol=0.02)
            np.testing.assert_allclose(np.sign(part) * np.abs(part) ** (1 / 0.3), expected, rtol=1e-3, atol=1e-5)


def test_the_port_that_compresses_the_magnitude_alone_gives_something_else() -> None:
    wanted = spectrum(WAVE[0], scipy.signal.get_window("hann", 400), 512)
    port = wanted / np.abs(wanted) * np.abs(wanted) ** 0.3
    found = compressed(torch.from_numpy(WAVE[:1]).float()).numpy()[0]
    assert np.abs(found[0] - port.real).max() > 0.1


def test_magnitudes_are_those_of_scipy_normalised_bin_by_bin() -> None:
    found = magnitude(torch.from_numpy(WAVE + 0.3).float()).numpy()  # an offset is taken off
    for row, wave in zip(found, WAVE, strict=True):
        sharpened = scipy.signal.lfilter([1.0, -0.97], [1.0], wave - wave.mean())
        wanted = np.abs(spectrum(sharpened, scipy.signal.get_window("hamming", 400), 1024))[:512]
        wanted = (wanted - wanted.mean(1, keepdims=True)) / wanted.std(1, keepdims=True)
        np.testing.assert_allclose(row, wanted, rtol=1e-3, atol=2e-3)


def test_windows_of_a_voice_are_each_as_alone_and_silence_is_finite() -> None:
    windows = torch.from_numpy(WAVE).float().view(1, 2, -1)
    for transform in (compressed, magnitude):
        torch.testing.assert_close(transform(windows)[0, 1], transform(windows[0, 1]))
        assert transform(torch.zeros(1, 800)).isfinite().all()


def test_less_than_a_frame_is_refused() -> None:
    for transform in (compressed, magnitude):
        with pytest.raises(ValueError, match="399 samples"):
            transform(torch.zeros(1, 399))


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 200))
def test_a_short_waveform_repeats_from_its_beginning(length: int, wanted: int) -> None:
    wave = torch.arange(length)[None]
    found = at_least(wave, wanted)
    assert found.shape[-1] == max(length, wanted)
    assert torch.equal(found[0], torch.arange(found.shape[-1]) % length)
