"""How fast the voices stage is, as a multiple of real time: synthetic speech of 8 seconds a file. One JSON line.

    python benchmarks/voices.py [--minutes 40] [--workers 2]

`stage`: 16 kHz WAV without and with the voiced FLAC kept, and AAC in MP4 (m4a), by one and by several workers in
turns; `cpu_ms_per_s` is the processor time of the whole stage, run in one process, for one second of audio.
`command`: `pipeline run voices` on the WAV, with the start of Python and every import. Medians of three.
`profile`: what one process spends its time on, and the part of it inside WebRTC's detector, the Fourier transforms
and the filter product, below which this recipe cannot go.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import webrtcvad
from numpy.typing import NDArray
from scipy import fft

from manifests import table
from pipeline import engine, frontend, speech, vad
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Context, Paths
from pipeline.world.traits import draw_person
from pipeline.world.vocal_tract import RATE
from pipeline.world.voices import speak
from stages import voices

CLIP_S = 8.0
VOICES = 20  # different recordings; the rest are the same ones begun elsewhere, so that none is a duplicate
SPEAKERS = 40
RUNS = 3
CASES = {"wav": ("wav", False), "wav_flac_kept": ("wav", True), "m4a": ("m4a", False)}  # recordings, keep_audio


def wav(samples: NDArray[np.int16]) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return out.getvalue()


def m4a(samples: NDArray[np.int16]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32) / 32768, format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return out.getvalue()


def corpus(root: Path, suffix: str, encode: Callable[[NDArray[np.int16]], bytes], clips: int) -> None:
    spoken = [speak(draw_person(0, i), i, CLIP_S).samples for i in range(VOICES)]
    for number in range(clips):
        path = root / f"id{number % SPEAKERS:05d}" / "v" / f"{number:05d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.roll(spoken[number % VOICES], -number * 100)))


def run(root: Path, clips: int, keep_audio: bool, workers: int) -> dict[str, float]:
    """One run of the whole stage: its speed, and its processor time where one process does it all."""
    with tempfile.TemporaryDirectory() as out:
        paths = Paths(*(Path(out) / name for name in ("data", "reports", "metrics", "review")))
        section = {"roots": [str(root)], "keep_audio": keep_audio}
        began, busy = time.perf_counter(), time.process_time()
        summary = run_stage(voices.STAGE, Params(paths, Run(), {"voices": section}), workers)
        took, worked = time.perf_counter() - began, time.process_time() - busy
        assert summary is not None and summary.kept == clips, summary
    speed = {"times_real_time": clips * CLIP_S / took}
    return speed | {"cpu_ms_per_s": 1000 * worked / (clips * CLIP_S)} if workers == 1 else speed


def command(root: Path, clips: int, workers: int) -> dict[str, float]:
    """One `pipeline run voices` from nothing."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        params = Path("params.yaml")
        params.write_text(json.dumps({"voices": {"roots": [str(root)], "keep_audio": False}}))
        call = [sys.executable, "-m", "stages.cli", "run", "voices", "--workers", str(workers)]
        began = time.perf_counter()
        subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
        return {"times_real_time": clips * CLIP_S / (time.perf_counter() - began)}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(f"{statistics.median(run[name] for run in runs):.3g}") for name in runs[0]}


def cpu_s(function: Callable[[], Any]) -> float:
    """Processor time of a call, median of three."""
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        function()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def detect(clip: NDArray[np.int16]) -> int:
    """Nothing but WebRTC's answers for one recording."""
    detector, pcm = webrtcvad.Vad(vad.COLLECTORS["sf2f"].aggressiveness), clip.tobytes()
    return sum(detector.is_speech(pcm[at : at + 960], RATE, 480) for at in range(0, len(pcm) - 960, 960))


def transform(clip: NDArray[np.int16]) -> float:
    """Nothing but the Fourier transforms and the filter product of one recording."""
    frames = np.zeros((128, 512), np.float32)
    filters = frontend.PROFILES["sf2f"].filters().astype(np.float32)
    blocks = -(-len(clip) // frontend.HOP // len(frames))
    return float(sum(np.matmul(fft.rfft(frames, axis=1).real, filters)[0, 0] for _ in range(blocks)))


def profile(root: Path) -> dict[str, float]:
    """Shares of the processor time of one process without audio kept, and of the compiled code it cannot avoid."""
    settings, context = voices.Settings(roots=(root,), keep_audio=False), Context(Paths(), 1)
    rows = voices.list_rows(settings, context)
    read = partial(lambda: [Path(row["path"]).read_bytes() for row in rows])
    clips = [speech.decode(data, settings.max_duration_s).samples for data in read()]
    spoken = [vad.voiced(clip, vad.segments(clip, "sf2f")) for clip in clips]
    kept = voices.process(rows, settings, context)
    with tempfile.TemporaryDirectory() as out:
        path = Path(out) / table.shard_name(0)
        parts = {
            "find_and_hash": lambda: voices.fingerprint(voices.list_rows(settings, context), settings, context),
            "read_and_decode": lambda: [speech.decode(data, settings.max_duration_s) for data in read()],
            "vad": lambda: [vad.voiced(clip, vad.segments(clip, "sf2f")) for clip in clips],
            "mel": lambda: [frontend.to_float16(frontend.mel(s, frontend.PROFILES["sf2f"])) for s in spoken],
            "parquet": lambda: table.write_table(path, voices.writes(settings), kept, {}),  # type: ignore[arg-type]
        }
        spent = {name: cpu_s(part) for name, part in parts.items()}
        process = cpu_s(lambda: voices.process(rows, settings, context))
    inside = cpu_s(lambda: [detect(c) for c in clips]) + cpu_s(lambda: [transform(s) for s in spoken])
    whole = process + spent["find_and_hash"] + spent["parquet"]
    return {f"{name}_share": round(value / whole, 3) for name, value in spent.items()} | {
        "compiled_bound_share": round(inside / whole, 3)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="of audio")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    clips = round(options.minutes * 60 / CLIP_S)
    engine.pin_threads()
    # As the command does; the rest is what every worker would import to know this file.
    engine.preload(["stages.voices", "pipeline.run", "pipeline.world.voices", "av"])
    with tempfile.TemporaryDirectory() as folder:
        for suffix, encode in (("wav", wav), ("m4a", m4a)):
            corpus(Path(folder, suffix), suffix, encode, clips)
        calls: dict[str, Callable[[], dict[str, float]]] = {}
        for workers in (1, options.workers):
            for name, (suffix, keep_audio) in CASES.items():
                calls[f"stage_{name}_{workers}"] = partial(run, Path(folder, suffix), clips, keep_audio, workers)
            calls[f"command_wav_{workers}"] = partial(command, Path(folder, "wav"), clips, workers)
        rounds = [{name: call() for name, call in calls.items()} for _ in range(RUNS)]
        result = {name: medians([each[name] for each in rounds]) for name in calls}
        print(
            json.dumps(
                {"benchmark": "voices", "minutes": options.minutes, **result, "profile": profile(Path(folder, "wav"))}
            )
        )


if __name__ == "__main__":
    main()
