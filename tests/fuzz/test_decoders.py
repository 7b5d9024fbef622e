"""Millions of broken files cannot be listed: the decoders' wrappers against bytes that a search comes up with."""

import importlib.util
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings, target
from hypothesis import strategies as st

from tests.fuzz.decoders import Target, targets

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("pictures", "recordings")
SECONDS, ONE_S, MEMORY_MIB = 60, 10, 3000  # of the search, of one input, of the process


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let this process grow by 2 GiB and no more: a bomb is a MemoryError, not a dead machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def mutated(seed: bytes, edits: list[tuple[float, int, bytes]], cut: float) -> bytes:
    """A seed with bytes overwritten, inserted and removed at places given as shares of its length."""
    data = bytearray(seed)
    for place, removed, put in edits:
        at = int(place * len(data))
        data[at : at + removed] = put
    return bytes(data[: int(cut * len(data)) + 1])


EDITS = st.lists(st.tuples(st.floats(0, 1) | st.floats(0, 0.02), st.integers(0, 8), st.binary(max_size=8)), max_size=6)


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", NAMES)
def test_mutated_files_are_read_or_refused(name: str) -> None:
    chosen: Target = targets()[name]
    seeds = list(chosen.seeds().values())

    @settings(
        max_examples=1500,
        deadline=ONE_S * 1000,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(st.sampled_from(seeds), EDITS, st.just(1.0) | st.floats(0, 1))
    def read_or_refuse(seed: bytes, edits: list[tuple[float, int, bytes]], cut: float) -> None:
        try:
            chosen.look(mutated(seed, edits, cut))
        except chosen.documented as fault:
            event(f"refused: {getattr(fault, 'reason', '')}")
        else:
            target(float(len(edits)), label="edits that the decoder bore")

    read_or_refuse()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="the package atheris is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_a_search_for_new_branches_finds_no_other_exception(tmp_path: Path, name: str) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed, data in targets()[name].seeds().items():
        (corpus / seed).write_bytes(data)
    limits = [f"-max_total_time={SECONDS}", f"-timeout={ONE_S}", f"-rss_limit_mb={MEMORY_MIB}", "-max_len=65536"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.decoders", name, str(corpus), "-seed=1", *limits],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert done.returncode == 0 and not found, f"{found}\n{done.stderr[-3000:]}"
    assert len(list(corpus.iterdir())) > len(targets()[name].seeds()), "the search found new branches"
