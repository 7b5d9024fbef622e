"""Recordings that strangers send, each made from code: unusual but sound, or broken, lying and no sound at all."""

import io
import struct
from functools import cache

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000  # Hz
SECONDS = 3.0


@cache
def voice(rate: int = RATE) -> NDArray[np.float64]:
    """A buzz with two formants and pauses, which every VAD takes for speech; -1..1."""
    time_s = np.arange(int(SECONDS * rate)) / rate
    pulses = sum(np.cos(2 * np.pi * 120 * k * time_s) / k for k in range(1, 25))
    envelope = np.clip(1.5 * np.sin(2 * np.pi * 1.5 * time_s), 0, 1)
    return np.asarray(0.2 * envelope * pulses / np.abs(pulses).max() + 1e-4 * np.sin(2 * np.pi * 50 * time_s))


def written(kind: str, subtype: str | None = None, rate: int = RATE, channels: int = 1) -> bytes:
    """The voice in a format of libsndfile, the same in every channel."""
    out = io.BytesIO()
    soundfile.write(out, np.repeat(voice(rate)[:, None], channels, axis=1), rate, format=kind, subtype=subtype)
    return out.getvalue()


@cache
def m4a() -> bytes:
    """The voice as AAC in MP4."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        samples = (voice() * 32767).astype(np.int16)
        for at in range(0, len(samples) - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="s16", layout="mono")
            frame.rate, frame.pts = RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def wav(
    data: bytes, rate: int = RATE, channels: int = 1, bits: int = 16, tag: int = 1, claimed: int | None = None
) -> bytes:
    """A WAV of any claims; `claimed` is the size that the header gives to its samples."""
    size = len(data) if claimed is None else claimed
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, (rate * width) & 0xFFFFFFFF, width & 0xFFFF, bits)
    chunks = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", (len(chunks) + size - len(data)) & 0xFFFFFFFF) + chunks


@cache
def usable() -> dict[str, bytes]:
    """Unusual recordings of the voice, as `name: bytes`: none is a reason to drop it."""
    return {
        "plain": written("WAV", "PCM_16"),
        "8_bit": written("WAV", "PCM_U8"),
        "24_bit": written("WAV", "PCM_24"),
        "32_bit": written("WAV", "PCM_32"),
        "float": written("WAV", "FLOAT"),
        "double": written("WAV", "DOUBLE"),
        "ima_adpcm": written("WAV", "IMA_ADPCM"),
        "ms_adpcm": written("WAV", "MS_ADPCM"),
        "u_law": written("WAV", "ULAW"),
        "aiff": written("AIFF", "PCM_16"),
        "rf64": written("RF64", "PCM_16"),
        "flac": written("FLAC", "PCM_16"),
        "flac_24": written("FLAC", "PCM_24"),
        "ogg": written("OGG", "VORBIS"),
        "mp3": written("MP3"),
        "m4a": m4a(),
        "8_khz": written("WAV", "PCM_16", rate=8_000),
        "44_khz": written("WAV", "PCM_16", rate=44_100),
        "192_khz": written("WAV", "PCM_16", rate=192_000),
        "endless": wav((voice() * 32767).astype("<i2").tobytes(), claimed=0xFFFFFFF0),  # as written to a pipe
        "9_channels": written("WAV", "PCM_16", channels=9),
    }


@cache
def broken() -> dict[str, tuple[bytes, set[str]]]:
    """Recordings that cannot be used, as `name: (bytes, drop reasons that name the fault)`."""
    pcm = (voice() * 32767).astype("<i2").tobytes()
    whole_flac, whole_m4a, plain = written("FLAC", "PCM_16"), m4a(), written("WAV", "PCM_16")
    nan = np.where(np.arange(len(voice())) == 20_000, np.nan, voice()).astype("<f4")
    damaged = {"undecodable", "truncated", "not_a_recording", "no_samples"}
    rate, channels = {"bad_sample_rate", "undecodable"}, {"too_many_channels", "undecodable"}
    return {
        "empty": (b"", {"empty"}),
        "html": (b"<!DOCTYPE html><html><script>alert(1)</script>" * 20, {"not_a_recording"}),
        "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", {"not_a_recording"}),
        "concat": (b"ffconcat version 1.0\nfile /etc/passwd\n", {"not_a_recording"}),
        "nulls": (b"\0" * 4096, {"not_a_recording"}),
        "magic_only": (b"RIFF", damaged),
        "flac_magic": (b"fLaC", damaged),
        "mp4_magic": (b"\0\0\0\x18ftypM4A \0\0\0\0", damaged),
        "no_sound": (wav(b""), {"no_samples"}),
        "says_more": (wav(pcm, claimed=2 * len(pcm)), {"truncated"}),
        "half_wav": (plain[: len(plain) // 2], {"truncated"}),
        "half_flac": (whole_flac[: len(whole_flac) // 2], damaged),
        "half_m4a": (whole_m4a[: len(whole_m4a) // 2], damaged),
        "0_hz": (wav(pcm, rate=0), rate),
        "1_hz": (wav(pcm, rate=1), {*rate, "too_long"}),
        "4_ghz": (wav(pcm, rate=0xFFFFFFFF), rate),
        "0_channels": (wav(pcm, channels=0), channels),
        "60000_channels": (wav(pcm, channels=60_000), {*channels, "no_samples"}),
        "unknown_codec": (wav(pcm, tag=0x7777), damaged),
        "nan": (wav(nan.tobytes(), bits=32, tag=3), {"not_finite"}),
        "infinite": (wav(np.full(16_000, np.inf, "<f4").tobytes(), bits=32, tag=3), {"not_finite"}),
        "silence": (wav(bytes(len(pcm))), {"no_speech"}),
        "one_sample": (wav(b"\1\0"), {"no_speech"}),
    }
