"""Speech-like sound for invented people: glottal pulses and breath noise through a moving vocal tract, in a room.

The source-filter model (Fant 1960): a pulse train and a noise are cut into short frames, each frame is multiplied
by the response of the vocal tract at that moment, and the frames are added up again. Nothing said is a word; what
is true is where speech was planted and whose voice traits shaped it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from pipeline.world.traits import Person, VoiceTraits

RATE = 16_000  # Hz
DEFECTS = ("silent", "noisy", "clipped")
MIN_SECONDS = 1.5  # a lead-in, one short phrase and a tail
Defect = Literal["silent", "noisy", "clipped"]
Sound = NDArray[np.float32]

_HOP = 160  # samples between frames of the vocal tract (10 ms)
_WINDOW = 2 * _HOP  # a periodic Hann window of two hops adds up to one
_FFT = 1024  # longer than the window, so that formants may ring on after it
_RIPPLES = range(10, 22)  # half periods between 0 and 8 kHz on the mel scale: finer than what the traits shape
_RIPPLE_DB = 2.0
_HERTZ = np.arange(_FFT // 2 + 1) * (RATE / _FFT)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, and where speech was planted in it: rows of start and end, seconds."""

    samples: NDArray[np.int16]  # mono
    sample_rate: int  # Hz
    speech: NDArray[np.float64]  # (n, 2)
    defect: Defect | None


@dataclass(frozen=True, slots=True)
class Phone:
    """One speech sound: formants of an average man (Hz), how strong each source is, and its share of a syllable."""

    f1: float
    f2: float
    f3: float
    voice: float = 0.0  # amplitude of the pulses; 1 in a vowel
    friction: float = 0.0  # amplitude of the turbulence at a narrowing
    friction_hz: float = 4000.0  # centre of that turbulence
    share: float = 0.35  # of the length of a syllable
    stop: bool = False  # a closed mouth, then a burst


