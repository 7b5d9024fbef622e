"""Strangers' recordings through the voices stage: each is kept or dropped for what it is, and costs no neighbour."""

import json
from pathlib import Path

import numpy as np
import pytest

from manifests import table
from manifests.validate import validate_file
from pipeline import speech
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Paths, Row
from stages import voices
from tests.faults import recordings

LEAST_LIKENESS = {"8_bit": 0.95, "8_khz": 0.9, "mp3": 0.9, "m4a": 0.8, "ogg": 0.9}  # correlation of samples; else 0.99
MAX_SHIFT = 2200  # samples of delay that a codec may add


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every recording under a name that says .wav, through the stage with both VADs."""
    folder = tmp_path_factory.mktemp("recordings")
    everything = {"usable": recordings.usable(), "broken": {k: data for k, (data, _) in recordings.broken().items()}}
    for person, files in everything.items():
        (folder / "voices" / person).mkdir(parents=True)
        for name, data in files.items():
            (folder / "voices" / person / f"{name}.wav").write_bytes(data)
    section = {"roots": [str(folder / "voices")], "profiles": ["sf2f", "modern"], "vads": ["sf2f", "modern"]}
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    run_stage(voices.STAGE, Params(paths, Run(buckets=2, max_failed=0.0), {"voices": section}), 1)
    return folder


def rows(project: Path, name: str) -> dict[str, Row]:
    """The rows of a table by the name of their file."""
    found = [row for path in table.shards(project / "data" / name) for row in table.read_rows(path)]
    return {Path(row["source"]).stem: row for row in found}


def test_every_recording_is_accounted_for(project: Path) -> None:
    metrics = json.loads((project / "metrics/voices.json").read_text())
    assert metrics["input"] == len(recordings.usable()) + len(recordings.broken())
    assert metrics["kept"] == len(recordings.usable())
    assert metrics["kept"] + sum(metrics["reasons"].values()) == metrics["input"]
    assert "error" not in metrics["reasons"]
    for path in (project / "data").rglob("*.parquet"):
        assert validate_file(path) == [], path


@pytest.mark.parametrize("name", recordings.broken())
def test_a_broken_recording_is_dropped_for_what_it_is(project: Path, name: str) -> None:
    drop = rows(project, "drops/voices")[name]
    assert drop["reason"] in recordings.broken()[name][1], drop["detail"]
    assert "0x" not in (drop["detail"] or ""), "no address of this run's memory"


@pytest.mark.parametrize("name", recordings.usable())
def test_an_unusual_recording_is_the_same_voice(project: Path, name: str) -> None:
    row = rows(project, "voices")[name]
    assert row["source_duration_s"] == pytest.approx(recordings.SECONDS, abs=0.15)
    samples = speech.decode(recordings.usable()[name], 60.0).samples.astype(np.float64)
    expected = recordings.voice()
    length = 1 << 17
    product = np.fft.irfft(np.fft.rfft(samples, length) * np.conj(np.fft.rfft(expected, length)))
    near = np.concatenate([product[-MAX_SHIFT:], product[:MAX_SHIFT]])
    likeness = near.max() / np.linalg.norm(samples) / np.linalg.norm(expected)
    assert likeness >= LEAST_LIKENESS.get(name, 0.99)
