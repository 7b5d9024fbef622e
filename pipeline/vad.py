"""Find the voiced parts of a recording, exactly as each system's authors do, or better (`modern`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from pipeline import vad_modern

Samples = NDArray[np.int16]
Segments = list[tuple[int, int]]  # start and end, samples

_RATE = 16_000  # Hz


@dataclass(frozen=True, slots=True)
class Collector:
    """WebRTC's detector and the ring of frames that turns its verdicts into segments.

    A segment begins when all frames of a full ring are voiced and ends when all are unvoiced; the ring itself is
    kept both times. All published systems leave out the last frame of a recording, even a complete one.
    """

    aggressiveness: int  # 0 to 3, WebRTC's mode
    frame_ms: int  # 10, 20 or 30
    padding_ms: int  # length of the ring; rounded down to whole frames
    asks_again: bool = False  # every new frame puts the whole ring to the detector again; it has a memory


COLLECTORS = {
    "sf2f": Collector(aggressiveness=1, frame_ms=30, padding_ms=300),
    "voice2face": Collector(aggressiveness=2, frame_ms=20, padding_ms=50, asks_again=True),
}
VADS = (*COLLECTORS, "modern")


def segments(samples: Samples, vad: str) -> Segments:
    """Voiced segments of 16 kHz mono samples, in order, none overlapping; `vad` is one of VADS."""
    return vad_modern.segments(samples) if vad == "modern" else collect(samples, COLLECTORS[vad])


def voiced(samples: Samples, spans: Sequence[tuple[int, int]]) -> Samples:
    """The segments joined end to end, without gap or cross-fade."""
    if not spans:
        return np.empty(0, np.int16)
    return np.concatenate([samples[start:end] for start, end in spans])


def collect(samples: Samples, how: Collector) -> Segments:
    """Voiced segments by WebRTC and a ring of frames."""
    length = _RATE * how.frame_ms // 1000
    count = max(0, (len(samples) - 1) // length)  # the frame that touches the end is dropped
    ring = how.padding_ms // how.frame_ms
    switches = _ask_again if how.asks_again else _ask_once
    edges = switches(_detector(samples, length, how.aggressiveness), count, ring)
    if len(edges) % 2:
        edges.append(count)
    return [(start * length, end * length) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _detector(samples: Samples, length: int, aggressiveness: int) -> Callable[[int], bool]:
    """Frame number -> voiced; stateful, so the order of questions matters."""
    vad = webrtcvad.Vad(aggressiveness)
    pcm = samples.astype("<i2", copy=False).tobytes()
    step = 2 * length

    def ask(frame: int) -> bool:
        return bool(vad.is_speech(pcm[frame * step : (frame + 1) * step], _RATE, length))

    return ask


def _ask_once(ask: Callable[[int], bool], count: int, ring: int) -> list[int]:
    """Frames at which voiced parts begin and end: begin, end, begin ..."""
    edges: list[int] = []
    inside, run = False, 0  # run: frames in a row that contradict the present state
    for frame in range(count):
        run = run + 1 if ask(frame) != inside else 0
        if run == ring:
            edges.append(frame + 1 if inside else frame + 1 - ring)
            inside, run = not inside, 0
    return edges


def _ask_again(ask: Callable[[int], bool], count: int, ring: int) -> list[int]:
    """As `_ask_once`, for the collector that puts every frame of the ring to the detector again."""
    edges: list[int] = []
    inside, since = False, 0  # since: first frame after the last switch
    for frame in range(count):
        verdicts = [ask(earlier) for earlier in range(max(since, frame + 1 - ring), frame + 1)]
        if len(verdicts) == ring and all(verdict != inside for verdict in verdicts):
            edges.append(frame + 1 if inside else frame + 1 - ring)
            inside, since = not inside, frame + 1
    return edges
