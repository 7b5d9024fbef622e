"""Log-mel spectrograms of 16 kHz speech, frame for frame as each published system computes them.

Pure numpy and scipy, because a recording given to `models generate` must go through the very front end that made
the training data. Nothing is normalised here: what is stored is the log-mel itself, and a model subtracts its own
constants (SF2F two global scalars, voice2face the utterance's mean and deviation).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Samples = NDArray[np.int16]
Real = NDArray[np.floating[Any]]

SAMPLE_RATE = 16_000  # Hz, of every profile
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
WAVE = "wave"  # the front end that is none: samples of the voiced speech, as frames of one hop
FULL_SCALE = 32_768  # of int16 samples
_BLOCK = 128  # frames per transform: a block's spectra stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Profile:
    """One published front end. Every field that differs between the systems is here, and nothing else does."""

    name: str
    bands: int
    fft_size: int  # points
    frames: Callable[[Samples, Any], Real]  # samples, dtype -> (frames, WINDOW), pre-emphasised, not yet windowed
    window: Callable[[], NDArray[np.float64]]  # (WINDOW,)
    filters: Callable[[], NDArray[np.float64]]  # (fft_size / 2 + 1, bands), power scale included
    floor: Callable[[Real], Real]  # what keeps the logarithm finite
    source: str


def mel(samples: Samples, profile: Profile, dtype: Any = np.float32) -> Real:
    """Natural-log mel energies of int16 mono samples at 16 kHz, shape (frames, bands).

    `dtype` is the precision of the computation: float64 follows the published code to 1e-9, float32 is three times
    faster and stays within 2e-3 on speech. No samples give no frames. Raises ValueError for anything but 1-d int16.
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"samples are {samples.dtype} of shape {samples.shape}: expected int16 of shape (n,)")
    if len(samples) == 0:
        return np.empty((0, profile.bands), dtype)
    frames = profile.frames(samples, dtype)
    window, filters = _tables(profile.name, np.dtype(dtype).name)
    energies = np.empty((len(frames), profile.bands), dtype)
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        spectra = fft.rfft(block if window is None else block * window, profile.fft_size, axis=1)
        parts = spectra.view(dtype)  # real and imaginary parts side by side
        np.square(parts, out=parts)
        np.matmul(parts[:, ::2] + parts[:, 1::2], filters, out=energies[start : start + _BLOCK])
    energies = profile.floor(energies)
    return np.log(energies, out=energies)


def to_float16(log_mel: Real) -> bytes:
    """The bytes stored in a shard: little-endian float16, frames x bands, each value rounded to nearest."""
    return log_mel.astype("<f2").tobytes()


def from_float16(data: bytes, profile: Profile) -> NDArray[np.float32]:
    """Read what `to_float16` wrote, shape (frames, bands)."""
    return np.frombuffer(data, "<f2").reshape(-1, profile.bands).astype(np.float32)


