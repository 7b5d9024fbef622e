"""What each of the processes of `test_ddp.py` runs: train, then write down the digests of its own weights.

Arguments: the run's folder, the manifest, the judge, the system (sf2f or voice2face), a checkpoint to start from or -.
"""

import json
import os
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import torch

from models import sf2f, train, voice2face
from models.system import Batch, Losses, Step
from tests.models import drawn


def main(out: Path, manifest: Path, judge: str, name: str, start: str) -> None:
    torch.set_num_threads(1)
    module = {"sf2f": sf2f, "voice2face": voice2face}[name]
    settings = replace(drawn.SF2F, judge=judge) if name == "sf2f" else replace(drawn.VOICE2FACE, embedding_noise=0.0)
    real, steps, told = module.update, [], []

    def update(step: Step, batch: Batch) -> Losses:
        steps.append(step)
        if name == "voice2face":  # each process flips for itself: these faces are their own mirror images
            batch = replace(batch, face=(batch.face + batch.face.flip(-1)) / 2)
        losses = real(step, batch)
        told.append({key: float(value) for key, value in losses.items()})
        return losses

    module.update = update
    options = replace(drawn.CPU, start=None if start == "-" else Path(start))
    try:
        train.train(out, manifest, drawn.experiment(settings), settings, options)
    finally:
        module.update = real
    weights = {
        n: sha256(b"".join(w.detach().contiguous().numpy().tobytes() for w in network.parameters())).hexdigest()
        for n, network in steps[-1].networks.items()
    }
    rank = os.environ.get("RANK", "0")
    (out.parent / f"rank{rank}.json").write_text(json.dumps({"losses": told, "weights": weights}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