# Average men's vowels of Peterson and Barney (1952), table II; consonants by the loci usual in formant synthesis.
VOWELS = tuple(
    Phone(f1, f2, f3, voice=1.0, share=0.65)
    for f1, f2, f3 in (
        (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
        (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
    )
)  # fmt: skip
CONSONANTS = (
    Phone(280, 1100, 2300, voice=0.45),  # m
    Phone(280, 1700, 2600, voice=0.45),  # n
    Phone(360, 1300, 2700, voice=0.60),  # l
    Phone(320, 1200, 1700, voice=0.60),  # r
    Phone(290, 620, 2200, voice=0.55),  # w
    Phone(280, 2200, 3000, voice=0.55),  # j
    Phone(220, 1100, 2100, voice=0.35, friction=0.05, friction_hz=4500),  # v
    Phone(240, 1600, 2500, voice=0.35, friction=0.10, friction_hz=5500),  # z
    Phone(340, 1100, 2100, friction=0.10, friction_hz=4500),  # f
    Phone(320, 1600, 2500, friction=0.30, friction_hz=5500),  # s
    Phone(300, 1850, 2500, friction=0.30, friction_hz=3000),  # sh
    Phone(300, 900, 2300, voice=0.10, friction=0.20, friction_hz=1200, stop=True),  # b, p
    Phone(300, 1750, 2600, voice=0.10, friction=0.30, friction_hz=4000, stop=True),  # d, t
    Phone(300, 1900, 2200, voice=0.10, friction=0.25, friction_hz=2200, stop=True),  # g, k
)
_CLOSURE_S, _BURST_S, _FADE_S = 0.045, 0.020, 0.060


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is said when: knots of the controls, to be joined by straight lines."""

    time_s: list[float]
    controls: list[tuple[float, ...]]  # f1, f2, f3 (Hz, this person's), voice, friction, friction_hz
    pitch_time_s: list[float]
    pitch_hz: list[float]
    speech: list[tuple[float, float]]  # seconds
    vowels: Iterator[Phone]
    consonants: Iterator[Phone]

    def hold(self, controls: tuple[float, ...], *times_s: float) -> None:
        """The controls have these values at each of these times."""
        for time_s in times_s:
            self.time_s.append(time_s)
            self.controls.append(controls)


def speak(person: Person, seed: int, seconds: float, defect: Defect | None = None) -> Recording:
    """Record a person for that long; the same person, seed, length and defect give the same samples.

    Clean recordings have 24 to 40 dB of speech over noise. `silent` holds a quiet room and no speech, `noisy` has
    loud steady noise (0 to 5 dB), `clipped` is recorded 20 dB too hot. Raises ValueError for less than 1.5 seconds.
    """
    if seconds < MIN_SECONDS:
        raise ValueError(f"{seconds} seconds: a recording needs at least {MIN_SECONDS}")
    if defect is not None and defect not in DEFECTS:
        raise ValueError(f"defect {defect!r}: expected one of {', '.join(DEFECTS)}")
    key = int.from_bytes(hashlib.sha256(repr((person.person_id, person.voice)).encode()).digest()[:8], "little")
    rng = np.random.default_rng([seed, key])
    n = round(seconds * RATE)
    room = _room_noise(n, rng)
    if defect == "silent":
        return Recording(_to_int16(room * 10 ** (-72 / 20)), RATE, np.empty((0, 2)), defect)
    plan = _plan(person.voice, seconds, rng)
    fixed = _fixed_tract(person.voice, np.random.default_rng(key))
    dry = _synthesise(person.voice, fixed, plan, n, rng)
    wet = signal.oaconvolve(dry, _room_response(rng))[:n]
    speech = np.array(plan.speech)
    level = _rms_within(wet, speech)
    snr_db = rng.uniform(24, 40)
    if defect == "noisy":
        room, snr_db = rng.standard_normal(n, dtype=np.float32), rng.uniform(0, 5)
    peak_room_db = 20.0 if defect == "clipped" else 0.0
    gain = 10 ** ((rng.uniform(-23.5, -22.0) + peak_room_db) / 20)
    sound = gain * (wet / level + room * 10 ** (-snr_db / 20))
    return Recording(_to_int16(sound), RATE, speech, defect)


def _plan(voice: VoiceTraits, seconds: float, rng: np.random.Generator) -> _Plan:
    """Phrases of syllables between pauses; half of the pauses hold a breath."""
    plan = _Plan([], [], [], [], [], _endless(VOWELS, rng), _endless(CONSONANTS, rng))
    neutral = _controls(VOWELS[-1], voice, loudness=0.0)
    now = rng.uniform(0.3, 0.6)
    while seconds - now > 0.9:
        end = min(now + rng.uniform(1.2, 3.5), seconds - 0.3)
        if seconds - end < 1.6:  # no room for another phrase: this one goes on to the tail
            end = seconds - 0.3
        plan.hold(neutral, now)
        _plan_phrase(plan, voice, now, end, rng)
        plan.hold(neutral, end)
        plan.speech.append((now, end))
        pause = rng.uniform(0.4, 1.1)
        if rng.random() < 0.5:
            _plan_breath(plan, voice, end + 0.15, min(pause - 0.2, 0.5))
        now = end + pause
    return plan


def _plan_phrase(plan: _Plan, voice: VoiceTraits, start: float, end: float, rng: np.random.Generator) -> None:
    """Fill start..end with syllables and a fading end; pitch falls over the phrase and jumps with accents."""
    spoken_s = end - start - _FADE_S
    count = max(2, round(spoken_s * voice.tempo))
    lengths = rng.uniform(0.75, 1.25, count)
    lengths *= spoken_s / lengths.sum()
    edges = start + np.concatenate([[0.0], np.cumsum(lengths)])
    for left, right in pairwise(edges):
        progress = (left - start) / (end - start)
        semitones = voice.f0_range_st * (0.8 - 1.6 * progress + 0.7 * rng.standard_normal())
        plan.pitch_time_s.append(left + 0.6 * (right - left))
        plan.pitch_hz.append(voice.f0_hz * 2.0 ** (semitones / 12))
        _plan_syllable(plan, voice, left, right, rng)


def _plan_syllable(plan: _Plan, voice: VoiceTraits, left: float, right: float, rng: np.random.Generator) -> None:
    """Consonant, then vowel; each holds its target for the middle of its time and glides to the next."""
    vowel, consonant = next(plan.vowels), next(plan.consonants)
    loudness = 10 ** (rng.uniform(-3, 1) / 20)
    if consonant.stop:
        closed = _controls(replace(consonant, friction=0.0), voice, loudness)
        burst = _controls(consonant, voice, loudness)
        release = left + _CLOSURE_S
        plan.hold(closed, left + 0.010, release)
        plan.hold(burst, release + 0.003, release + _BURST_S)
        begin = release + _BURST_S
    else:
        begin = left + consonant.share * (right - left)
        plan.hold(_controls(consonant, voice, loudness), left + 0.25 * (begin - left), left + 0.75 * (begin - left))
    plan.hold(_controls(vowel, voice, loudness), begin + 0.25 * (right - begin), begin + 0.85 * (right - begin))


def _endless(phones: tuple[Phone, ...], rng: np.random.Generator) -> Iterator[Phone]:
    """All phones in random order, then all again: a few seconds hold every sound about equally often."""
    while True:
        for index in rng.permutation(len(phones)):
            yield phones[index]


def _plan_breath(plan: _Plan, voice: VoiceTraits, start: float, length: float) -> None:
    """A soft in-breath, some 40 dB under the voice."""
    breath = _controls(Phone(500, 1500, 2500, friction=0.004, friction_hz=1500), voice, 1.0)
    quiet = _controls(VOWELS[-1], voice, 0.0)
    plan.hold(quiet, start)
    plan.hold(breath, start + 0.4 * length)
    plan.hold(quiet, start + length)


def _controls(phone: Phone, voice: VoiceTraits, loudness: float) -> tuple[float, ...]:
    scale = voice.formant_scale
    return (
        phone.f1 * scale, phone.f2 * scale, phone.f3 * scale,
        phone.voice * loudness, phone.friction * loudness, phone.friction_hz * scale**0.5,
    )  # fmt: skip


def _synthesise(
    voice: VoiceTraits, fixed: NDArray[np.complex64], plan: _Plan, n: int, rng: np.random.Generator
) -> Sound:
    """The plan as sound before the room, float32 of arbitrary level."""
    frames = n // _HOP + 2
    centres_s = np.arange(frames) * (_HOP / RATE)  # a frame begins one hop before its centre
    table = np.array(plan.controls)
    tracks = [np.interp(centres_s, plan.time_s, column).astype(np.float32) for column in table.T]
    f1, f2, f3, voiced, friction, friction_hz = tracks
    tract = _resonance(f1, 60.0) * _resonance(f2, 90.0) * _resonance(f3, 150.0) * fixed
    pulses, noise = _pulses(voice, plan, n, rng), rng.standard_normal(n, dtype=np.float32)
    spectrum = _spectra(pulses, frames) * (voiced[:, None] * _glottis(voice))
    # Aspiration is white where the glottal pulse falls steeply: it fills the valleys above 2 kHz.
    breath = 0.4 * voice.breathiness
    spectrum += _spectra(noise, frames) * (voiced * breath)[:, None] * _aspiration_tilt()
    spectrum *= tract
    spectrum += _spectra(noise, frames) * _turbulence(friction, friction_hz)
    blocks = fft.irfft(spectrum, _FFT, axis=1)
    sound = np.zeros((frames + _FFT // _HOP + 1) * _HOP, np.float32)
    for offset in range(0, _FFT, _HOP):  # overlap-add, one hop-wide slice of all frames at a time
        piece = blocks[:, offset : offset + _HOP]
        rows = sound[offset : offset + frames * _HOP].reshape(frames, _HOP)
        rows[:, : piece.shape[1]] += piece
    return sound[_HOP : _HOP + n]


def _pulses(voice: VoiceTraits, plan: _Plan, n: int, rng: np.random.Generator) -> Sound:
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

    The ripples stand for side cavities, which differ from person to person and show in no face.
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
    for order in _RIPPLES:
        gain_db += own.normal(0.0, _RIPPLE_DB) * np.cos(np.pi * order * mel)
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


def _room_response(rng: np.random.Generator) -> Sound:
    """The direct sound, then an exponential tail 10 to 16 dB below it; 0.1 to 0.25 s for 60 dB."""
    decay_s = rng.uniform(0.10, 0.25)
    time_s = np.arange(int(decay_s * RATE)) / RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / decay_s) * (time_s > 0.004)
    tail *= 10 ** (-rng.uniform(10, 16) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return tail.astype(np.float32)


def _room_noise(n: int, rng: np.random.Generator) -> Sound:
    """Rumble and hiss of a room at level 1, swelling slowly.

    WebRTC's detector takes white noise and steady tones for speech: power falls 8.5 to 9 dB per octave here.
    """
    size = fft.next_fast_len(n, real=True)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    hertz = np.arange(len(spectrum)) * (RATE / size)
    slope = rng.uniform(1.4, 1.5)
    spectrum *= ((hertz > 30) / np.maximum(hertz, 30.0) ** slope).astype(np.float32)
    noise = fft.irfft(spectrum, size)[:n]
    knots = np.arange(n // RATE + 2)
    swell_db = np.interp(np.arange(n) / RATE, knots, rng.normal(0.0, 2.0, len(knots)))
    noise *= (10 ** (swell_db / 20)).astype(np.float32)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), np.float32)


def _rms_within(sound: Sound, spans_s: NDArray[np.float64]) -> float:
    parts = [sound[round(a * RATE) : round(b * RATE)] for a, b in spans_s]
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))


def _to_int16(sound: Sound) -> NDArray[np.int16]:
    samples: NDArray[np.int16] = np.clip(np.rint(sound * 32767.0), -32768, 32767).astype(np.int16)
    return samples
