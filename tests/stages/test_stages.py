"""What holds for every stage, whatever it does."""

import pickle

import pytest

from stages import STAGES, load


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_can_travel_to_a_worker(name: str) -> None:
    assert pickle.loads(pickle.dumps(load(name))) == load(name)  # our own bytes
