"""How long an evaluation takes: 378 people, 10 runs, SF2F at 64 x 64 with its fuser. One JSON line.

    python benchmarks/evaluate.py [--judge dlib | facenet] [--runs 10] [--people 378] [--threads 2] [--device cpu]

Networks of the published sizes with random weights, and so is the judge `facenet`; people of two faces and five
recordings of 6 s each, all random: only the time matters. VGGFace Score and closed set are left out.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from models import data, facenet, judges, listening, metrics, scores, sf2f
from models.judges import Judge
from models.pack import Packed
from models.published import fold
from models.scores import Asked
from models.state import Model

FACES, CLIPS, FRAMES = 2, 5, 600


def corpus(people: int, device: torch.device) -> data.Corpus:
    rng = np.random.default_rng(0)
    clips, each = people * CLIPS, np.arange(people)
    arrays = {
        "mels": rng.normal(11, 3, (clips * FRAMES, sf2f.BANDS)).astype(np.float16),
        "faces": rng.integers(0, 256, (people * FACES, 3, 64, 64), np.uint8),
        "landmarks": np.full((people * FACES, 68, 2), np.nan, np.float32),
        "face_person": each.repeat(FACES),
        "clip_person": each.repeat(CLIPS),
        "clip_start": np.arange(clips) * FRAMES,
        "clip_frames": np.full(clips, FRAMES),
        "clip_mean": np.full((clips, sf2f.BANDS), 11, np.float32),
        "clip_std": np.full((clips, sf2f.BANDS), 3, np.float32),
    }
    names = tuple(map(str, range(people)))
    genders = tuple("mf"[i % 2] for i in range(people))
    return data.load(Packed("test", "sf2f", names, genders, genders, {}, arrays, "", "sf2f"), device)


def system(device: torch.device) -> Model:
    settings = sf2f.Settings()
    networks = sf2f.build(settings, 2890)
    for network in networks.values():
        network.to(device).eval().requires_grad_(False)
    return Model(sf2f, settings, networks, {}, "", sf2f.phases(settings)[-1])


def random_facenet(device: torch.device) -> Judge:
    network = facenet.FaceNet()
    fold(network)
    network.requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    return Judge("facenet, random", "", network, facenet.prepared, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", choices=["dlib", "facenet"], default="dlib")
    for name, value in (("runs", 10), ("people", 378), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    judge = judges.load("dlib", device) if chosen.judge == "dlib" else random_facenet(device)
    people, model = corpus(chosen.people, device), system(device)
    took: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize()
        took[name] = took.get(name, 0.0) + time.perf_counter() - start

    with timed("real_faces_s"):
        real = metrics.embedded(judge, people)
        wanted = metrics.mean_of_each(real, metrics.owners(people), people.n_people)
    places = metrics.galleries(people.n_people, 100, 0)
    asked = Asked(wanted, real, list(people.packed.genders), list(people.packed.nationalities), places, 0)
    for how in listening.default(model, (1.25, 5.0)):
        with timed("generated_faces_s"):
            runs = [listening.hear(model, people, how, judge, (0, run)).embeddings for run in range(chosen.runs)]
        with timed("figures_s"):
            scores.row(asked, runs)
    rounded: dict[str, float] = {name: round(seconds, 1) for name, seconds in took.items()}
    print(json.dumps({"benchmark": "evaluate", **vars(chosen), **rounded, "total_s": round(sum(took.values()), 1)}))


if __name__ == "__main__":
    main()
