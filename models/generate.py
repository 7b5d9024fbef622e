"""Faces for recordings: the very front end of the training data, one face per window, and one for all of it."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifests.errors import DataError
from manifests.table import write_text
from models.listening import half
from models.report import save_grid
from models.state import Model, expect_faces
from models.system import Batch, generator
from pipeline.frontend import FULL_SCALE, PROFILES, SAMPLE_RATE, WAVE, from_float16, mel, to_float16, waveform

SHORTEST_S = 0.3  # seconds of sound
_WINDOW = 125  # frames, where the model was not taught to fuse windows of another length
_TRUSTED_WHOLE_S = 2.0  # shorter recordings are used whole where the detector, which needs a run-up, finds no voice
_SILENT = 33  # root mean square, of 32,768: 60 dB below full scale
_ACROSS = 10  # faces in a row of `windows.png`
_LONGEST_S = 3600.0
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording after the front end."""

    mel: NDArray[np.float32]  # (frames, bands), log; or frames of the waveform, -1..1
    duration_s: float  # of the recording
    voiced_s: float  # of what the mel was made of
    whole: bool  # whether that is all of it, because no voice was detected in a short recording
    sha256: str


def hear(path: Path, profile: str, vad: str) -> Heard:
    """Decode any format, keep the voice, cut it into the front end's frames.

    Raises DataError for what is no recording of speech.
    """
    from pipeline import speech
    from pipeline import vad as detectors

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes: at most {_MOST_BYTES:,}")
        content = path.read_bytes()
        recording = speech.decode(content, _LONGEST_S)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except speech.Unreadable as error:
        raise DataError(f"{path} is not a usable recording: {error.reason} ({error})") from error
    samples = recording.samples
    if len(samples) < SHORTEST_S * SAMPLE_RATE:
        raise DataError(f"{path} lasts {len(samples) / SAMPLE_RATE:.2f} s: at least {SHORTEST_S} s are needed")
    voiced = detectors.voiced(samples, detectors.segments(samples, vad))
    whole = len(voiced) < SHORTEST_S * SAMPLE_RATE
    if whole and (len(samples) > _TRUSTED_WHOLE_S * SAMPLE_RATE or _loudness(samples) < _SILENT):
        raise DataError(f"{path}: no speech found in {len(samples) / SAMPLE_RATE:.1f} s by the detector {vad!r}")
    used = samples if whole else voiced
    return Heard(
        _frames(used, profile), recording.source_duration_s, len(used) / SAMPLE_RATE, whole, sha256(content).hexdigest()
    )


def _frames(samples: NDArray[np.int16], front_end: str) -> NDArray[np.float32]:
    """As training data is stored."""
    if front_end == WAVE:
        return waveform(samples).astype(np.float32) / np.float32(FULL_SCALE)
    return from_float16(to_float16(mel(samples, PROFILES[front_end])), PROFILES[front_end])


def _loudness(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


def batch(frames: Tensor, whole: NDArray[np.float32]) -> Batch:
    """Mels (B, bands, F) or (B, N, bands, F) of one recording, whose every band is normalised alike, as a batch."""
    mean, deviation = (torch.from_numpy(value).to(frames) for value in (whole.mean(axis=0), whole.std(axis=0)))
    shape = (*frames.shape[:-2], -1)
    people = len(frames)
    nobody = torch.zeros(people, dtype=torch.long, device=frames.device)
    face = torch.zeros(people, 3, 1, 1, device=frames.device)
    windows = torch.full((people,), frames.shape[1], device=frames.device) if frames.dim() == 4 else None
    return Batch(frames, mean.expand(shape), deviation.expand(shape), nobody, face, nobody, nobody, windows)


def windows(log_mel: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Windows (N, bands, length) that overlap by half; a shorter mel (frames, bands) repeats until it fills one."""
    if len(log_mel) < length:
        log_mel = np.tile(log_mel, (math.ceil(length / len(log_mel)), 1))[:length]
    starts = range(0, len(log_mel) - length + 1, half(length))
    return np.stack([log_mel[start : start + length].T for start in starts])


def faces(model: Model, log_mel: NDArray[np.float32], device: torch.device) -> tuple[Tensor, Tensor]:
    """One face per window (N, 3, S, S), and the face of all (3, S, S): fused, or of the whole mel at once."""
    length = model.fusing.frames[0] if model.fusing else _WINDOW
    cut = torch.from_numpy(windows(log_mel, length)).to(device)
    system = generator(model.system)
    each = torch.cat(
        [system.faces(model.networks, model.settings, batch(part, log_mel)) for part in torch.split(cut, 64)]
    )
    at_once = cut[None] if model.fusing else torch.from_numpy(_at_least(log_mel, length).T[None].copy()).to(device)
    (together,) = system.faces(model.networks, model.settings, batch(at_once, log_mel))
    return each, together


def _at_least(log_mel: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    return np.tile(log_mel, (max(1, math.ceil(length / len(log_mel))), 1)) if len(log_mel) < length else log_mel


def generate(
    model: Model, recordings: Sequence[Path], out: Path, device: torch.device
) -> Iterator[tuple[Path, Path | DataError]]:
    """Yield each recording with the folder made for it, or with why there is none; one does not cost the others.

    A folder holds `face.png`, `windows.png` and `face.json`. It is named by number and content, never by the
    recording's name.
    """
    expect_faces(model)
    for number, path in enumerate(recordings):
        try:
            heard = hear(path, model.facts["front_end"], model.facts["vad"])
        except DataError as error:
            yield path, error
            continue
        each, together = faces(model, heard.mel, device)
        folder = out / f"{number:04d}-{heard.sha256[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        save_grid(folder / "face.png", together[None, None].cpu())
        save_grid(folder / "windows.png", _rows(each.cpu()))
        write_text(folder / "face.json", json.dumps(_facts(model, path, heard, len(each)), indent=2) + "\n")
        yield path, folder


def _rows(each: Tensor) -> Tensor:
    """Faces (N, 3, S, S) as rows of ten, filled up with white, in the order of the windows."""
    across = min(_ACROSS, len(each))
    white = torch.ones(-len(each) % across, *each.shape[1:])
    return torch.cat([each, white]).view(-1, across, *each.shape[1:])


def _facts(model: Model, path: Path, heard: Heard, n_windows: int) -> dict[str, Any]:
    return {
        "recording": path.name,
        "sha256": heard.sha256,
        "duration_s": heard.duration_s,
        "voiced_s": heard.voiced_s,
        "no_voice_detected": heard.whole,
        "windows": n_windows,
        "fused": model.fusing is not None,
        "front_end": model.facts["front_end"],
        "vad": model.facts["vad"],
        "experiment": model.facts["experiment"],
        "checkpoint_sha256": model.sha256,
    }
