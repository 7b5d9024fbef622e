"""Voice activity detection for new data: WebRTC's verdict, kept where it is loud and holds a voice.

WebRTC's detector takes engines, hums, horns and hiss for speech. Speech differs: it is loud against its own pauses, a
good part of it is periodic at 70 to 400 Hz with a pitch that wanders, and its timbre changes from sound to sound.
"""

from dataclasses import dataclass

import numpy as np
import webrtcvad
from numpy.typing import NDArray
from scipy import fft

Samples = NDArray[np.int16]
Segments = list[tuple[int, int]]  # start and end, samples
Mask = NDArray[np.bool_]  # one value per 10 ms
Floats = NDArray[np.float32]

_RATE = 16_000  # Hz
_HOP = 160  # samples, 10 ms
_WEBRTC_HOPS = 3  # WebRTC looks at 30 ms at a time
_AGGRESSIVENESS = 1
_LOUD_DB = 69.0  # mean power of the loud parts that WebRTC hears: its thresholds are absolute, recordings are not
_MAX_GAIN_DB = 40.0  # what is quieter than this allows is the converter's own noise
_RANGE_DB = 31.0  # speech reaches down to this far below the recording's loud parts
_GAP = 42  # frames; shorter pauses within a sentence are kept
_SHORTEST = 5  # frames; shorter bursts are clicks
_MARGIN = 4  # frames kept on either side: soft beginnings and ends

