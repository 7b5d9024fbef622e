"""Decode recordings from strangers to 16 kHz mono, and encode our own as FLAC."""

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.int16]

SAMPLE_RATE = 16_000  # Hz of everything behind `decode`
RATES = range(4_000, 384_001)  # Hz that a recording may claim
MAX_CHANNELS = 32
MAX_VALUES = 1 << 28  # samples times channels, 1 GiB as float32: an hour of silence packs into a few kilobytes

_LIBSNDFILE = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"ID3", b"caff", b".snd")
_UNKNOWN_SIZE = (0, 0xFFFFFFFF)  # what a RIFF written to a pipe says of its own size
_EXACT = ("WAV", "WAVEX", "RF64", "AIFF", "FLAC")  # formats whose header counts the samples exactly


class Unreadable(Exception):
    """A recording that cannot be used; `reason` is a drop reason, the message says what was found."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Speech:
    """A decoded recording, and what it was before."""

    samples: Samples  # 16 kHz mono
    source_rate: int  # Hz
    source_channels: int
    source_duration_s: float


def decode(data: bytes, max_duration_s: float) -> Speech:
    """Decode WAV, AIFF, CAF, AU, FLAC, Ogg, MP3, MP4 (m4a), WebM or AAC to 16 kHz mono; the bytes decide, not a name.

    16-bit mono at 16 kHz comes out sample for sample. Channels are averaged; other rates go through a linear-phase
    filter (soxr HQ). Raises Unreadable: `empty`, `not_a_recording`, `undecodable`, `truncated`, `not_finite`,
    `bad_sample_rate`, `too_many_channels`, `too_many_samples`, `too_long`, `no_samples`.
    """
    if not data:
        raise Unreadable("empty", "zero bytes")
    container = _container(data)
    if container is None:
        raise Unreadable("not_a_recording", f"first bytes {data[:8]!r}")
    try:
        if container == "libsndfile":
            _check_riff_size(data)
            channels, rate = _read_libsndfile(data, max_duration_s)
        else:
            channels, rate = _read_ffmpeg(data, container, max_duration_s)
    except Unreadable:
        raise
    except Exception as error:  # the decoders raise many kinds on hostile bytes
        # libsndfile's words name the buffer by its address, which differs from run to run.
        words = re.sub(r"<_io\.BytesIO object at 0x[0-9a-f]+>", "the bytes", str(error))
        raise Unreadable("undecodable", f"{type(error).__name__}: {words}") from error
    if len(channels) == 0:
        raise Unreadable("no_samples", "a header and no sound")
    return Speech(_to_mono_16k(channels, rate), rate, channels.shape[1], len(channels) / rate)


def _container(data: bytes) -> str | None:
    """Who can read these bytes: libsndfile, or FFmpeg's demuxer of that name; None for neither."""
    if data.startswith(b"fLaC") and not int.from_bytes(data[21:26], "big") & 0xF_FFFF_FFFF:
        return "flac"  # written to a pipe: the 36 bits that count its samples are zero, and libsndfile gives up
    if data.startswith(_LIBSNDFILE):
        return "libsndfile"
    if data[4:8] == b"ftyp":
        return "mov"
    if data.startswith(b"\x1aE\xdf\xa3"):  # EBML: WebM, which browsers record, and Matroska
        return "matroska"
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:  # MPEG audio; layer bits 00 mean AAC
        return "libsndfile" if data[1] & 0x06 else "aac"
    return None


def _check_riff_size(data: bytes) -> None:
    """Raise on a truncated WAV: libsndfile would read what is left of a broken download without a word."""
    if data[:4] == b"RIFF" and len(data) >= 8:
        size = int.from_bytes(data[4:8], "little")
        if size not in _UNKNOWN_SIZE and size + 8 > len(data) + 1:  # many writers leave the last pad byte out
            raise Unreadable("truncated", f"{len(data)} bytes of {size + 8}")


def _check_header(rate: int, channels: int, frames: int, max_duration_s: float) -> None:
    if rate not in RATES:
        raise Unreadable("bad_sample_rate", f"{rate} Hz; expected {RATES.start} to {RATES.stop - 1}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise Unreadable("too_many_channels", f"{channels} channels; at most {MAX_CHANNELS}")
    if frames > max_duration_s * rate:
        raise Unreadable("too_long", f"{frames / rate:.1f} seconds; at most {max_duration_s:.1f}")
    if frames * channels > MAX_VALUES:
        raise Unreadable("too_many_samples", f"{frames} samples of {channels} channels; at most {MAX_VALUES} in all")


def _read_libsndfile(data: bytes, max_duration_s: float) -> tuple[NDArray[Any], int]:
    """Samples as (n, channels): int16 where the file holds just that, else float32."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        rate = file.samplerate
        _check_header(rate, file.channels, file.frames, max_duration_s)
        # Headers lie: never read more than one sample beyond what is allowed.
        limit = 1 + min(int(max_duration_s * rate), MAX_VALUES // file.channels)
        channels = file.read(limit, dtype="int16" if file.subtype == "PCM_16" else "float32", always_2d=True)
        if file.format in _EXACT and len(channels) < file.frames:
            raise Unreadable("truncated", f"{len(channels)} samples of {file.frames}")
    _check_header(rate, channels.shape[1], len(channels), max_duration_s)
    return channels, rate


def _read_ffmpeg(data: bytes, demuxer: str, max_duration_s: float) -> tuple[NDArray[np.float32], int]:
    """Samples as (n, channels) float32.

    The demuxer is named, so that hostile bytes cannot ask for a playlist or any other file.
    """
    import av  # seldom needed, and slow to load

    with av.open(io.BytesIO(data), mode="r", format=demuxer) as container:
        if not container.streams.audio:
            raise Unreadable("not_a_recording", "no audio stream")
        stream = container.streams.audio[0]
        rate, count = stream.rate, stream.channels
        _check_header(rate, count, 0, max_duration_s)
        to_float = av.AudioResampler(format="fltp")
        parts, total = [], 0
        for frame in container.decode(stream):
            for part in to_float.resample(frame):
                parts.append(part.to_ndarray())
                total += part.samples
            _check_header(rate, count, total, max_duration_s)
    if not parts:
        return np.empty((0, count), np.float32), rate
    return np.ascontiguousarray(np.concatenate(parts, axis=1).T), rate


def _to_mono_16k(channels: NDArray[Any], rate: int) -> Samples:
    if channels.dtype == np.int16 and channels.shape[1] == 1 and rate == SAMPLE_RATE:
        return np.ascontiguousarray(channels[:, 0])
    sound = channels.astype(np.float32)
    if channels.dtype != np.int16:
        with np.errstate(over="ignore"):  # infinite then, and refused below
            sound *= 32768.0
    mono = sound.mean(axis=1)
    if not np.isfinite(mono).all():
        raise Unreadable("not_finite", "NaN or infinite samples")
    if rate != SAMPLE_RATE:
        import soxr  # type: ignore[import-untyped]  # seldom needed

        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    if len(mono) == 0:
        raise Unreadable("no_samples", "less than one sample at 16 kHz")
    samples: Samples = np.clip(np.rint(mono), -32768, 32767).astype(np.int16)
    return samples


def encode_flac(samples: Samples) -> bytes:
    """FLAC bytes of 16 kHz mono; the same samples give the same bytes."""
    out = io.BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def decode_flac(data: bytes) -> Samples:
    """The samples that `encode_flac` was given."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == SAMPLE_RATE, f"our own FLAC at {rate} Hz"
    return np.asarray(samples, np.int16)
