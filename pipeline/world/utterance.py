"""What a synthetic voice says and when: meaningless syllables in phrases, with pauses and breaths between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipeline.world.traits import VoiceTraits


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


# Six of the average men's vowels of Peterson and Barney (1952), table II; consonants by usual formant loci.
VOWELS = tuple(
    Phone(f1, f2, f3, voice=1.0, share=0.65)
    for f1, f2, f3 in (
        (270, 2290, 3010), (530, 1840, 2480), (730, 1090, 2440), (570, 840, 2410), (300, 870, 2240), (490, 1350, 1690),
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
_CLOSURE_S, _BURST_S, _FADE_S = 0.045, 0.020, 0.100


@dataclass(frozen=True, slots=True)
class Plan:
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


def plan_speech(voice: VoiceTraits, seconds: float, rng: np.random.Generator) -> Plan:
    """Plan a recording of at least 1.5 seconds: phrases between pauses, half of which hold a breath."""
    plan = Plan([], [], [], [], [], _endless(VOWELS, rng), _endless(CONSONANTS, rng))
    neutral = _controls(VOWELS[-1], voice, loudness=0.0)
    now = rng.uniform(0.3, 0.6)
    while seconds - now > 0.9:
        end = min(now + rng.uniform(1.6, 2.8), seconds - 0.3)
        if seconds - end < 1.6:  # no room for another phrase: this one goes on to the tail
            end = seconds - 0.3
        plan.hold(neutral, now)
        _plan_phrase(plan, voice, now, end, rng)
        plan.hold(_controls(VOWELS[-1], voice, 0.1), end - _FADE_S / 2)
        plan.hold(neutral, end)
        plan.speech.append((now, end))
        pause = rng.uniform(0.5, 0.9)
        if rng.random() < 0.5:
            _plan_breath(plan, voice, end + 0.15, min(pause - 0.2, 0.5))
        now = end + pause
    return plan


def _plan_phrase(plan: Plan, voice: VoiceTraits, start: float, end: float, rng: np.random.Generator) -> None:
    """Fill start..end with syllables and a fading end; pitch falls over the phrase and jumps with accents."""
    spoken_s = end - start - _FADE_S
    count = max(2, round(spoken_s * voice.tempo))
    lengths = rng.uniform(0.85, 1.15, count)
    lengths *= spoken_s / lengths.sum()
    edges = start + np.concatenate([[0.0], np.cumsum(lengths)])
    for left, right in pairwise(edges):
        progress = (left - start) / (end - start)
        semitones = voice.f0_range_st * (0.8 - 1.6 * progress + 0.7 * rng.standard_normal())
        plan.pitch_time_s.append(left + 0.6 * (right - left))
        plan.pitch_hz.append(voice.f0_hz * 2.0 ** (semitones / 12))
        _plan_syllable(plan, voice, left, right, rng)


def _plan_syllable(plan: Plan, voice: VoiceTraits, left: float, right: float, rng: np.random.Generator) -> None:
    """Consonant, then vowel; each holds its target for the middle of its time and glides to the next."""
    vowel, consonant = next(plan.vowels), next(plan.consonants)
    loudness = 10 ** (rng.uniform(-2, 1) / 20)
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


def _plan_breath(plan: Plan, voice: VoiceTraits, start: float, length: float) -> None:
    """A soft in-breath, far below the voice: WebRTC must not take it for speech."""
    breath = _controls(Phone(500, 1500, 2500, friction=0.002, friction_hz=1500), voice, 1.0)
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