_WINDOW = 640  # samples, 40 ms: three periods of 75 Hz
_FFT = 1024  # window and longest lag together stay below it, so that the correlation does not wrap
_BLOCK = 1024  # frames per transform: an hour's spectra never lie in memory at once
_HERTZ = np.arange(_FFT // 2 + 1) * (_RATE / _FFT)
_PITCH_BAND_HZ = (100.0, 2000.0)  # where the harmonics of a voice stand out of noise
_LAGS = np.arange(38, 232)  # samples: 421 down to 69 Hz
_BANDS_HZ = (100, 200, 300, 450, 650, 900, 1250, 1700, 2300, 3100, 4200)  # edges; about as wide as a formant

_PERIODIC = 0.38  # correlation at the period, of magnitude spectra
_JUMP_OCTAVES = 0.1  # pitch that moves more in 10 ms is another sound
_STRETCH = 4  # frames; a shorter periodic stretch is chance
# The gates, with what was measured on segments of noise and machines, and of speech with and without pink noise 10 dB
# below it.
_MIN_PERIODIC = 0.09  # share of frames in periodic stretches: noise up to 0.06, whole sentences from 0.20
_MIN_WANDER_OCTAVES = 0.006  # deviation of pitch within a stretch: tones and hum up to 0.002, speech from 0.014
_MIN_CHANGE_DB = 1.7  # of timbre in 30 ms: hum, fans, engines up to 1.6, speech from 2.1
_CHANGE_FRAMES = 3
_QUIET_DB = 20.0  # frames so far below the segment's loudest say nothing of its timbre


@dataclass(frozen=True, slots=True)
class Description:
    """What the voice gates look at, every 10 ms."""

    strength: Floats  # 0 to 1, of the strongest period
    pitch_hz: Floats
    bands_db: Floats  # frames x bands


def segments(samples: Samples) -> Segments:
    """Segments of speech, in samples; nothing for recordings without a voice."""
    samples = _levelled(samples)
    verdicts = _webrtc(samples)
    if not verdicts.any():
        return []
    level_db = _levels_db(samples, len(verdicts))
    active = verdicts & (level_db > np.percentile(level_db[verdicts], 95) - _RANGE_DB)
    spans = [(start * _HOP, end * _HOP) for start, end in _smooth(active)]
    return [(start, end) for start, end in spans if has_voice(describe(samples[start:end]))]


def _levelled(samples: Samples) -> Samples:
    """The recording with its loud parts at _LOUD_DB, so that a quiet copy gets the same answer."""
    if len(samples) < _HOP:
        return samples
    loud_db = float(np.percentile(_levels_db(samples, len(samples) // _HOP), 99))
    gain = 10 ** (min(_LOUD_DB - loud_db, _MAX_GAIN_DB) / 20)
    levelled: Samples = np.clip(np.rint(samples * np.float32(gain)), -32768, 32767).astype(np.int16)
    return levelled


def _webrtc(samples: Samples) -> Mask:
    vad = webrtcvad.Vad(_AGGRESSIVENESS)
    pcm = samples.astype("<i2", copy=False).tobytes()
    step = 2 * _WEBRTC_HOPS * _HOP
    frames = range(len(pcm) // step)
    verdicts = [vad.is_speech(pcm[i * step : (i + 1) * step], _RATE) for i in frames]
    return np.repeat(np.array(verdicts, bool), _WEBRTC_HOPS)


def _levels_db(samples: Samples, frames: int) -> Floats:
    """Mean power of the 20 ms around each frame's middle."""
    padded = np.zeros((frames + 1) * _HOP, np.float32)
    padded[_HOP // 2 : _HOP // 2 + frames * _HOP] = samples[: frames * _HOP]
    power = np.square(padded).reshape(-1, _HOP).mean(axis=1)
    levels: Floats = 10 * np.log10((power[:-1] + power[1:]) / 2 + 1)
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


def has_voice(found: Description) -> bool:
    """Whether enough of a segment is periodic, its pitch wanders, and its timbre changes."""
    frames = len(found.strength)
    stretches = _stretches(found)
    periodic = sum(end - start for start, end in stretches)
    if periodic < max(_STRETCH, _MIN_PERIODIC * frames):
        return False
    octaves = np.log2(found.pitch_hz)
    wander = sum((end - start) * octaves[start:end].std() for start, end in stretches) / periodic
    return bool(wander >= _MIN_WANDER_OCTAVES and _change_db(found.bands_db) >= _MIN_CHANGE_DB)


def _stretches(found: Description) -> list[tuple[int, int]]:
    """Start and end of every stretch of periodic frames whose pitch goes on without a jump."""
    periodic = found.strength > _PERIODIC
    steady = np.abs(np.diff(np.log2(found.pitch_hz))) < _JUMP_OCTAVES
    goes_on = periodic[:-1] & periodic[1:] & steady  # from frame i to i + 1
    starts = np.flatnonzero(periodic & ~np.concatenate([[False], goes_on])).tolist()
    ends = (np.flatnonzero(periodic & ~np.concatenate([goes_on, [False]])) + 1).tolist()
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end - start >= _STRETCH]


def _change_db(bands_db: Floats) -> float:
    """How much the shape of the spectrum changes in 30 ms of loud frames: mean over bands, whatever the level."""
    level_db = bands_db.mean(axis=1, keepdims=True)
    shape = (bands_db - level_db)[level_db[:, 0] > level_db.max() - _QUIET_DB]
    if len(shape) <= _CHANGE_FRAMES:
        return 0.0
    return float(np.abs(shape[_CHANGE_FRAMES:] - shape[:-_CHANGE_FRAMES]).mean())


def describe(samples: Samples) -> Description:
    """Period, pitch and band levels of a segment, every 10 ms."""
    frames = len(samples) // _HOP
    before = (_WINDOW - _HOP) // 2
    padded = np.zeros(frames * _HOP + _WINDOW, np.float32)
    padded[before : before + frames * _HOP] = samples[: frames * _HOP]
    cut = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:frames]
    window = np.hanning(_WINDOW).astype(np.float32)
    blocks = range(0, max(frames, 1), _BLOCK)
    spectra = (np.abs(fft.rfft(cut[at : at + _BLOCK] * window, _FFT, axis=1)) for at in blocks)
    strength, pitch_hz, bands_db = zip(*((*_period(block), _bands(block)) for block in spectra), strict=True)
    return Description(np.concatenate(strength), np.concatenate(pitch_hz), np.concatenate(bands_db))


def _bands(magnitude: Floats) -> Floats:
    """Mean power in each band, dB."""
    edges = np.searchsorted(_HERTZ, _BANDS_HZ)
    power = np.add.reduceat(np.square(magnitude[:, : edges[-1]]), edges[:-1], axis=1) / np.diff(edges)
    levels: Floats = (10 * np.log10(power + 1e3)).astype(np.float32)  # 1e3: the power of rounding to 16 bits, and more
    return levels


def _period(magnitude: Floats) -> tuple[Floats, Floats]:
    """Strength and frequency (Hz) of the strongest period.

    The autocorrelation divided by that of the window (Boersma 1993), of magnitude instead of power spectra, which
    keeps one strong partial from passing for a whole voice (Tolonen and Karjalainen 2000).
    """
    lowest_hz, highest_hz = _PITCH_BAND_HZ
    in_band = (lowest_hz <= _HERTZ) & (highest_hz >= _HERTZ)
    correlation = fft.irfft(magnitude * in_band.astype(np.float32), _FFT, axis=1)
    of_window = fft.irfft(np.abs(fft.rfft(np.hanning(_WINDOW), _FFT)) ** 2)
    decay = of_window[_LAGS] / of_window[0]
    relative = correlation[:, _LAGS] / (correlation[:, :1] + 1e-3) / decay
    # A maximum at the edge of the range belongs to something slower or faster.
    before, here, after = relative[:, :-2], relative[:, 1:-1], relative[:, 2:]
    peaks = np.where((here >= before) & (here >= after), here, 0)
    best = peaks.argmax(axis=1)[:, None]
    before, here, after = (np.take_along_axis(values, best, axis=1)[:, 0] for values in (before, here, after))
    bend = np.minimum(before - 2 * here + after, -1e-9)
    between = np.clip((before - after) / (2 * bend), -0.5, 0.5)  # a parabola's top: lags are too coarse for wander
    strength = np.take_along_axis(peaks, best, axis=1)[:, 0]
    return strength.astype(np.float32), (_RATE / (_LAGS[1:-1][best[:, 0]] + between)).astype(np.float32)