def waveform(samples: Samples) -> Samples:
    """Int16 samples at 16 kHz as frames (n, HOP) of 10 ms, end to end; what fills no frame is left out."""
    return samples[: len(samples) // HOP * HOP].reshape(-1, HOP)


def width(front_end: str) -> int:
    """Numbers in a frame: bands of a profile's mel, or samples."""
    return HOP if front_end == WAVE else PROFILES[front_end].bands


@functools.cache
def _tables(name: str, dtype: str) -> tuple[Real | None, Real]:
    """A profile's window (None where it is rectangular) and its filters."""
    profile = PROFILES[name]
    window = profile.window()
    return (None if np.all(window == 1.0) else window.astype(dtype)), profile.filters().astype(dtype)


# --- sf2f: python_speech_features 0.6, logfbank with 40 filters -------------------------------------------------


def _sf2f_frames(samples: Samples, dtype: Any) -> Real:
    """Pre-emphasis over the whole signal, then frames; the last one is filled up with zeros."""
    count = 1 + max(0, -(-(len(samples) - WINDOW) // HOP))
    padded = np.zeros((count - 1) * HOP + WINDOW, dtype)
    signal = samples.astype(dtype)
    padded[: len(samples)] = signal
    padded[1 : len(samples)] -= dtype(0.97) * signal[:-1]
    return _sliced(padded)


def _sf2f_filters() -> NDArray[np.float64]:
    """Triangles of height 1 whose corners are rounded down to bins; the power is |X|^2 / 512."""
    corners_hz = _htk_to_hz(np.linspace(0.0, _hz_to_htk(8000.0), 42))
    corners = np.floor(513 * corners_hz / SAMPLE_RATE)
    return _triangles(np.arange(257.0), corners) / 512


def _no_zeros(energies: Real) -> Real:
    """Only exact zeros are replaced, as the library does."""
    energies[energies == 0] = np.finfo(np.float64).eps
    return energies


# --- voice2face: the authors' port of CMU Sphinx ----------------------------------------------------------------


def _voice2face_frames(samples: Samples, dtype: Any) -> Real:
    """Frames from every hop up to the end; a short frame repeats itself until it is full.

    Pre-emphasis runs inside each frame and takes the sample before the first one from the END of the frame
    before it, 240 samples later than the true neighbour, because the authors' frames overlap.
    """
    count = len(samples) // HOP + 1
    frames = np.zeros((count, WINDOW), dtype)
    whole = max(0, (len(samples) - WINDOW) // HOP + 1)
    if whole:
        frames[:whole] = _sliced(samples[: (whole - 1) * HOP + WINDOW].astype(dtype))
    for index in range(whole, count):
        rest = samples[index * HOP :]
        if len(rest):
            frames[index] = np.resize(rest, WINDOW)
    before = np.empty_like(frames)
    before[:, 1:] = frames[:, :-1]
    before[0, 0] = 0
    before[1:, 0] = frames[:-1, -1]
    emphasised: Real = frames - dtype(0.97) * before
    return emphasised


def _voice2face_filters() -> NDArray[np.float64]:
    """64 triangles from 20 to 7200 Hz with corners rounded to bins and area 1 in Hz."""
    bin_hz = SAMPLE_RATE / 1024
    corners = np.round(_htk_to_hz(np.linspace(_hz_to_htk(20.0), _hz_to_htk(7200.0), 66)) / bin_hz)
    heights = 2.0 / ((corners[2:] - corners[:-2]) * bin_hz)
    return _triangles(np.arange(513.0), corners) * heights


# --- modern: what librosa's melspectrogram computes -------------------------------------------------------------


def _modern_frames(samples: Samples, dtype: Any) -> Real:
    """Frames centred on every hop of the signal in [-1, 1), zeros beyond its ends."""
    padded = np.zeros(len(samples) + WINDOW + HOP, dtype)
    padded[WINDOW // 2 : WINDOW // 2 + len(samples)] = samples
    padded *= dtype(1 / 32768)
    return _sliced(padded[: (len(samples) // HOP) * HOP + WINDOW])


def _modern_filters() -> NDArray[np.float64]:
    """80 Slaney triangles from 0 to 8000 Hz with area 1 in Hz."""
    corners_hz = _slaney_to_hz(np.linspace(0.0, _hz_to_slaney(8000.0), 82))
    areas: NDArray[np.float64] = 2.0 / (corners_hz[2:] - corners_hz[:-2])
    return _triangles(np.fft.rfftfreq(512, 1 / SAMPLE_RATE), corners_hz) * areas


def _slaney_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's Auditory Toolbox (1998): linear below 1 kHz (15 mel), logarithmic above."""
    return np.where(mels < 15.0, mels * (200 / 3), 1000.0 * np.exp((mels - 15.0) * (np.log(6.4) / 27)))


def _hz_to_slaney(hertz: float) -> float:
    return float(15.0 + np.log(hertz / 1000.0) * 27 / np.log(6.4)) if hertz >= 1000.0 else hertz * 3 / 200


# --- shared -----------------------------------------------------------------------------------------------------


def _sliced(signal: Real) -> Real:
    """Overlapping windows of a signal, as a view."""
    return np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]


def _triangles(at: Real, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangle k rises from corner k to 1 at corner k + 1 and falls to corner k + 2; shape (points, bands)."""
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    x = at[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # corners may coincide: then that side does not exist
        rising = np.where((left <= x) & (x < centre), (x - left) / (centre - left), 0.0)
        falling = np.where((centre <= x) & (x < right), (right - x) / (right - centre), 0.0)
    triangles: NDArray[np.float64] = rising + falling
    return triangles


def _hz_to_htk(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _htk_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    hertz: NDArray[np.float64] = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return hertz


def _at_least(smallest: float) -> Callable[[Real], Real]:
    def floor(energies: Real) -> Real:
        return np.maximum(energies, smallest, out=energies)

    return floor


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("sf2f", 40, 512, _sf2f_frames, lambda: np.ones(WINDOW), _sf2f_filters, _no_zeros,
                "Bai et al., SF2F (ACM Multimedia 2022)"),
        Profile("voice2face", 64, 1024, _voice2face_frames, lambda: np.hamming(WINDOW), _voice2face_filters,
                _at_least(1e-5), "Wen, Singh and Raj (NeurIPS 2019)"),
        Profile("modern", 80, 512, _modern_frames, lambda: np.hanning(WINDOW + 1)[:-1], _modern_filters,
                _at_least(1e-10), "librosa.feature.melspectrogram, 25 ms Hann, Slaney filters"),
    )
}  # fmt: skip
