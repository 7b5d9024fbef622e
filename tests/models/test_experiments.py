"""Every row is a published result or a preset, can be built, and differs from the others in what it says."""

from dataclasses import asdict

import pytest
import torch

from manifests.errors import UsageError
from models import system
from models.experiments import EXPERIMENTS, find, parameters

BY_NAME = {one.name: one for one in EXPERIMENTS}


def differs(name: str, base: str = "sf2f-64") -> dict[str, object]:
    settings, other = asdict(BY_NAME[name].settings), asdict(BY_NAME[base].settings)
    return {key: value for key, value in settings.items() if value != other[key]}


def test_names_are_unique_and_systems_known() -> None:
    assert len(BY_NAME) == len(EXPERIMENTS)
    for one in EXPERIMENTS:
        assert one.system in system.SYSTEMS and one.source and one.reproduces
        assert isinstance(one.settings, system.load(one.system).Settings)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_experiment_builds_and_says_its_phases(name: str) -> None:
    module, settings = system.load(BY_NAME[name].system), BY_NAME[name].settings
    with torch.device("meta"):
        networks = system.build(module, settings, 10)
    for phase in system.plan(module, settings):
        assert phase.trained <= networks.keys() and phase.iterations > 0
        assert phase.kind != "windows" or (phase.windows > 0 and phase.stride > 0)


def test_parameter_counts_are_the_published_ones() -> None:
    counts = parameters(find("sf2f-64"))
    assert counts == {
        "encoder": 4_848_192, "decoder": 11_566_083, "fuser": 786_432, "image_64": 659_521, "identity_64": 3_885_707
    }  # fmt: skip
    multi = parameters(find("sf2f-128-multi"))
    assert (multi["decoder"], multi["image_128"], multi["identity_128"]) == (11_577_734, 2_757_953, 6_246_027)
    assert parameters(find("sf2f-128"))["decoder"] == 11_568_387
    paper = parameters(find("sf2f-64-paper"))
    assert (paper["encoder"], paper["decoder"]) == (5_401_664, 11_178_499)
    baseline = parameters(find("voice2face-sf2f"))
    assert (baseline["encoder"], baseline["decoder"], baseline["identity_64"]) == (3_813_952, 19_531_907, 6_274_955)
    assert "image_64" not in baseline


ABLATIONS = {  # Table 7: one part each
    "sf2f-64-no-l1": {"l1": 0.0},
    "sf2f-64-no-gan": {"image_discriminator": "none"},
    "sf2f-64-no-identity": {"identity_discriminator": "none"},
    "sf2f-64-no-perceptual": {"perceptual": 0.0},
    "sf2f-64-baseline-encoder": {"encoder": "cnn"},
    "sf2f-64-baseline-decoder": {"decoder": "deconv"},
}
LENGTHS = {  # Table 4: 100 frames are a second
    "sf2f-64-0.5-1s": (50, 100),
    "sf2f-64-1-1.5s": (100, 150),
    "sf2f-64-1.5-3s": (150, 300),
    "sf2f-64-3-6s": (300, 600),
    "sf2f-64-6-10s": (600, 1000),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_one_part(name: str) -> None:
    assert differs(name) == ABLATIONS[name]


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_of_speech_changes_the_crops(name: str) -> None:
    assert differs(name) == ({} if LENGTHS[name] == (100, 150) else {"frames": LENGTHS[name]})


def test_the_two_readings_are_rows() -> None:
    code, paper = find("sf2f-64").settings, find("sf2f-64-paper").settings
    assert code.iterations + code.settling == 132_000 and (code.fuser_iterations, code.fuser_rate) == (550, 1e-4)
    assert paper.iterations + paper.settling == 120_000 and paper.fuser_iterations == 360
    assert (code.l1, code.image_gan, code.identity, code.perceptual) == (10, 1, 0.05, 100)
    assert differs("sf2f-128-multi")["l1"] == 100
    assert (find("voice2face").settings.iterations, find("voice2face-paper").settings.iterations) == (50_000, 100_000)


def test_an_unknown_experiment_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="no experiment sf3f: expected one of sf2f-64, "):
        find("sf3f")
