"""Are the synthetic voices speech to WebRTC, and does each belong to somebody? One JSON line.

python benchmarks/world_voices.py [--people 300] [--seconds 8]
"""

import argparse
import json
import time

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from pipeline import vad
from pipeline.frontend import PROFILES, mel
from pipeline.world.traits import draw_person
from pipeline.world.vocal_tract import RATE
from pipeline.world.voices import Recording, speak

FRAME = RATE * 30 // 1000  # samples
HANGOVER = 6  # frames after speech in which WebRTC still says speech
GALLERY = 100  # people


def kept(recording: Recording, mode: int) -> tuple[int, int, int, int]:
    """Speech frames kept, speech frames, silence frames kept, silence frames; lead-in and hangover left out."""
    detector = webrtcvad.Vad(mode)
    pcm = recording.samples.tobytes()
    starts = np.arange(len(recording.samples) // FRAME) * FRAME
    voiced = np.array([detector.is_speech(pcm[2 * s : 2 * (s + FRAME)], RATE) for s in starts])
    speech = np.zeros(len(starts), bool)
    touched = starts < recording.speech[0, 0] * RATE  # the lead-in
    for start, end in recording.speech * RATE:
        speech |= (starts >= start) & (starts + FRAME <= end)
        touched |= (starts + FRAME > start) & (starts < end + HANGOVER * FRAME)
    silence = ~touched
    return int(voiced[speech].sum()), int(speech.sum()), int(voiced[silence].sum()), int(silence.sum())


def statistics(recording: Recording) -> NDArray[np.float64]:
    """Mean and standard deviation of each log-mel band of the voiced part."""
    voiced = vad.voiced(recording.samples, vad.segments(recording.samples, "sf2f"))
    frames = mel(voiced, PROFILES["sf2f"]).astype(np.float64)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def whitener(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix that makes the differences between recordings of one person round; pairs: (people, 2, values)."""
    within = (pairs - pairs.mean(axis=1, keepdims=True)).reshape(-1, pairs.shape[2])
    scatter = within.T @ within / len(within) * 2
    shrunk = 0.9 * scatter + 0.1 * np.diag(np.diag(scatter))
    return np.linalg.cholesky(np.linalg.inv(shrunk))


def first_ranked(pairs: NDArray[np.float64]) -> float:
    """Share of people whose second recording is the nearest to their first among all second ones."""
    distances = np.linalg.norm(pairs[:, None, 0] - pairs[None, :, 1], axis=2)
    return float((distances.argmin(axis=1) == np.arange(len(pairs))).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=300, help=f"the last {GALLERY} are the gallery")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    began = time.process_time()
    recordings = [[speak(draw_person(0, i), take, options.seconds) for take in (1, 2)] for i in range(options.people)]
    cpu_s = time.process_time() - began
    result: dict[str, float] = {"people": options.people, "seconds": options.seconds}
    result["times_real_time"] = round(options.people * 2 * options.seconds / cpu_s, 1)
    for mode in (1, 2):
        counts = np.sum([kept(take, mode) for takes in recordings for take in takes], axis=0)
        result[f"mode{mode}_speech_kept"] = round(float(counts[0] / counts[1]), 4)
        result[f"mode{mode}_silence_kept"] = round(float(counts[2] / counts[3]), 4)
    pairs = np.array([[statistics(take) for take in takes] for takes in recordings])
    others, gallery = pairs[:-GALLERY], pairs[-GALLERY:]
    result["rank1_of_100"] = first_ranked(gallery @ whitener(others))
    result["rank1_of_100_plain"] = first_ranked(gallery)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
