"""How long an iteration of every system takes here, and what it computes. One JSON line a phase.

    python benchmarks/steps.py [--experiments NAME ...] [--steps 5] [--device cpu] [--threads 2]

Without names: the small preset of every system, on a GPU the full sizes too. Whole iterations of every phase on
random data; face networks of the losses have random weights, since only the time matters.
"""

import argparse
import json

import torch

from models import bench, system
from models.experiments import EXPERIMENTS, find
from models.setup import Options
from models.system import SYSTEMS

PEOPLE = 64  # random recordings and faces to draw batches from


def presets(full: bool) -> list[str]:
    """The small preset of every system, and with `full` the first experiment of each, which has the paper's sizes."""
    names = []
    for each in SYSTEMS:
        of = [one.name for one in EXPERIMENTS if one.system == each]
        small = [name for name in of if name.endswith("-small")]
        names += [*of[:1], *small] if full or not small else small
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", nargs="*", help="as `models list` names them")
    parser.add_argument("--steps", type=int, default=5, help="iterations that are timed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    for name in options.experiments or presets(full=device.type == "cuda"):
        experiment = find(name)
        people = max(PEOPLE, experiment.settings.batch)
        for phase in system.plan(system.load(experiment.system), experiment.settings):
            plan = bench.Plan(steps=options.steps, warm_up=2, people=people, phase=phase.name)
            measured = bench.measure(experiment, experiment.settings, Options(device), plan)
            print(json.dumps({"benchmark": "steps", **measured}), flush=True)


if __name__ == "__main__":
    main()
