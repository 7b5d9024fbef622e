"""Spectrograms of waveforms (…, samples) at 16 kHz, in -1..1, computed where the waveforms lie.

Frames of 25 ms every 10 ms, none padded: a waveform of n samples has 1 + (n - 400) // 160 frames.
"""

import torch
from torch import Tensor

WINDOW, HOP = 400, 160  # samples: 25 ms, 10 ms
_COMPLEX_FFT, _POWER = 512, 0.3
_MAGNITUDE_FFT, _BINS = 1024, 512  # without the last bin, half the sampling rate
_PRE_EMPHASIS = 0.97
_FLOOR = 1e-5  # of a bin's deviation
_HEARD = 96_000  # samples: 6 s


def compressed(wave: Tensor) -> Tensor:
    """Real and imaginary part, (…, 2, 257, T), each as sign(x) |x|^0.3 (Ephrat et al. 2018; Speech2Face).

    Not magnitude and phase, as public ports have it. Hann window. Raises ValueError below 25 ms.
    """
    spectrum = _spectrum(wave, torch.hann_window(WINDOW, device=wave.device), _COMPLEX_FFT)
    parts = torch.stack([spectrum.real, spectrum.imag], dim=-3)
    found: Tensor = parts.sign() * parts.abs() ** _POWER
    return found


def magnitude(wave: Tensor) -> Tensor:
    """Magnitudes (…, 512, T) with mean 0 and deviation 1 in every bin of the clip (Nagrani et al. 2018).

    The mean is taken off the samples, then 0.97 of each sample off the next; Hamming window. Raises ValueError below
    25 ms.
    """
    wave = wave.float()
    centred = wave - wave.mean(dim=-1, keepdim=True)
    window = torch.hamming_window(WINDOW, device=wave.device)
    found = _spectrum(pre_emphasised(centred, _PRE_EMPHASIS), window, _MAGNITUDE_FFT)[..., :_BINS, :].abs()
    deviation = found.std(dim=-1, correction=0, keepdim=True)
    normalised: Tensor = (found - found.mean(dim=-1, keepdim=True)) / deviation.clamp_min(_FLOOR)
    return normalised


def _spectrum(wave: Tensor, window: Tensor, size: int) -> Tensor:
    """Complex spectrum (…, size / 2 + 1, T).

    Framed by hand: torch.stft takes frames as long as the transform, which leaves one fewer of a clip of 6 s.
    """
    if wave.shape[-1] < WINDOW:
        raise ValueError(f"a waveform of {wave.shape[-1]} samples: a frame needs {WINDOW}")
    frames = wave.float().unfold(-1, WINDOW, HOP) * window  # (…, T, 400)
    spectrum: Tensor = torch.fft.rfft(frames, n=size).transpose(-1, -2)
    return spectrum


def pre_emphasised(wave: Tensor, share: float) -> Tensor:
    """Each sample less that share of the one before it; the first as it is."""
    return torch.cat([wave[..., :1], wave[..., 1:] - share * wave[..., :-1]], dim=-1)


def at_least(wave: Tensor, samples: int) -> Tensor:
    """The waveform, repeated and cut to `samples` where it is shorter."""
    length = wave.shape[-1]
    if length >= samples:
        return wave
    return wave.repeat(*[1] * (wave.dim() - 1), -(-samples // length))[..., :samples]


def beginning(wave: Tensor, trained: int) -> Tensor:
    """The first 6 s of a waveform, which Speech2Face, AR-SPM and I2G hear; `trained` samples if a crop was longer."""
    samples = torch.sym_min(wave.shape[-1], max(trained, _HEARD))
    # By place, not as a slice: of that an export keeps whether there was anything to cut in its sample.
    return wave.index_select(-1, torch.arange(samples, device=wave.device))


def levelled(wave: Tensor, level: float) -> Tensor:
    """The waveform, scaled to a root mean square of `level`; as it is where that is 0, or where it is silent."""
    if not level:
        return wave
    found = wave.square().mean(dim=-1, keepdim=True).sqrt()
    return torch.where(found > 0, wave * (level / found), wave)
