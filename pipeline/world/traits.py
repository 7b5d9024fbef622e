"""Invented people: hidden identity traits that shape a face and, with some private noise, its voice."""

from dataclasses import dataclass, fields, replace

import numpy as np

NATIONALITIES = ("Avenia", "Belmark", "Corvania", "Dalmora", "Estwick", "Norlund", "Osmara", "Torvia")
_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st")
_VOWELS = ("a", "e", "i", "o")
_SYLLABLES = tuple(onset + vowel for onset in _ONSETS for vowel in _VOWELS)
_FAMILY_NAMES = len(_SYLLABLES) ** 3
MAX_TRAIT = 2.4  # standard deviations; nobody is stranger than this
_DOUBLES_EVERY = 12  # of so many listed people one looks like the one before
_OWN_SHARE = 0.1  # of one's own traits in a double's face


@dataclass(frozen=True, slots=True)
class FaceTraits:
    """The identity vector: one roughly standard-normal number for each thing that tells faces apart."""

    masculinity: float
    age: float
    face_width: float
    face_length: float
    jaw_width: float
    chin: float
    skin: float
    hair: float
    hair_style: float
    brow: float
    eyes: float
    eye_spacing: float
    eye_colour: float
    nose_width: float
    nose_length: float
    mouth: float
    beard: float
    glasses: float

    @property
    def age_years(self) -> float:
        """Age at the time of most pictures, 20 to 75 years."""
        return 44.0 + 13.0 * self.age if self.age > 0 else 44.0 + 10.0 * self.age

    def vector(self) -> np.ndarray:
        """Return the traits as one float64 vector, in the order of the fields."""
        return np.array([getattr(self, field.name) for field in fields(self)])


@dataclass(frozen=True, slots=True)
class VoiceTraits:
    """What a speech synthesiser needs to know about a person."""

    f0_hz: float  # median pitch
    f0_range_st: float  # standard deviation of pitch within a sentence, semitones
    formant_scale: float  # factor on all formant frequencies; 1 is a long (average male) vocal tract
    spectral_tilt_db: float  # slope of the glottal source, dB per octave (about -16 dull to -4 bright)
    breathiness: float  # 0..1, share of aspiration noise
    tempo: float  # syllables per second
    nasality: float  # 0..1, depth of the nasal zero and strength of the nasal pole
    ring_db: float  # gain of the region of the third and fourth formant, dB


FACE_FIELDS = tuple(field.name for field in fields(FaceTraits))
VOICE_FIELDS = tuple(field.name for field in fields(VoiceTraits))

# How much of each (standardised) voice trait the face explains; what is left to 1 in variance is private noise.
VOICE_LOADINGS: dict[str, dict[str, float]] = {
    "f0_hz": {"jaw_width": -0.65, "age": -0.60},
    "f0_range_st": {"eyes": 0.85},
    "formant_scale": {"face_length": -0.80, "nose_length": -0.30},
    "spectral_tilt_db": {"mouth": 0.88},
    "breathiness": {"face_width": 0.85},
    "tempo": {"age": -0.60, "chin": 0.60},
    "nasality": {"nose_width": 0.88},
    "ring_db": {"eye_spacing": -0.62, "brow": 0.62},
}
_F0_HZ = {"m": 118.0, "f": 205.0}
_FORMANT_SCALE = {"m": 1.0, "f": 1.16}


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person."""

    person_id: str  # VoxCeleb-like: id90000, id90001, ...
    name: str
    gender: str  # m or f
    nationality: str
    face: FaceTraits
    voice: VoiceTraits


def draw_person(seed: int, index: int, like: int | None = None) -> Person:
    """Draw person number `index` of world `seed`, with nearly the face of number `like`, if one is given.

    The same numbers always give the same person. Raises ValueError for an index that is negative or beyond the number
    of unique family names (262,144).
    """
    if not 0 <= index < _FAMILY_NAMES:
        raise ValueError(f"person index {index}: expected 0 to {_FAMILY_NAMES - 1}")
    rng = np.random.default_rng([seed, index])
    face = FaceTraits(*np.clip(rng.standard_normal(len(FACE_FIELDS)), -MAX_TRAIT, MAX_TRAIT).tolist())
    if like is not None:
        face = _nearly(draw_person(seed, like).face, face)
    gender = "m" if face.masculinity >= 0 else "f"
    latent = voice_loading_matrix() @ face.vector() + private_noise_sd() * np.clip(
        rng.standard_normal(len(VOICE_FIELDS)), -MAX_TRAIT, MAX_TRAIT
    )
    return Person(
        person_id=f"id{90000 + index}",
        name=_invent_name(rng, seed, index),
        gender=gender,
        nationality=NATIONALITIES[rng.integers(len(NATIONALITIES))],
        face=face,
        voice=_voice_from_latent(latent, gender),
    )


def double_of(index: int) -> int | None:
    """Whom a person of a world's list looks like; every twelfth has a double before them."""
    return index - 1 if index % _DOUBLES_EVERY == _DOUBLES_EVERY - 1 else None


