"""Do the small presets of the field's other generators learn? Trains and scores them on the synthetic world.

    python -m benchmarks.generators --out DIR [--people 1000] [--only i2g-small]

Each also on pairs of strangers' voices and faces. Prints one JSON line: Recall@10 of unseen people, CPU minutes; and
how far the true traits of a voice lead among the features that Speech2Face and AR-SPM predict. The same command goes on
where a stopped one was, and makes nothing twice; `benchmarks/proof.py --out DIR` shares world and judges.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.proof import (
    CPU,
    JUDGES,
    RIDGE,
    corpus_of,
    face_judges,
    recalled,
    scored,
    shuffled,
    summary,
    trained,
    traits,
    world,
)
from models import face_features, judges, metrics, pretrain_face, system
from models.data import Corpus
from models.experiments import find
from models.face_features import FaceFeatures

GENERATORS = ("speech2face-small", "ar-spm-small", "i2g-small", "wav2pix-small")
KINDS = ("true", "shuffled")  # pairs


def told_by_traits(features: FaceFeatures, manifest: Path) -> dict[str, float]:
    """Recall@10 of unseen people's features as a ridge regression on the true traits of their voices expects them.

    What a network that predicts features can reach where it hears a voice's traits without error, and linearly.
    """
    known, test = (corpus_of(manifest, split, "sf2f", pretrain_face.FRAME) for split in ("train", "test"))
    x, y = torch.from_numpy(traits(known)), _means(features, known).double()
    mean, scale, centre = x.mean(dim=0), x.std(dim=0), y.mean(dim=0)
    x = (x - mean) / scale
    slopes = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]), x.T @ (y - centre))
    expected = (torch.from_numpy(traits(test)) - mean) / scale @ slopes + centre
    found = recalled([expected.float()], _means(features, test), list(test.packed.genders))
    return {kind: sum(values) / len(values) for kind, values in found.items()}


def _means(features: FaceFeatures, corpus: Corpus) -> Tensor:
    """Mean features of each person."""
    return metrics.mean_of_each(features.of_all(corpus.faces), metrics.owners(corpus), corpus.n_people, False)


def prove(out: Path, people: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Everything, as JSON holds it. Shuffled or not, unseen people are those of the true manifest."""
    manifest = world(out / "world", people)
    of_kind = dict(zip(KINDS, (manifest, shuffled(manifest)), strict=True))
    files = face_judges(out / "judges", manifest)
    features = out / "judges" / "own-vgg-a.safetensors"
    pretrain_face.train(features, manifest, "a", pretrain_face.SMALL_VGG, CPU)
    told = told_by_traits(face_features.load(str(features), CPU), manifest)
    report: dict[str, Any] = {"benchmark": "generators", "people": people, "features_told_by_traits": told}
    for name in names:
        changes = [f"features={features}"] if system.needs_features(find(name).settings) else []
        runs = {kind: trained(out / f"{name}-{kind}", of_kind[kind], name, 0, changes) for kind in KINDS}
        report[name] = {
            kind: {
                judge: summary([scored(run, manifest, judges.load(_file(judge, files["b"]), CPU))]) for judge in JUDGES
            }
            | {"cpu_minutes": json.loads((run / "minutes.json").read_text(encoding="utf-8"))}
            for kind, run in runs.items()
        }
    return report


def _file(judge: str, own: Path) -> str:
    return str(own) if judge == "own-b" else judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=GENERATORS, default=GENERATORS)
    given = parser.parse_args()
    print(json.dumps(prove(given.out, given.people, tuple(given.only))))


if __name__ == "__main__":
    main()
