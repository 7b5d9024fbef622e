"""A bench measures whole iterations, and says that the face network of the loss had random weights."""

from dataclasses import replace

import pytest
import torch

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
