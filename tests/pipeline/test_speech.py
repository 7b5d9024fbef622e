"""Decoding: exact where it can be, faithful where it must resample, and never an exception but its own."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.speech import Unreadable, decode, decode_flac, encode_flac

MINUTE = 60.0


def tone(rate: int, hertz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    """Half of full scale, float64."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def written(sound: np.ndarray, rate: int, format_: str = "WAV", subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, sound, rate, format=format_, subtype=subtype)
    return out.getvalue()


def m4a(sound: np.ndarray, rate: int, format_: str = "mp4") -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=format_) as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return out.getvalue()


def refusal(data: bytes, max_duration_s: float = MINUTE) -> str:
    with pytest.raises(Unreadable) as caught:
        decode(data, max_duration_s)
    return caught.value.reason


def spectrum_peak(samples: np.ndarray) -> tuple[float, float]:
    """Frequency (Hz) and amplitude (of full scale) of the strongest partial of one second."""
    middle = samples[2000:14_000].astype(np.float64) * np.hanning(12_000)
    spectrum = np.abs(np.fft.rfft(middle)) / (12_000 / 4) / 32768
    return float(spectrum.argmax() * 16_000 / 12_000), float(spectrum.max())


def test_16_bit_mono_at_16_khz_comes_out_sample_for_sample() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 16_000).astype(np.int16)
    for data in (written(samples, 16_000), written(samples, 16_000, "FLAC"), encode_flac(samples)):
        assert np.array_equal(decode(data, MINUTE).samples, samples)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_sample_format_of_wav_is_heard_alike(subtype: str) -> None:
    expected = np.rint(tone(16_000) * 32768)
    samples = decode(written(tone(16_000), 16_000, subtype=subtype), MINUTE).samples
    coarse = {"PCM_U8": 256, "ULAW": 600, "ALAW": 600}.get(subtype, 1)
    assert np.abs(samples - expected).max() <= coarse


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
def test_resampling_keeps_a_tone_in_place(rate: int) -> None:
    speech = decode(written(tone(rate, 1000.0), rate), MINUTE)
    hertz, amplitude = spectrum_peak(speech.samples)
    assert hertz == pytest.approx(1000, abs=1.4)
    assert amplitude == pytest.approx(0.5, rel=0.01)
    assert (speech.source_rate, speech.source_channels) == (rate, 1)
    assert speech.source_duration_s == pytest.approx(1.0, abs=1e-3)
    assert len(speech.samples) == pytest.approx(16_000, abs=1)


@pytest.mark.parametrize("hertz", [8_500.0, 12_000.0, 20_000.0])
def test_what_16_khz_cannot_hold_does_not_fold_back(hertz: float) -> None:
    samples = decode(written(tone(48_000, hertz), 48_000), MINUTE).samples
    assert np.abs(samples[1000:-1000]).max() <= 2


def test_channels_are_averaged() -> None:
    left, right = tone(16_000, 300), tone(16_000, 700)
    samples = decode(written(np.stack([left, right], axis=1), 16_000), MINUTE).samples
    assert np.abs(samples - (left + right) / 2 * 32768).max() <= 1.5


OTHERS = [
    ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("CAF", "ALAC_16"), ("AU", "PCM_24"),
    ("W64", "PCM_16"),
]  # fmt: skip


@pytest.mark.parametrize(("format_", "subtype"), OTHERS)
def test_compressed_formats_are_read(format_: str, subtype: str) -> None:
    speech = decode(written(tone(44_100, 1000.0), 44_100, format_, subtype), MINUTE)
    assert spectrum_peak(speech.samples)[0] == pytest.approx(1000, abs=1.4)


