"""The room that synthetic voices are recorded in: its echo and its noise."""

import numpy as np
from scipy import fft

from pipeline.world.vocal_tract import RATE, Sound


def echo(rng: np.random.Generator) -> Sound:
    """The direct sound, then an exponential tail 14 to 18 dB below it; 0.08 to 0.2 s for 60 dB."""
    decay_s = rng.uniform(0.08, 0.20)
    time_s = np.arange(int(decay_s * RATE)) / RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / decay_s) * (time_s > 0.004)
    tail *= 10 ** (-rng.uniform(14, 18) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return tail.astype(np.float32)


def noise(n: int, rng: np.random.Generator) -> Sound:
    """Rumble and hiss of a room at level 1, swelling slowly.

    WebRTC's detector takes white noise and steady tones for speech: power falls 8.5 to 9 dB per octave here.
    """
    size = fft.next_fast_len(n, real=True)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    hertz = np.arange(len(spectrum)) * (RATE / size)
    slope = rng.uniform(1.4, 1.5)
    spectrum *= ((hertz > 30) / np.maximum(hertz, 30.0) ** slope).astype(np.float32)
    sound = fft.irfft(spectrum, size)[:n]
    knots = np.arange(n // RATE + 2)
    swell_db = np.interp(np.arange(n) / RATE, knots, rng.normal(0.0, 2.0, len(knots)))
    sound *= (10 ** (swell_db / 20)).astype(np.float32)
    return np.asarray(sound / np.sqrt(np.mean(sound**2)), np.float32)
