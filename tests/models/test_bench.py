"""A bench measures whole iterations, and says that the face network of the loss had random weights."""

from dataclasses import replace

import pytest
import torch

from manifests.errors import UsageError
from models.bench import Plan, measure
from models.experiments import find
from models.setup import Options


@pytest.mark.parametrize("name", ["sf2f-small", "voice2face-small"])
def test_a_bench_tells_time_and_rate(name):
    experiment = find(name)
    settings = replace(experiment.settings, batch=4)
    measured = measure(experiment, settings, Options(torch.device("cpu")), Plan(steps=2, warm_up=1, people=6))
    assert measured["samples_per_s"] == pytest.approx(4 / measured["seconds_per_iteration"])
    assert measured["tera_operations_per_iteration"] > 0
    assert 0 < measured["share_of_matmul_rate"] < 2
    assert measured["loss_judge"] in (None, "dlib, random weights")


def test_any_phase_can_be_timed():
    experiment = find("i2g-small")
    settings = replace(experiment.settings, batch=2, matching_batch=3, candidates=3)
    plan = Plan(steps=1, warm_up=0, people=6, phase="gan")
    measured = measure(experiment, settings, Options(torch.device("cpu")), plan)
    assert measured["phase"] == "gan"
    assert measured["batch"] == 4  # two steps of the discriminator
    with pytest.raises(UsageError, match="no phase drawing: expected one of matching, gan"):
        measure(experiment, settings, Options(torch.device("cpu")), replace(plan, phase="drawing"))
