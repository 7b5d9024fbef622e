"""How fast the voices stage is, as a multiple of real time: synthetic speech of 8 seconds a file. One JSON line.

    python benchmarks/voices.py [--minutes 40] [--workers 2]

Each figure is the median of three runs: 16 kHz WAV without and with the voiced FLAC kept, and AAC in MP4 (m4a).
`cpu_ms_per_s` is the processor time of the whole stage, run in one process, for one second of audio.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Paths
from pipeline.world.traits import draw_person
from pipeline.world.vocal_tract import RATE
from pipeline.world.voices import speak
from stages.voices import STAGE

CLIP_S = 8.0
VOICES = 20  # different recordings; the rest are the same ones begun elsewhere, so that none is a duplicate
SPEAKERS = 40
RUNS = 3


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


def measure(root: Path, clips: int, workers: int, keep_audio: bool) -> dict[str, float]:
    """Median speed of whole runs of the stage; processor time only where one process does it all."""
    speeds, costs = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as out:
            paths = Paths(*(Path(out) / name for name in ("data", "reports", "metrics", "review")))
            section = {"roots": [str(root)], "keep_audio": keep_audio}
            began, busy = time.perf_counter(), time.process_time()
            summary = run_stage(STAGE, Params(paths, Run(), {"voices": section}), workers)
            speeds.append(clips * CLIP_S / (time.perf_counter() - began))
            costs.append((time.process_time() - busy) / (clips * CLIP_S) * 1000)
            assert summary is not None and summary.kept == clips, summary
    result: dict[str, float] = {"times_real_time": round(statistics.median(speeds))}
    if workers == 1:
        result["cpu_ms_per_s"] = round(statistics.median(costs), 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="of audio")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    clips = round(options.minutes * 60 / CLIP_S)
    result: dict[str, object] = {"minutes": options.minutes, "workers": options.workers}
    with tempfile.TemporaryDirectory() as folder:
        for suffix, encode in (("wav", wav), ("m4a", m4a)):
            corpus(Path(folder, suffix), suffix, encode, clips)
        for name, suffix, keep_audio in (("wav", "wav", False), ("wav_flac_kept", "wav", True), ("m4a", "m4a", False)):
            result[f"{name}_1_worker"] = measure(Path(folder, suffix), clips, 1, keep_audio)
            result[name] = measure(Path(folder, suffix), clips, options.workers, keep_audio)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
