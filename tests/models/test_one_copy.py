"""Speech2Face's 60 million parameters are in memory once: while a checkpoint is loaded, and while one is written."""

import subprocess
import sys
from pathlib import Path

import pytest

_STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not _STATUS.exists(), reason="no /proc to read the peak of resident memory from")

# A process of its own. Its own peak is VmHWM: getrusage would count what the parent had when it was forked.
_SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import torch

from models import speech2face, state

torch.set_num_threads(1)
do, file = sys.argv[1], Path(sys.argv[2])
settings = replace(
    speech2face.Settings(),
    encoder_channels=(2, 2, 2, 2, 2, 2, 2, 2, 180),
    decoder="plain",
    decoder_channels=(4, 4, 4, 4, 4),
    pixels=32,
)
facts = {
    "experiment": "speech2face", "system": "speech2face", "settings": state.settings_of(settings), "seed": 0,
    "n_identities": 5, "front_end": "wave", "vad": "sf2f",
}

def told(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

if do == "write":
    networks = speech2face.build(settings, 5)
    for network in networks.values():
        network.to(memory_format=torch.channels_last)
    before = told("VmRSS")
    state.save_state(file, state.State(networks), facts)
else:
    before = told("VmRSS")
    networks = state.load_model(file, torch.device("cpu")).networks
    assert all(float(weight.sum()) < 1e9 for network in networks.values() for weight in network.parameters())
print(told("VmHWM") - before, sum(weight.nbytes for network in networks.values() for weight in network.parameters()))
"""


def grown(do: str, file: Path) -> float:
    """How far the memory of a process rises, in copies of the parameters."""
    told = subprocess.run([sys.executable, "-c", _SCRIPT, do, str(file)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    peak, held = map(int, told.stdout.split())
    assert held > 4 * 55_000_000
    return peak / held


@pytest.mark.slow
def test_a_checkpoint_is_written_without_a_copy_and_loaded_as_one(tmp_path: Path) -> None:
    file = tmp_path / "last.safetensors"
    assert grown("write", file) < 0.5
    assert 0.9 < grown("load", file) < 1.5
