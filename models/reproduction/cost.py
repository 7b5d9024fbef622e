"""What systems cost: parameters of each network, operations and seconds of an iteration, time of a whole training."""

from dataclasses import replace

from models import bench
from models.experiments import parameters
from models.reproduction.budgets import planned
from models.reproduction.entry import Entry, Found, Line, Table
from models.reproduction.lab import Lab
from models.setup import Options

_WARM_UP = 1  # iterations
METRICS = ("parameters", "tera_operations", "step_s", "training_s", "training_h")


def costs(lab: Lab, entry: Entry) -> Found:
    """One line a member, and one for each of its networks; operations are those of one iteration of the first phase."""
    ours = []
    for member in entry.members:
        experiment, settings = planned(member, lab.budget)
        timed = bench.Plan(steps=lab.spending.runs, warm_up=_WARM_UP, people=max(settings.batch, 2))
        measured = bench.measure(experiment, settings, Options(lab.device), timed)
        sizes = parameters(replace(experiment, settings=settings))
        seconds = lab.training_seconds(member)
        whole = {
            "parameters": float(sum(sizes.values())),
            "tera_operations": measured["tera_operations_per_iteration"],
            "step_s": measured["seconds_per_iteration"],
            "training_s": seconds,
            "training_h": seconds / 3600,
        }
        ours.append(Line(member.name, whole))
        ours += [Line(f"{member.name}: {name}", {"parameters": float(size)}) for name, size in sizes.items()]
    return Found((Table(entry.asks, METRICS, tuple(ours), entry.published, entry.claims),))
