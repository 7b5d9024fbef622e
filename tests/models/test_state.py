"""Checkpoints: whole or not at all, loadable without executing anything, and hostile ones refused in words."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from manifests.errors import DataError, Missing
from models import sf2f, state, train
from models.facts import Facts
from models.state import LAST, State
from pipeline.vad import VADS
from tests.models import drawn

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(manifest: Path, tiny: sf2f.Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train.train(out, manifest, drawn.experiment(tiny), tiny, replace(drawn.CPU, validate_every=0))
    return out


def altered(run: Path, out: Path, change: dict[str, Any], drop: tuple[str, ...] = ()) -> Path:
    """The run's last checkpoint with other metadata."""
    tensors, facts = state.read(run / LAST)
    facts = {name: value for name, value in (facts | change).items() if name not in drop}
    save_file(tensors, out / LAST, {"hqvox": json.dumps(facts)})
    return out / LAST


def test_a_checkpoint_is_safetensors_with_json_inside(run: Path) -> None:
    files = sorted(run.glob("*.safetensors"))
    assert {"encoder-decoder", "settling", "fuser", "last"} <= {file.stem for file in files}
    for file in files:
        with safe_open(file, "pt") as held:
            assert list(held.metadata()) == ["hqvox"]
            facts = json.loads(held.metadata()["hqvox"])
        assert facts["vad"] == "sf2f" and facts["front_end"] == "sf2f" and facts["n_identities"] == 6


def test_what_is_loaded_is_what_was_trained(run: Path) -> None:
    model = state.load_model(run, CPU)
    tensors, _ = state.read(run / LAST)
    for name, value in state.weights(model.networks).items():
        assert torch.equal(value, tensors[name])
    assert not any(network.training for network in model.networks.values())
    assert model.facts["experiment"] == "tiny" and len(model.sha256) == 64
    assert all(not weight.requires_grad for network in model.networks.values() for weight in network.parameters())


@pytest.mark.parametrize(("name", "fuses"), [("encoder-decoder", False), ("settling", False), ("fuser", True)])
def test_a_model_fuses_windows_once_it_was_taught_to(run: Path, name: str, fuses: bool) -> None:
    model = state.load_model(run / f"{name}.safetensors", CPU)
    assert (model.fusing is not None) == fuses


def test_a_phase_without_iterations_does_not_count_as_begun(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path
) -> None:
    settings = replace(tiny, iterations=1, settling=0, fuser_iterations=1)
    out = tmp_path / "run"
    train.train(out, manifest, drawn.experiment(settings), settings, replace(drawn.CPU, validate_every=0))
    assert state.load_model(out, CPU).fusing is not None
    assert state.load_model(out / "encoder-decoder.safetensors", CPU).fusing is None


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_file_is_a_data_error(run: Path, tmp_path: Path, share: float) -> None:
    content = (run / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="not a checkpoint"):
        state.load_model(tmp_path / LAST, CPU)


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"{}" * 50, (2**40).to_bytes(8, "little") + b"{}"])
def test_another_file_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(DataError, match="not a checkpoint"):
        state.load_model(tmp_path, CPU)


def test_a_file_without_our_metadata_or_of_another_format_is_a_data_error(run: Path, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / LAST)
    with pytest.raises(DataError, match="not a checkpoint"):
        state.load_model(tmp_path, CPU)
    with pytest.raises(DataError, match="another format"):
        state.load_model(altered(run, tmp_path, {"format": 99}), CPU)


def test_no_checkpoint_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="models train --out"):
        state.load_model(tmp_path, CPU)