def listed_person(seed: int, index: int) -> Person:
    """Draw person number `index` of the list of world `seed`, doubles among them."""
    return draw_person(seed, index, double_of(index))


def _nearly(face: FaceTraits, own: FaceTraits) -> FaceTraits:
    """Another's face with a trace of one's own; never of the other sex."""
    mixed = np.clip(face.vector() + _OWN_SHARE * own.vector(), -MAX_TRAIT, MAX_TRAIT)
    return replace(FaceTraits(*mixed.tolist()), masculinity=face.masculinity)


def voice_loading_matrix() -> np.ndarray:
    """Return the (voice, face) matrix of VOICE_LOADINGS."""
    matrix = np.zeros((len(VOICE_FIELDS), len(FACE_FIELDS)))
    for row, voice_field in enumerate(VOICE_FIELDS):
        for face_field, weight in VOICE_LOADINGS[voice_field].items():
            matrix[row, FACE_FIELDS.index(face_field)] = weight
    return matrix


def private_noise_sd() -> np.ndarray:
    """Return the standard deviation of each voice trait that no face can explain."""
    noise: np.ndarray = np.sqrt(1.0 - (voice_loading_matrix() ** 2).sum(axis=1))
    return noise


def voice_latent(voice: VoiceTraits, gender: str) -> np.ndarray:
    """Invert the voice of somebody of that gender to its standardised traits, in the order of VOICE_FIELDS."""
    return np.array(
        [
            np.log2(voice.f0_hz / _F0_HZ[gender]) / 0.14,
            np.log(voice.f0_range_st / 2.5) / 0.30,
            np.log(voice.formant_scale / _FORMANT_SCALE[gender]) / 0.04,
            (voice.spectral_tilt_db + 10.0) / 2.0,
            (_logit(voice.breathiness) + 1.0) / 0.9,
            np.log(voice.tempo / 4.5) / 0.15,
            _logit(voice.nasality) + 0.5,
            voice.ring_db / 3.0,
        ]
    )


def _voice_from_latent(latent: np.ndarray, gender: str) -> VoiceTraits:
    pitch, pitch_range, tract, tilt, breath, tempo, nasal, ring = latent.tolist()
    return VoiceTraits(
        f0_hz=_F0_HZ[gender] * 2.0 ** (0.14 * pitch),
        f0_range_st=2.5 * float(np.exp(0.30 * pitch_range)),
        formant_scale=_FORMANT_SCALE[gender] * float(np.exp(0.04 * tract)),
        spectral_tilt_db=-10.0 + 2.0 * tilt,
        breathiness=_logistic(-1.0 + 0.9 * breath),
        tempo=4.5 * float(np.exp(0.15 * tempo)),
        nasality=_logistic(-0.5 + nasal),
        ring_db=3.0 * ring,
    )


def _invent_name(rng: np.random.Generator, seed: int, index: int) -> str:
    """A given name at random and a family name that no other index of the same world has."""
    given = "".join(_SYLLABLES[i] for i in rng.integers(len(_SYLLABLES), size=2))
    # An odd factor permutes the numbers below 2**18, so that neighbours do not sound alike.
    code = (index * 104_729 + seed * 7_919 + 54_321) % _FAMILY_NAMES
    family = ""
    for _ in range(3):
        code, syllable = divmod(code, len(_SYLLABLES))
        family += _SYLLABLES[syllable]
    return f"{given.capitalize()} {family.capitalize()}"


def _logistic(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-x)))


def _logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
