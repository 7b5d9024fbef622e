"""Recordings of invented people: speech-like sound in a room, with the truth about where speech was planted."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from pipeline.world import room
from pipeline.world.traits import Person
from pipeline.world.utterance import plan_speech
from pipeline.world.vocal_tract import RATE, Sound, synthesise

Defect = Literal["silent", "noisy", "clipped"]
DEFECTS: tuple[Defect, ...] = ("silent", "noisy", "clipped")
MIN_SECONDS = 1.5  # a lead-in, one short phrase and a tail


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, and where speech was planted in it: rows of start and end, seconds."""

    samples: NDArray[np.int16]  # mono
    sample_rate: int  # Hz
    speech: NDArray[np.float64]  # (n, 2)
    defect: Defect | None


def speak(person: Person, seed: int, seconds: float, defect: Defect | None = None) -> Recording:
    """Record a person for that long; the same person, seed, length and defect give the same samples.

    Clean recordings have 28 to 40 dB of speech over noise. `silent` holds a quiet room and no speech, `noisy` has
    loud steady noise (0 to 5 dB), `clipped` is recorded 20 dB too hot. Raises ValueError for less than 1.5 seconds.
    """
    if seconds < MIN_SECONDS:
        raise ValueError(f"{seconds} seconds: a recording needs at least {MIN_SECONDS}")
    if defect is not None and defect not in DEFECTS:
        raise ValueError(f"defect {defect!r}: expected one of {', '.join(DEFECTS)}")
    key = int.from_bytes(hashlib.sha256(repr((person.person_id, person.voice)).encode()).digest()[:8], "little")
    rng = np.random.default_rng([seed, key])
    n = round(seconds * RATE)
    noise = room.noise(n, rng)
    if defect == "silent":
        return Recording(_to_int16(noise * 10 ** (-72 / 20)), RATE, np.empty((0, 2)), defect)
    plan = plan_speech(person.voice, seconds, rng)
    dry = synthesise(person.voice, plan, n, np.random.default_rng(key), rng)
    wet = signal.oaconvolve(dry, room.echo(rng))[:n]
    speech = np.array(plan.speech)
    level = _rms_within(wet, speech)
    snr_db = rng.uniform(28, 40)
    if defect == "noisy":
        noise, snr_db = rng.standard_normal(n, dtype=np.float32), rng.uniform(0, 5)
    too_hot_db = 20.0 if defect == "clipped" else 0.0
    gain = 10 ** ((rng.uniform(-23.0, -22.0) + too_hot_db) / 20)
    sound = gain * (wet / level + noise * 10 ** (-snr_db / 20))
    return Recording(_to_int16(sound), RATE, speech, defect)


def _rms_within(sound: Sound, spans_s: NDArray[np.float64]) -> float:
    parts = [sound[round(a * RATE) : round(b * RATE)] for a, b in spans_s]
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))


def _to_int16(sound: Sound) -> NDArray[np.int16]:
    samples: NDArray[np.int16] = np.clip(np.rint(sound * 32767.0), -32768, 32767).astype(np.int16)
    return samples