SETTINGS = asdict(drawn.SF2F)
HOSTILE: dict[str, dict[str, Any]] = {
    "system of nobody": {"system": "os"},
    "system that is no text": {"system": ["sf2f"]},
    "another system": {"system": "voice2face"},
    "settings that are no settings": {"settings": [1]},
    "an unknown setting": {"settings": SETTINGS | {"payload": "x"}},
    "a setting of another type": {"settings": SETTINGS | {"embedding": "64"}},
    "widths below one": {"settings": SETTINGS | {"encoder_channels": [-8, 8]}},
    "no widths": {"settings": SETTINGS | {"encoder_channels": []}},
    "no sides": {"settings": SETTINGS | {"sides": []}},
    "sides that cannot be": {"settings": SETTINGS | {"sides": [63]}},
    "all memory": {"settings": SETTINGS | {"embedding": 10**9}},
    "all memory, by people": {"n_identities": 10**12},
    "beyond 64 bits": {"n_identities": 10**30},
    "people that are no number": {"n_identities": "6"},
    "no people": {"n_identities": -1},
    "another front end": {"front_end": "../../x"},
    "a place that is none": {"place": 7},
    "a place that is not finite": {"place": {"phase": 0, "iteration": 0, "best": {"cosine": float("nan")}}},
    "a detector of nobody": {"vad": "bogus"},
    "a detector that is no text": {"vad": 3},
    "a judge that is only a name": {"loss_judge": "dlib"},
    "a judge without weights": {"loss_judge": {"name": "dlib"}},
    "a validation judge that is a list": {"validation_judge": ["dlib", "b"]},
    "a window of months": {"settings": SETTINGS | {"window": 10**9}},
    "crops of months": {"settings": SETTINGS | {"frames": [2, 10**9]}},
    "pictures of a million pixels a side": {
        "settings": SETTINGS
        | {
            "sides": [2**20],
            "decoder_channels": [8] * 19,
            "identity_discriminator": "none",
            "image_discriminator": "none",
        }
    },
    "more people than there are": {"n_identities": 10**8},
    "people that are true": {"n_identities": True},
    "a metric in numbers": {"chosen_by": 7},
    "a place before the first": {"place": {"phase": -1, "iteration": 0}},
    "a place in words": {"place": {"phase": "0", "iteration": 0}},
}
FOUND = {
    "a detector of nobody": "facts.vad.*'modern'.*found 'bogus'",
    "a judge that is only a name": "facts.loss_judge.*found 'dlib'",
    "a window of months": "crops of 1000000000 to 1000000000 frames.*60000",
    "more people than there are": "n_identities.*10000000, found 100000000",
    "pictures of a million pixels a side": "1048576 pixels a side, at most 1024",
    "system of nobody": "system 'os': expected one of sf2f, ",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_metadata_is_a_data_error(run: Path, tmp_path: Path, case: str) -> None:
    with pytest.raises(
        DataError, match=FOUND.get(case, "is no checkpoint|holds settings|hears front end|does not fit")
    ) as raised:
        state.load_model(altered(run, tmp_path, HOSTILE[case]), CPU)
    assert len(str(raised.value)) < 1000


def test_what_is_accepted_is_what_there_is() -> None:
    """The list is written out in `models.facts`, as the detectors' libraries are not there where models train."""
    assert set(get_args(get_type_hints(Facts)["vad"])) == set(VADS)


def test_metadata_nested_without_end_are_a_data_error(run: Path, tmp_path: Path) -> None:
    tensors, _ = state.read(run / LAST)
    save_file(tensors, tmp_path / LAST, {"hqvox": "[" * 100_000})
    with pytest.raises(DataError, match="not a checkpoint"):
        state.load_model(tmp_path, CPU)


@pytest.mark.parametrize(
    "name", ["system", "settings", "place", "n_identities", "front_end", "vad", "experiment", "seed"]
)
def test_metadata_that_lack_a_fact_are_a_data_error(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"does not say its {name}"):
        state.load_model(altered(run, tmp_path, {}, (name,)), CPU)


def test_tensors_of_another_type_or_shape_are_a_data_error(run: Path, tmp_path: Path) -> None:
    tensors, facts = state.read(run / LAST)
    name = next(key for key in tensors if key.startswith("network/encoder/") and tensors[key].dim() == 3)
    for wrong in (tensors[name].double(), tensors[name][1:]):
        state.write(tmp_path / LAST, tensors | {name: wrong}, facts)
        with pytest.raises(DataError, match="does not fit network encoder"):
            state.load_model(tmp_path, CPU)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / LAST
    state.write(path, {"x": torch.ones(3)}, {"n": 1})
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.write(path, {"x": torch.zeros(3)}, {"n": 2})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_is_the_same_file_or_a_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(state.os, "link", unknown)
    for value in (1.0, 2.0):  # over what was there
        state.write(tmp_path / "phase", {"x": torch.full((3,), value)}, {"n": 1})
        state.name_too(tmp_path / "phase", tmp_path / LAST)
        assert (tmp_path / LAST).read_bytes() == (tmp_path / "phase").read_bytes()
        assert (tmp_path / LAST).samefile(tmp_path / "phase") == links
    state.write(tmp_path / LAST, {"x": torch.zeros(3)}, {"n": 2})
    assert float(state.read(tmp_path / "phase")[0]["x"][0]) == 2.0
    assert {path.name for path in tmp_path.iterdir()} == {"phase", LAST}


def test_only_a_run_that_can_go_on_keeps_its_moments(run: Path) -> None:
    def kinds(name: str) -> set[str]:
        return {key.split("/")[0] for key in state.read(run / f"{name}.safetensors")[0]}

    assert kinds("encoder-decoder") == kinds("settling") == {"network", "optimiser"}
    assert kinds("fuser") == kinds("last") == {"network"}


def test_what_no_file_holds_is_there_after_loading(run: Path) -> None:
    """A decoder's constants are not in the checkpoint: they are made anew, and nothing is left without memory."""
    model = state.load_model(run, CPU)
    held = {key for network in model.networks.values() for key in network.state_dict()}
    buffers = {
        f"{name}/{key}": buffer for name, network in model.networks.items() for key, buffer in network.named_buffers()
    }
    constants = {key: buffer for key, buffer in buffers.items() if key.partition("/")[2] not in held}
    assert constants and not any(buffer.is_meta for buffer in buffers.values())
    fresh = sf2f.build(model.settings, model.facts["n_identities"])
    for key, buffer in constants.items():
        name, _, place = key.partition("/")
        assert torch.equal(buffer, fresh[name].get_buffer(place)), key


def test_moments_come_back_bit_for_bit(tmp_path: Path) -> None:
    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return network, torch.optim.Adam(network.parameters(), 1e-2, fused=True)

    def move(network: torch.nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
        optimiser.zero_grad()
        network(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))).square().mean().backward()
        optimiser.step()

    network, optimiser = made()
    move(network, optimiser, 1)
    state.save_state(tmp_path / LAST, State({"n": network}, {"o": optimiser}), {})
    tensors, facts = state.read(tmp_path / LAST)
    again, fresh = made()
    state.restore(tmp_path / LAST, State({"n": again}), tensors, facts)
    state.restore_optimiser("o", fresh, tensors)
    for seed in (2, 3):
        move(network, optimiser, seed)
        move(again, fresh, seed)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
