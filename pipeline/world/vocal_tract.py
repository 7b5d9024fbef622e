"""The vocal tract of an invented person: glottal pulses and noise, through formants that move as a plan says.

The source-filter model (Fant 1960): a pulse train and a noise are cut into short frames, each frame is multiplied
by the response of the vocal tract at that moment, and the frames are added up again.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from pipeline.world.traits import VoiceTraits
from pipeline.world.utterance import Plan

RATE = 16_000  # Hz
Sound = NDArray[np.float32]

_HOP = 160  # samples between frames of the vocal tract (10 ms)
_WINDOW = 2 * _HOP  # a periodic Hann window of two hops adds up to one
_FFT = 1024  # longer than the window, so that formants may ring on after it
_RIPPLES = range(10, 22)  # half periods between 0 and 8 kHz on the mel scale
_RIPPLE_DB = 3.0  # standard deviation of each
_RIPPLES_FROM_HZ = 4000.0  # below it the traits have their say
_HERTZ = np.arange(_FFT // 2 + 1) * (RATE / _FFT)


def synthesise(voice: VoiceTraits, plan: Plan, n: int, own: np.random.Generator, rng: np.random.Generator) -> Sound:
    """The plan as `n` samples of sound before any room, at an arbitrary level.

    `own` is seeded by the person, and so the same in all recordings of one; `rng` by the recording.
    """
    frames = n // _HOP + 2
    centres_s = np.arange(frames) * (_HOP / RATE)  # a frame begins one hop before its centre
    table = np.array(plan.controls)
    tracks = [np.interp(centres_s, plan.time_s, column).astype(np.float32) for column in table.T]
    f1, f2, f3, voiced, friction, friction_hz = tracks
    tract = _resonance(f1, 60.0) * _resonance(f2, 90.0) * _resonance(f3, 150.0) * _fixed_tract(voice, own)
    pulses = _spectra(_pulses(voice, plan, n, rng), frames)
    noise = _spectra(rng.standard_normal(n, dtype=np.float32), frames)
    spectrum = pulses * (voiced[:, None] * _glottis(voice))
    # Aspiration is white where the glottal pulse falls steeply: it fills the valleys above 2 kHz.
    spectrum += noise * (voiced * (0.4 * voice.breathiness))[:, None] * _aspiration_tilt()
    spectrum *= tract
    spectrum += noise * _turbulence(friction, friction_hz)
    blocks = fft.irfft(spectrum, _FFT, axis=1)
    sound = np.zeros((frames + _FFT // _HOP + 1) * _HOP, np.float32)
    for offset in range(0, _FFT, _HOP):  # overlap-add, one hop-wide slice of all frames at a time
        piece = blocks[:, offset : offset + _HOP]
        rows = sound[offset : offset + frames * _HOP].reshape(frames, _HOP)
        rows[:, : piece.shape[1]] += piece
    return sound[_HOP : _HOP + n]


def _pulses(voice: VoiceTraits, plan: Plan, n: int, rng: np.random.Generator) -> Sound:
    """One impulse per glottal closure, at a fraction of a sample; with jitter (0.6 %) and shimmer (4 %)."""
    grid_s = np.arange(0.0, n / RATE + 0.005, 0.005)
    pitch = np.interp(grid_s, plan.pitch_time_s, plan.pitch_hz)
    phase = np.concatenate([[0.0], np.cumsum(pitch[:-1] * 0.005)])  # cycles
    cycles = np.arange(1, int(phase[-1]))
    at_s = np.interp(cycles, phase, grid_s)
    at_s += 0.006 * rng.standard_normal(len(at_s)) / voice.f0_hz
    # Fewer pulses a second carry more each, so that low voices are as loud as high ones.
    size = np.sqrt(RATE / voice.f0_hz) * (1 + 0.04 * rng.standard_normal(len(at_s)))
    position = np.clip(at_s * RATE, 0, n - 2)
    whole = position.astype(np.int64)
    part = position - whole
    pulses = np.bincount(whole, size * (1 - part), n) + np.bincount(whole + 1, size * part, n)
    return pulses.astype(np.float32)


def _spectra(sound: Sound, frames: int) -> NDArray[np.complex64]:
    """Spectra of windowed frames, (frames, bins); frame k is centred on sample k * hop."""
    padded = np.zeros((frames + 1) * _HOP, np.float32)
    padded[_HOP : _HOP + len(sound)] = sound
    window = signal.windows.hann(_WINDOW, sym=False).astype(np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    spectra: NDArray[np.complex64] = fft.rfft(cut * window, _FFT, axis=1)
    return spectra


def _resonance(centre_hz: NDArray[np.float32], width_hz: float) -> NDArray[np.complex64]:
    """A pole pair with gain 1 at 0 Hz, (frames, bins) for centres of shape (frames,)."""
    squared = (centre_hz**2 + (width_hz / 2) ** 2)[:, None]
    hertz = _HERTZ.astype(np.float32)
    denominator = np.empty((len(centre_hz), len(hertz)), np.complex64)
    denominator.real = squared - hertz**2
    denominator.imag = width_hz * hertz
    response: NDArray[np.complex64] = squared / denominator
    return response


def _fixed_tract(voice: VoiceTraits, own: np.random.Generator) -> NDArray[np.complex64]:
    """What does not move while talking: the upper formants, the nose, the ring, and ripples that only `own` knows.

    The ripples stand for the piriform fossae, whose zeros above 4 kHz differ from person to person (Dang and Honda
    1997) and show in no face.
    """
    scale = voice.formant_scale
    response = np.ones(len(_HERTZ), np.complex64)
    for centre_hz in (3500, 4500, 5500, 6500, 7500, 8500):
        response *= _resonance(np.array([centre_hz * scale], np.float32), 0.07 * centre_hz)[0]
    gain_db = (
        voice.nasality * (7 * _bump(280 * scale, 90) - 16 * _bump(900 * scale, 180))
        + voice.ring_db * _bump(3000 * scale, 500)
    )  # fmt: skip
    mel = np.log1p(_HERTZ / 700) / np.log1p(_HERTZ[-1] / 700)  # 0 to 1
    treble = 1 / (1 + np.exp((_RIPPLES_FROM_HZ - _HERTZ) / 200))
    for order in _RIPPLES:
        gain_db += own.normal(0.0, _RIPPLE_DB) * np.cos(np.pi * order * mel) * treble
    return response * (10 ** (gain_db / 20)).astype(np.float32)


def _bump(centre_hz: float, width_hz: float) -> NDArray[np.float64]:
    bump: NDArray[np.float64] = np.exp(-0.5 * ((_HERTZ - centre_hz) / width_hz) ** 2)
    return bump


def _glottis(voice: VoiceTraits) -> NDArray[np.float32]:
    """Glottal slope above 150 Hz, and the lips' radiation of +6 dB per octave."""
    octaves = np.log2(np.maximum(_HERTZ, 150.0) / 150.0)
    gain_db = (voice.spectral_tilt_db + 6.0) * octaves - 40.0 * (_HERTZ < 40)
    gain: NDArray[np.float32] = (10 ** (gain_db / 20)).astype(np.float32)
    return gain


def _aspiration_tilt() -> NDArray[np.float32]:
    gain: NDArray[np.float32] = (_HERTZ / (_HERTZ + 1000.0)).astype(np.float32)
    return gain


def _turbulence(amplitude: NDArray[np.float32], centre_hz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gain of the noise at a narrowing, (frames, bins): a broad hump at the centre."""
    hertz = _HERTZ.astype(np.float32)
    gain: NDArray[np.float32] = amplitude[:, None] * np.exp(-np.abs(hertz - centre_hz[:, None]) / np.float32(900))
    return gain
