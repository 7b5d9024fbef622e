"""What the tests of training share: a drawn manifest, a judge for the loss, and one thread."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import sf2f
from tests.models import drawn


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people to train on, three to validate and two to test, each with two faces and three recordings."""
    return drawn.write_manifest(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a face network with random weights."""
    return drawn.write_judge(tmp_path_factory.mktemp("judge") / "own.safetensors")


@pytest.fixture(scope="session")
def tiny(judge: Path) -> sf2f.Settings:
    """SF2F with all its terms, small enough for seconds."""
    return replace(drawn.SF2F, judge=str(judge))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
