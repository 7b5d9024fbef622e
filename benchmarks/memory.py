"""How much memory each stage needs at its peak, for few and for many pictures. One JSON line.

    python benchmarks/memory.py [--pictures 1000 20000]

One drawn portrait stands for every picture: the networks are loaded and asked once per stage, then their answer is
repeated, so that rows, payload and files are as many and as large as they claim while the hours of inference are
left out. Five pictures and one recording a person, 125 pictures per shard whatever the number of pictures. Each stage
runs alone in a process of its own; `mib` is the largest resident memory it ever had.
"""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline import engine
from pipeline.settings import Params, Run
from pipeline.stage import Paths, Row, RowStage
from stages import STAGES, load

PICTURES_PER_PERSON = 5
PICTURES_PER_SHARD = 125


def draw(folder: Path, pictures: int) -> None:
    """Photographs and recordings on disk: `faces/<person>/*` and `voices/<person>/*`."""
    import soundfile

    from pipeline.images import encode_jpeg
    from pipeline.world.faces import photograph
    from pipeline.world.scene import Scene
    from pipeline.world.traits import draw_person
    from pipeline.world.vocal_tract import RATE
    from pipeline.world.voices import speak

    portrait = encode_jpeg(photograph(draw_person(7, 0), Scene(seed=3, yaw_deg=1.0, pupil_px=75.0)).pixels)
    speech = speak(draw_person(7, 0), 0, 2.0).samples
    for person in range(pictures // PICTURES_PER_PERSON):
        name = f"person{person:06d}"
        for kind in ("faces", "voices"):
            (folder / kind / name).mkdir(parents=True)
        for number in range(PICTURES_PER_PERSON):
            # What follows the end of a JPEG is ignored: it makes the copies differ.
            (folder / "faces" / name / f"{number}.jpg").write_bytes(portrait + bytes([number]))
        soundfile.write(folder / "voices" / name / "0.wav", speech, RATE)


def settings(folder: Path, pictures: int) -> Params:
    """The defaults, with every limit wide enough for the portrait."""
    paths = Paths(*(folder / name for name in ("data", "reports", "metrics", "review")))
    sections: dict[str, dict[str, Any]] = {
        "crawl": {"source": "folder", "folder": str(folder / "faces")},
        "landmarks": {
            "max_yaw_deg": 20.0,
            "max_pitch_deg": 20.0,
            "max_light_imbalance": 5.0,
            "max_light_contrast": 5.0,
        },
        "identity": {"enabled": False},  # all people share one portrait
        "emotion": {"enabled": False},
        "voices": {"roots": [str(folder / "voices")]},
    }
    return Params(paths, Run(buckets=max(1, pictures // PICTURES_PER_SHARD)), sections)


def asked_once(stage: RowStage) -> RowStage:
    """The stage with a network, and a picture, that are for every row what they were for the first."""
    answers: dict[str, Row] = {}

    def score(row: Row, scoring: Any) -> Row:
        if "score" not in answers:
            answers["score"] = stage.score(row, scoring)
        return answers["score"]

    def render(row: Row, scores: Row, limits: Any) -> Row:
        assert stage.render is not None, stage.name
        if "render" not in answers:
            answers["render"] = stage.render(row, scores, limits)
        # A copy of every byte string, as if each row had made its own.
        return {k: bytes(bytearray(v)) if isinstance(v, bytes) else v for k, v in answers["render"].items()}

    return replace(stage, score=score, render=render if stage.render else None)


def peak_mib(name: str, params: Params) -> int:
    """Run a stage in this process; the largest resident memory it has had, in MiB."""
    engine.pin_threads()
    from pipeline.run import run_stage

    stage = load(name)
    summary = run_stage(asked_once(stage) if isinstance(stage, RowStage) else stage, params, workers=1)
    assert summary is None or summary.kept, summary
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def measure(pictures: int) -> dict[str, int]:
    """Peak memory of every stage on that many pictures, MiB."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), pictures)
        params = settings(Path(folder), pictures)
        for name in STAGES:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                peaks[name] = alone.submit(peak_mib, name, params).result()
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 20_000])
    options = parser.parse_args()
    mib = {str(pictures): measure(pictures) for pictures in options.pictures}
    print(json.dumps({"benchmark": "memory", "pictures_per_shard": PICTURES_PER_SHARD, "mib": mib}))


if __name__ == "__main__":
    main()