@pytest.mark.parametrize("format_", ["mp4", "adts", "matroska"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_m4a_and_aac_are_read(format_: str, rate: int) -> None:
    speech = decode(m4a(tone(rate, 1000.0, 1.5), rate, format_), MINUTE)
    hertz, amplitude = spectrum_peak(speech.samples)
    assert hertz == pytest.approx(1000, abs=1.4)
    assert amplitude == pytest.approx(0.5, rel=0.05)
    assert speech.source_duration_s == pytest.approx(1.5, abs=0.15)  # AAC works in frames of 1,024


def test_flac_round_trip_is_exact_and_deterministic() -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 20_001).astype(np.int16)
    assert encode_flac(samples) == encode_flac(samples.copy())
    assert np.array_equal(decode_flac(encode_flac(samples)), samples)


def test_strangers_bytes_are_refused_by_reason() -> None:
    wav = written(tone(16_000), 16_000)
    flac = written(np.random.default_rng(0).uniform(-1, 1, 48_000), 16_000, "FLAC")
    assert refusal(b"") == "empty"
    assert refusal(b"<html>not found</html>") == "not_a_recording"
    assert refusal(wav[:44]) == "truncated"
    assert refusal(wav[:-1000]) == "truncated"
    assert refusal(flac[: len(flac) // 2]) in ("truncated", "undecodable")
    assert refusal(m4a(tone(16_000), 16_000)[:200]) == "undecodable"
    assert refusal(written(np.zeros(0), 16_000)) == "no_samples"
    assert refusal(written(np.array([0.0, np.nan, 0.5]), 16_000, subtype="FLOAT")) == "not_finite"
    assert refusal(written(tone(16_000, seconds=3), 16_000), max_duration_s=2.0) == "too_long"
    assert refusal(m4a(tone(16_000, seconds=3), 16_000), max_duration_s=2.0) == "too_long"
    assert refusal(written(tone(1_000), 1_000)) == "bad_sample_rate"
    assert refusal(written(np.zeros((10, 40)), 16_000)) == "too_many_channels"


def test_a_wav_written_to_a_pipe_is_whole() -> None:
    """A pipe cannot go back to fill in the sizes."""
    wav = bytearray(written(tone(16_000), 16_000))
    wav[4:8] = struct.pack("<I", 0xFFFFFFFF)
    assert len(decode(bytes(wav), MINUTE).samples) == 16_000


def test_a_flac_written_to_a_pipe_is_whole() -> None:
    """The 36 bits that count its samples stay zero."""
    samples = np.random.default_rng(0).integers(-3000, 3000, 16_000).astype(np.int16)
    flac = bytearray(encode_flac(samples))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    assert np.array_equal(decode(bytes(flac), MINUTE).samples, samples)
    assert refusal(bytes(flac), max_duration_s=0.5) == "too_long"


def test_an_hour_of_silence_on_many_channels_is_refused_before_it_fills_the_memory() -> None:
    """From the header alone; a few kilobytes of FLAC can hold it."""
    flac = bytearray(written(np.zeros((4800, 8)), 48_000, "FLAC"))
    flac[22:26] = struct.pack(">I", 3600 * 48_000)
    assert refusal(bytes(flac), max_duration_s=3600.0) == "too_many_samples"


HEADS = (b"RIFF", b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90", b"\xff\xf1\x50", b"\0\0\0\x18ftypM4A ")


@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_noise_behind_a_known_head_raises_nothing_else(head: bytes, tail: bytes) -> None:
    try:
        decode(head + tail, MINUTE)
    except Unreadable as fault:
        assert fault.reason


@given(flips=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_damaged_headers_raise_nothing_else(flips: list[tuple[int, int]]) -> None:
    voice = tone(16_000, seconds=0.2)
    for whole in (written(voice, 16_000), m4a(voice, 16_000), m4a(voice, 16_000, "matroska")):
        data = bytearray(whole)
        for place, value in flips:
            data[place % len(data)] = value
        try:
            decode(bytes(data), MINUTE)
        except Unreadable as fault:
            assert fault.reason


def test_every_real_recording_decodes_to_its_length(real_data: Path) -> None:
    files = sorted((real_data / "speech").glob("*/*.*"))
    assert len(files) > 100
    for path in files:
        speech = decode(path.read_bytes(), 600)
        assert len(speech.samples) / 16_000 == pytest.approx(speech.source_duration_s, abs=1e-3), path.name
