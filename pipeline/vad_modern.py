"""Voice activity detection for new data: WebRTC's verdict, kept where it is loud and holds a voice.

WebRTC's detector takes engines, horns and hiss for speech. Speech differs: it is loud against its own pauses, and
a good part of it is periodic at 70 to 400 Hz with a pitch that glides.
"""

import numpy as np
import webrtcvad
from numpy.typing import NDArray
from scipy import fft

Samples = NDArray[np.int16]
Segments = list[tuple[int, int]]  # start and end, samples
Mask = NDArray[np.bool_]  # one value per 10 ms

_RATE = 16_000  # Hz
_HOP = 160  # samples, 10 ms
_WEBRTC_HOPS = 3  # WebRTC looks at 30 ms at a time
_AGGRESSIVENESS = 1
_RANGE_DB = 30.0  # speech reaches down to this far below the recording's loud parts
_GAP = 40  # frames; shorter pauses within a sentence are kept
_SHORTEST = 5  # frames; shorter bursts are clicks
_MARGIN = 3  # frames kept on either side: soft beginnings and ends

_PITCH_WINDOW = 640  # samples, 40 ms: three periods of 75 Hz
_PITCH_FFT = 1024  # window and longest lag together stay below it, so that the correlation does not wrap
_BAND_HZ = (100.0, 2000.0)  # where the harmonics of a voice stand out of noise
_LAGS = np.arange(38, 232)  # samples: 421 down to 69 Hz
_PERIODIC = 0.38  # correlation at the period, of magnitude spectra
_GLIDE_OCTAVES = 0.1  # most that pitch moves in 10 ms
_RUN = 4  # frames; a shorter periodic stretch is chance
_MIN_SHARE = 0.07  # of a segment's frames: engines and horns reach 0.04, speech 0.1 and more


def segments(samples: Samples) -> Segments:
    """Segments of speech, in samples; nothing for recordings without a voice."""
    verdicts = _webrtc(samples)
    level_db = _levels_db(samples, len(verdicts))
    if not verdicts.any():
        return []
    active = verdicts & (level_db > np.percentile(level_db[verdicts], 95) - _RANGE_DB)
    spans = [(start * _HOP, end * _HOP) for start, end in _smooth(active)]
    return [(start, end) for start, end in spans if _has_voice(samples[start:end])]


def _webrtc(samples: Samples) -> Mask:
    vad = webrtcvad.Vad(_AGGRESSIVENESS)
    pcm = samples.astype("<i2", copy=False).tobytes()
    step = 2 * _WEBRTC_HOPS * _HOP
    frames = range(len(pcm) // step)
    verdicts = [vad.is_speech(pcm[i * step : (i + 1) * step], _RATE) for i in frames]
    return np.repeat(np.array(verdicts, bool), _WEBRTC_HOPS)


def _levels_db(samples: Samples, frames: int) -> NDArray[np.float32]:
    """Mean power of the 20 ms around each frame's middle."""
    padded = np.zeros((frames + 1) * _HOP, np.float32)
    padded[_HOP // 2 : _HOP // 2 + frames * _HOP] = samples[: frames * _HOP]
    power = np.square(padded).reshape(-1, _HOP).mean(axis=1)
    levels: NDArray[np.float32] = 10 * np.log10((power[:-1] + power[1:]) / 2 + 1)
    return levels


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Start and end of every stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _smooth(active: Mask) -> list[tuple[int, int]]:
    """Stretches of speech: short gaps closed, clicks dropped, margins added; none overlapping."""
    joined: list[tuple[int, int]] = []
    for start, end in runs(active):
        if joined and start - joined[-1][1] < _GAP:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [
        (max(0, start - _MARGIN), min(len(active), end + _MARGIN)) for start, end in joined if end - start >= _SHORTEST
    ]


def _has_voice(samples: Samples) -> bool:
    """Whether enough of a segment is periodic with a pitch that glides."""
    strength, pitch_hz = pitch(samples)
    periodic = strength > _PERIODIC
    octaves = np.abs(np.diff(np.log2(pitch_hz)))
    gliding = periodic.copy()
    gliding[1:] &= periodic[:-1] & (octaves < _GLIDE_OCTAVES)
    voiced = sum(end - start for start, end in runs(gliding) if end - start >= _RUN)
    return voiced >= max(_RUN, _MIN_SHARE * len(strength))


def pitch(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Strength (0 to 1) and frequency (Hz) of the strongest period, every 10 ms.

    The autocorrelation divided by that of the window (Boersma 1993), of magnitude instead of power spectra, which
    keeps one strong partial from passing for a whole voice (Tolonen and Karjalainen 2000).
    """
    frames = len(samples) // _HOP
    padded = np.zeros(frames * _HOP + _PITCH_WINDOW, np.float32)
    before = (_PITCH_WINDOW - _HOP) // 2
    padded[before : before + frames * _HOP] = samples[: frames * _HOP]
    cut = np.lib.stride_tricks.sliding_window_view(padded, _PITCH_WINDOW)[::_HOP][:frames]
    window = np.hanning(_PITCH_WINDOW).astype(np.float32)
    hertz = np.arange(_PITCH_FFT // 2 + 1) * (_RATE / _PITCH_FFT)
    in_band = (_BAND_HZ[0] <= hertz) & (hertz <= _BAND_HZ[1])
    magnitude = np.abs(fft.rfft(cut * window, _PITCH_FFT, axis=1)) * in_band.astype(np.float32)
    correlation = fft.irfft(magnitude, _PITCH_FFT, axis=1)
    of_window = fft.irfft(np.abs(fft.rfft(window, _PITCH_FFT)) ** 2)
    decay = of_window[_LAGS] / of_window[0]
    relative = correlation[:, _LAGS] / (correlation[:, :1] + 1e-3) / decay
    inner = relative[:, 1:-1]  # a maximum at the edge of the range belongs to something slower or faster
    peaks = np.where((inner >= relative[:, :-2]) & (inner >= relative[:, 2:]), inner, 0)
    best = peaks.argmax(axis=1)
    strength = peaks[np.arange(frames), best]
    return strength.astype(np.float32), (_RATE / _LAGS[1:-1][best]).astype(np.float32)
