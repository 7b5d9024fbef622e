"""The loop: resumed runs end in the same bytes, frozen means frozen, and everything that can go wrong says so."""

import copy
import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from manifests import weights
from manifests.errors import DataError, Missing, UsageError
from models import judges, sf2f, speech2face, state, system, train, vggface, voice2face
from models.experiments import find
from models.priors import Priors
from models.setup import Options
from models.state import LAST
from models.system import Batch, Losses, Step
from models.validate import Validation
from tests.models import drawn, featured
from tests.models.drawn import CPU, Sketch, experiment, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread")
AVERAGED = replace(CPU, average=0.9, save_every=3, validate_every=2)
QUIET = replace(CPU, validate_every=0)
Update = Callable[[Step, Batch], Losses]


def run(out: Path, manifest: Path, settings: Any, options: Options = QUIET) -> Path:
    return train.train(out, manifest, experiment(settings), settings, options)


def contents(out: Path) -> dict[str, Any]:
    """Every byte of a run, but for the speeds in its log and the lock."""
    held: dict[str, Any] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in (".lock", "log.jsonl")
    }
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return held | {"log": [{k: v for k, v in line.items() if k not in ("samples_per_s", "seconds")} for line in lines]}


def check_same(out: Path, other: Path) -> None:
    one, two = contents(out), contents(other)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def interrupted(monkeypatch: pytest.MonkeyPatch, at: int, module: Any = sf2f) -> None:
    """The next training stops before iteration `at`, counted over all phases from 1."""
    real, done = module.update, [0]

    def update(step: Step, batch: Batch) -> Losses:
        done[0] += 1
        if done[0] == at:
            raise KeyboardInterrupt
        losses: Losses = real(step, batch)
        return losses

    monkeypatch.setattr(module, "update", update)


@pytest.fixture(scope="module")
def whole(manifest: Path, tiny: sf2f.Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 + 2 + 2 iterations that nothing interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole") / "run"
    run(out, manifest, tiny, AVERAGED)
    return out


def test_a_run_leaves_what_it_says(whole: Path) -> None:
    assert {"run.json", "last.safetensors", "fuser.safetensors", "best-cosine.safetensors"} <= set(contents(whole))
    assert "samples/fuser-0000002.png" in contents(whole)
    _, facts = state.read(whole / LAST)
    assert facts["place"]["phase"] == 3 and facts["place"]["iteration"] == 0 and facts["place"]["skipped"] == 0


def test_the_same_command_makes_the_same_bytes(
    whole: Path, manifest: Path, tiny: sf2f.Settings, tmp_path: Path
) -> None:
    run(tmp_path / "run", manifest, tiny, AVERAGED)
    check_same(tmp_path / "run", whole)
    run(tmp_path / "run", manifest, tiny, AVERAGED)  # done already: nothing changes
    check_same(tmp_path / "run", whole)


@pytest.mark.parametrize("at", [2, 4, 5, 6, 8])
def test_a_resumed_run_ends_in_the_same_bytes(
    whole: Path, manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Stopped within a phase, where the moments go on, and between phases."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupted(patch, at)
        with pytest.raises(KeyboardInterrupt):
            run(out, manifest, tiny, AVERAGED)
    run(out, manifest, tiny, AVERAGED)
    check_same(out, whole)


def test_phases_one_by_one_are_the_run_in_one(whole: Path, manifest: Path, tiny: sf2f.Settings, tmp_path: Path) -> None:
    for until in ("encoder-decoder", "settling", "fuser"):
        run(tmp_path / "run", manifest, tiny, replace(AVERAGED, until=until))
    check_same(tmp_path / "run", whole)


def test_voice2face_resumes_too(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "speaker", manifest, drawn.SPEAKER)
    options = replace(CPU, start=tmp_path / "speaker", validate_every=2)
    run(tmp_path / "whole", manifest, drawn.VOICE2FACE, options)
    with monkeypatch.context() as patch:
        interrupted(patch, 3, voice2face)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", manifest, drawn.VOICE2FACE, options)
    run(tmp_path / "parts", manifest, drawn.VOICE2FACE, replace(options, start=None))  # it holds its encoder by now
    check_same(tmp_path / "parts", tmp_path / "whole")
    pretrained, trained = (state.read(tmp_path / name / LAST)[0] for name in ("speaker", "whole"))
    names = [name for name in trained if name.startswith("network/encoder/")]
    assert names and all(torch.equal(trained[name], pretrained[name]) for name in names)  # frozen is frozen


def _train_in_child(out: Path, manifest: Path, settings: sf2f.Settings, begun: Any) -> None:
    torch.set_num_threads(1)
    begun.set()
    run(out, manifest, settings, AVERAGED)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_from_a_whole_checkpoint(
    whole: Path, manifest: Path, tiny: sf2f.Settings, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.train", "models.sf2f", "models.judges"])
    out, rng, killed = tmp_path / "run", np.random.default_rng(5), 0
    for wait_s in [*rng.uniform(0.05, 1.2, 5), None]:
        begun = context.Event()
        child = context.Process(target=_train_in_child, args=(out, manifest, tiny, begun))
        child.start()
        assert begun.wait(120)
        if wait_s is not None:
            time.sleep(wait_s)
            os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        killed += child.exitcode == -signal.SIGKILL
        for path in out.glob("*.safetensors"):
            state.read(path)
    assert child.exitcode == 0 and killed >= 2
    check_same(out, whole)


OTHERS: dict[str, Callable[[sf2f.Settings], tuple[sf2f.Settings, Options]]] = {
    "settings.rate": lambda s: (replace(s, rate=1e-3), QUIET),
    "seed": lambda s: (s, replace(QUIET, seed=1)),
    "average": lambda s: (s, replace(QUIET, average=0.5)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_does_not_go_on_in_its_folder(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, what: str
) -> None:
    short = replace(tiny, iterations=1, settling=0, fuser_iterations=0)
    run(tmp_path, manifest, short)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=f"holds another run: {what} differ"):
        settings, options = OTHERS[what](short)
        run(tmp_path, manifest, settings, options)
    with pytest.raises(UsageError, match="experiment"):
        train.train(tmp_path, manifest, experiment(short, "other"), short, QUIET)
    other = write_manifest(tmp_path / "data", Sketch(seed=1))
    with pytest.raises(UsageError, match="manifest"):
        run(tmp_path, other, short)
    after = contents(tmp_path)
    assert {k: v for k, v in after.items() if not k.startswith("data")} == before


def test_a_folder_in_use_is_refused(manifest: Path, tiny: sf2f.Settings, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(UsageError, match="in use"):
        run(tmp_path, manifest, tiny)


def test_frozen_networks_keep_weights_and_statistics(whole: Path) -> None:
    stages = [state.read(whole / f"{name}.safetensors")[0] for name in ("encoder-decoder", "settling", "fuser")]
    first, settled, fused = stages

    def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], names: list[str]) -> set[bool]:
        assert names
        return {torch.equal(one[name], other[name]) for name in names}

    voice = [n for n in first if n.startswith(("network/encoder", "network/decoder"))]
    norms = [n for n in voice if n.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert same(first, settled, norms) == {True}  # the settling keeps the norms, and moves the rest
    assert same(first, settled, [n for n in voice if n not in norms and n.endswith("weight")]) == {False}
    assert same(settled, fused, voice) == {True}  # stage 2 moves neither
    assert same(first, settled, [n for n in first if n.startswith("network/fuser")]) == {True}
    assert same(settled, fused, [n for n in first if n.startswith("network/fuser")]) == {False}
    assert same(settled, fused, ["network/image_64/layers.0.weight", "network/identity_64/hidden.weight"]) == {False}


def test_the_loop_sets_the_rate_and_goes_on_with_moments(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = sf2f.update, []

    def update(step: Step, batch: Batch) -> Losses:
        told = {}
        for name, optimiser in step.optimisers.items():
            steps = {float(s["step"]) for s in optimiser.state.values()}
            told[name] = optimiser.param_groups[0]["lr"], steps
        seen.append(told)
        return real(step, batch)

    monkeypatch.setattr(sf2f, "update", update)
    run(tmp_path / "run", manifest, tiny)
    rates = [told["generator"][0] for told in seen]
    assert rates == pytest.approx([5e-4] * 4 + [5e-4, 5e-7] + [1e-4] * 2)
    assert [told["identity_64"][0] for told in seen] == pytest.approx([5e-4] * 6 + [1e-4] * 2)
    assert seen[4]["image_64"][1] == {4.0} and seen[4]["generator"][1] == set()  # new moments for the generator alone
    assert all(steps == set() for _, steps in seen[6].values())


def broken_at(monkeypatch: pytest.MonkeyPatch, moments: set[int]) -> None:
    real, done = sf2f.update, [0]

    def update(step: Step, batch: Batch) -> Losses:
        done[0] += 1
        broken = done[0] in moments
        return real(step, replace(batch, mel=torch.full_like(batch.mel, torch.nan)) if broken else batch)

    monkeypatch.setattr(sf2f, "update", update)


def test_an_iteration_that_is_not_finite_is_skipped_counted_and_leaves_no_trace(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(tiny, settling=0, fuser_iterations=0)
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "two", manifest, short)
    broken_at(monkeypatch, {3})
    three = replace(short, iterations=3, settling=1)  # a run that is not finished keeps its moments
    run(tmp_path / "three", manifest, three, replace(QUIET, until="encoder-decoder"))
    before, _ = state.read(tmp_path / "two" / LAST)
    after, facts = state.read(tmp_path / "three" / LAST)
    assert facts["place"]["skipped"] == 1
    held = [name for name in before if not name.endswith("num_batches_tracked")]  # which nothing reads
    assert [name for name in held if not torch.equal(before[name], after[name])] == []
    lines = [json.loads(line) for line in (tmp_path / "three" / "log.jsonl").read_text().splitlines()]
    assert [line["not_finite"] for line in lines] == [0, 0, 1]


def test_past_the_limit_the_run_ends(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at(monkeypatch, {2, 3})
    with pytest.raises(DataError, match=r"2 iterations.*limit 1.*rate") as raised:
        run(tmp_path / "run", manifest, tiny, replace(QUIET, max_skipped=1))
    assert raised.value.exit_code == 3
    _, facts = state.read(tmp_path / "run" / LAST)
    assert facts["place"]["iteration"] == 2 and facts["place"]["skipped"] == 1


def test_the_average_follows_the_weights(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(tiny, iterations=3, settling=0, fuser_iterations=0)
    real, seen = sf2f.update, []

    def update(step: Step, batch: Batch) -> Losses:
        weight = next(step.networks["decoder"].parameters())
        if not seen:
            seen.append(weight.detach().clone())
        losses = real(step, batch)
        seen.append(weight.detach().clone())
        return losses

    monkeypatch.setattr(sf2f, "update", update)
    run(tmp_path / "run", manifest, short, replace(QUIET, average=0.75))
    average = seen[0]
    for weight in seen[1:]:
        average = 0.75 * average + 0.25 * weight
    model = state.load_model(tmp_path / "run", torch.device("cpu"))
    torch.testing.assert_close(next(model.networks["decoder"].parameters()), average)
    assert not torch.equal(average, seen[-1])


def test_the_average_of_a_network_without_weights_is_what_it_holds() -> None:
    """AR-SPM's priors are such a network: nothing is trained in it, and nothing may stop at it."""
    now = state.State({"priors": Priors(4), "norm": torch.nn.BatchNorm1d(2)})
    now.average = copy.deepcopy(now.networks)
    for network in now.networks.values():
        for held in (*network.parameters(), *network.buffers()):
            held.data.add_(1)
    train._follow(now, 0.75)
    priors, norm = now.average["priors"].state_dict(), now.average["norm"].state_dict()
    assert all(torch.equal(value, torch.ones(4)) for value in priors.values()) and len(priors) == 3
    assert norm["weight"].tolist() == [1.25, 1.25] and norm["running_mean"].tolist() == [1.0, 1.0]
    assert int(norm["num_batches_tracked"]) == 1


def test_best_checkpoints_are_those_of_the_best_moment(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(tiny, settling=0, fuser_iterations=0)
    scripted = iter([(0.1, 5.0), (0.7, 4.0), (float("nan"), 3.0), (0.6, 9.0), (0.9, 9.0)])

    def measure(*_: Any) -> tuple[dict[str, float], torch.Tensor]:
        cosine, distance = next(scripted)
        return {"cosine": cosine, "l1": distance}, torch.zeros(2, 1, 3, 8, 8)

    monkeypatch.setattr(Validation, "measure", measure)
    run(tmp_path / "run", manifest, short, replace(CPU, validate_every=1))
    chosen = {name: state.read(tmp_path / "run" / f"best-{name}.safetensors")[1] for name in ("cosine", "l1")}
    assert {name: facts["place"]["iteration"] for name, facts in chosen.items()} == {"cosine": 2, "l1": 3}
    assert chosen["l1"]["chosen_by"] == "l1"
    assert state.load_model(tmp_path / "run" / "best-l1.safetensors", torch.device("cpu")).networks


@pytest.fixture
def other_judge(tmp_path: Path) -> str:
    return str(drawn.write_judge(tmp_path / "judges" / "other.safetensors", seed=8))


def test_what_is_best_is_told_with_the_judge_that_says_so(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, other_judge: str
) -> None:
    short = replace(tiny, iterations=2, settling=0, fuser_iterations=0)
    for name, options, file in (
        ("loss", CPU, short.judge), ("other", replace(CPU, validation_judge=other_judge), other_judge)
    ):  # fmt: skip
        run(tmp_path / name, manifest, short, options)
        wanted = {"name": "own-a", "sha256": weights.sha256_of(Path(file))}
        for path in (tmp_path / name).glob("best-*.safetensors"):
            assert state.read(path)[1]["validation_judge"] == wanted
        told = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        assert [line["validation_judge"] for line in told if "validation" in line] == [wanted]


def test_a_run_does_not_go_on_with_another_validation_judge(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, other_judge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(tiny, settling=0, fuser_iterations=0)
    out, other = tmp_path / "run", replace(CPU, validation_judge=other_judge)
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(out, manifest, short, CPU)
    with pytest.raises(UsageError, match=r"validation_judge differ.*--validation-judge"):
        run(out, manifest, short, other)
    run(out, manifest, short, replace(CPU, validation_judge=short.judge))  # the same by its name


def test_a_run_that_does_not_name_its_validation_judge_chooses_its_best_anew(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    short, out = replace(tiny, settling=0, fuser_iterations=0), tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(out, manifest, short, CPU)
    tensors, facts = state.read(out / LAST)
    assert facts["place"]["best"]
    facts["place"]["best"] = dict.fromkeys(facts["place"]["best"], 1e9)  # unbeatable
    del facts["validation_judge"]
    state.write(out / LAST, tensors, facts)
    run(out, manifest, short, CPU)
    assert "by which judge its best checkpoints were chosen: chosen anew" in capsys.readouterr().err
    assert all(value < 1e9 for value in state.read(out / LAST)[1]["place"]["best"].values())


def test_a_validation_judge_for_what_makes_no_faces_is_refused(manifest: Path, judge: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="makes no faces"):
        run(tmp_path / "run", manifest, drawn.SPEAKER, replace(CPU, validation_judge=str(judge)))


def test_a_run_of_before_a_setting_was_added_goes_on(manifest: Path, tiny: sf2f.Settings, tmp_path: Path) -> None:
    """With the default of the new setting, which does what was done before; with another value it is another run."""
    short, out = replace(tiny, iterations=1, settling=0, fuser_iterations=1), tmp_path / "run"
    run(out, manifest, short, replace(QUIET, until="encoder-decoder"))
    tensors, facts = state.read(out / LAST)
    del facts["settings"]["contrast"]
    state.write(out / LAST, tensors, facts)
    with pytest.raises(UsageError, match=r"settings\.contrast differ"):
        run(out, manifest, replace(short, contrast=1.0))
    run(out, manifest, short)
    assert state.read(out / LAST)[1]["place"]["phase"] == 2


@pytest.mark.parametrize("with_faces", [(), ("id00003",)], ids=["nobody", "one"])
def test_a_speaker_encoder_needs_no_faces(tmp_path: Path, with_faces: tuple[str, ...]) -> None:
    path = write_manifest(
        tmp_path / "data", keep=lambda row: row["kind"] == "speech" or row["identity_id"] in with_faces
    )
    assert state.read(run(tmp_path / "run", path, drawn.SPEAKER, CPU))[1]["n_identities"] == 6
    with pytest.raises(DataError, match=r"0 people with a face and \d with speech, none with both"):
        run(tmp_path / "faces", path, replace(drawn.SF2F, perceptual=0.0), CPU)


def test_voice2face_needs_an_encoder_and_says_so_before_packing(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"models pretrain-voice.*--start") as raised:
        run(tmp_path / "run", manifest, drawn.VOICE2FACE)
    assert raised.value.exit_code == 4 and not (tmp_path / "packed").exists()
    assert "with the --set of its sizes" in str(raised.value)  # no experiment has encoders this small
    only_d = {"network/discriminator/x": torch.zeros(1)}
    state.write(tmp_path / "no-encoder.safetensors", only_d, {})
    with pytest.raises(Missing, match=r"has no network encoder.*models pretrain-voice"):
        run(tmp_path / "run", manifest, drawn.VOICE2FACE, replace(QUIET, start=tmp_path / "no-encoder.safetensors"))
    with pytest.raises(Missing, match="no checkpoint"):
        run(tmp_path / "run", manifest, drawn.VOICE2FACE, replace(QUIET, start=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("voice2face", "speaker"), ("voice2face-paper", "speaker"), ("voice2face-small", "speaker-small")],
)
def test_the_missing_encoder_is_named_with_the_experiment_that_makes_it(
    manifest: Path, tmp_path: Path, name: str, wanted: str
) -> None:
    one = find(name)
    with pytest.raises(Missing, match=f"`models pretrain-voice --experiment {wanted}`"):
        train.train(tmp_path / "run", manifest, one, one.settings, QUIET)


def test_a_start_of_another_system_or_size_is_told_without_the_names_of_tensors(
    manifest: Path, whole: Path, tmp_path: Path
) -> None:
    told = r"system 'sf2f', experiment 'tiny': its network encoder.*expected a run of system voice2face.*pretrain-voice"
    with pytest.raises(DataError, match=told) as raised:
        run(tmp_path / "run", manifest, drawn.VOICE2FACE, replace(QUIET, start=whole))
    assert "weight" not in str(raised.value)
    run(tmp_path / "speaker", manifest, drawn.SPEAKER)
    larger = replace(drawn.SPEAKER, embedding=16)
    with pytest.raises(DataError, match=r"system 'speaker'.*expected a run of system speaker with the same sizes"):
        run(tmp_path / "run", manifest, larger, replace(QUIET, start=tmp_path / "speaker"))


def test_a_start_that_shares_no_network_is_a_data_error(
    manifest: Path, tiny: sf2f.Settings, judge: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="none of the networks encoder, decoder, fuser"):
        run(tmp_path / "run", manifest, tiny, replace(QUIET, start=judge))


def test_missing_weights_of_the_judge_are_told_before_packing(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any) -> None:
        raise Missing("fetch them")

    monkeypatch.setattr(judges, "load", absent)
    with pytest.raises(Missing, match="fetch them"):
        run(tmp_path / "run", manifest, tiny)
    assert not (tmp_path / "packed").exists()


ERRORS = (
    torch.OutOfMemoryError("CUDA"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
)


@pytest.mark.parametrize("error", ERRORS)
def test_out_of_memory_says_which_setting_to_lower(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def update(*_: Any) -> Losses:
        raise error

    monkeypatch.setattr(sf2f, "update", update)
    told = r"out of memory in phase encoder-decoder on cpu.*batch=2.*frames=\[15,25\].*--kept-gb.*no checkpoint yet"
    with pytest.raises(DataError, match=told):
        run(tmp_path / "run", manifest, tiny)
    no_crops = replace(tiny, iterations=0, settling=0)
    with pytest.raises(DataError, match=r"phase fuser on cpu.*batch=2.*windows=1.*--kept-gb"):
        run(tmp_path / "windows", manifest, no_crops)


PLACES: dict[str, tuple[Any, str, str]] = {
    "the set-up": (train, "set_up", r"before the first iteration on cpu.*--kept-gb \(now 4\).*no checkpoint yet"),
    "validation": (Validation, "measure", r"while validating on cpu: --validate-every 0.*the last checkpoint is whole"),
    "the first checkpoint": (state, "save_state", r"while saving.*main memory.*no checkpoint yet"),
}


@pytest.mark.parametrize("where", PLACES)
def test_out_of_memory_elsewhere_has_its_own_advice(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    holder, name, told = PLACES[where]
    monkeypatch.setattr(holder, name, full)
    with pytest.raises(DataError, match=told):
        run(tmp_path / "run", manifest, tiny, CPU)


def test_another_runtime_error_is_a_defect_and_stays_one(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def update(*_: Any) -> Losses:
        raise RuntimeError("shapes")

    monkeypatch.setattr(sf2f, "update", update)
    with pytest.raises(RuntimeError, match="shapes"):
        run(tmp_path / "run", manifest, tiny)


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "batch of one": ({"batch": 1}, "batch 1 over 1 processes"),
    "crops from long to short": ({"frames": (50, 30)}, "crops of 50 to 30"),
    "crops of nothing": ({"window": 1}, "crops of 1 to 1"),
    "sides": ({"sides": (63,)}, "make no network"),
    "no sides": ({"sides": ()}, "make no network"),
    "widths": ({"encoder_channels": (8, 8, 8, 7)}, "make no network.*7 channels"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_settings_that_cannot_be_are_a_usage_error(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, case: str
) -> None:
    change, told = IMPOSSIBLE[case]
    with pytest.raises(UsageError, match=told):
        run(tmp_path / "run", manifest, replace(tiny, **change))


def test_an_unknown_phase_lists_those_there_are(manifest: Path, tiny: sf2f.Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no phase stage2.*encoder-decoder, settling, fuser"):
        run(tmp_path / "run", manifest, tiny, replace(QUIET, until="stage2"))


def test_without_people_to_validate_it_says_how_to_train(tiny: sf2f.Settings, tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data", Sketch(val=0))
    with pytest.raises(DataError, match=r"split val.*--validate-every 0"):
        run(tmp_path / "run", path, tiny, CPU)
    short = replace(tiny, iterations=1, settling=0, fuser_iterations=0)
    assert run(tmp_path / "other", path, short).exists()


def test_one_person_is_enough_to_train(tiny: sf2f.Settings, tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data", Sketch(train=1, clips=(3,)))
    assert run(tmp_path / "run", path, replace(tiny, iterations=1, settling=1, fuser_iterations=1)).exists()


def test_what_a_killed_run_left_behind_goes(manifest: Path, tiny: sf2f.Settings, tmp_path: Path) -> None:
    (tmp_path / ".last.safetensors.999999.tmp").write_bytes(b"half")
    run(tmp_path, manifest, replace(tiny, iterations=1, settling=0, fuser_iterations=0))
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_damaged_last_checkpoint_is_a_data_error(manifest: Path, tiny: sf2f.Settings, tmp_path: Path) -> None:
    short = replace(tiny, iterations=1, settling=0, fuser_iterations=0)
    run(tmp_path, manifest, short)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:-9])
    with pytest.raises(DataError, match="not a checkpoint"):
        run(tmp_path, manifest, short)


@pytest.mark.parametrize("case", ["not a number", "too short", "another shape", "not finite"])
def test_a_run_does_not_go_on_with_moments_that_are_not_its_own(
    manifest: Path, tiny: sf2f.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, manifest, tiny)
    tensors, facts = state.read(tmp_path / LAST)
    first = "optimiser/generator/0/exp_avg"
    changed = {
        "not a number": {"optimiser/generator/x/step": torch.zeros(())},
        "too short": {"optimiser/generator/0": torch.zeros(())},
        "another shape": {first: torch.zeros(3)},
        "not finite": {first: torch.full_like(tensors[first], torch.nan)},
    }[case]
    state.write(tmp_path / LAST, tensors | changed, facts)
    with pytest.raises(DataError, match=r"not those of its weights|not finite"):
        run(tmp_path, manifest, tiny)


def test_features_of_another_length_are_told() -> None:
    settings = speech2face.Settings(features="own.safetensors", space=64)
    system.expect_space(settings, 64)
    with pytest.raises(UsageError, match=r"space is 64: the face network own\.safetensors has 4096 features"):
        system.expect_space(settings, 4096)


FEATURED = replace(
    drawn.SF2F, encoder="cnn", decoder="deconv", identity_discriminator="none", image_discriminator="none",
    perceptual=0.0, iterations=2, settling=0, fuser_iterations=0,
)  # fmt: skip


@pytest.fixture
def featured_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Trains with the features of a file, and returns the steps that the system was handed."""
    seen: list[Step] = []
    real = sf2f.update

    def update(step: Step, batch: Batch) -> Losses:
        seen.append(step)
        return real(step, batch)

    def train_it(manifest: Path, file: Path | None) -> list[Step]:
        monkeypatch.setattr(system, "needs_features", lambda settings: file is not None)
        monkeypatch.setattr(sf2f.Settings, "features", str(file), raising=False)
        monkeypatch.setattr(sf2f.Settings, "space", 4096, raising=False)
        seen.clear()
        run(tmp_path / "run", manifest, FEATURED)
        return list(seen)

    monkeypatch.setattr(sf2f, "update", update)
    return train_it


def test_features_are_loaded_once_handed_on_and_remembered(
    manifest: Path, tmp_path: Path, featured_run: Callable[..., list[Any]]
) -> None:
    file = featured.write(tmp_path / "vgg.safetensors")
    steps = featured_run(manifest, file)
    assert (
        len({id(step.features) for step in steps}) == 1 and steps[0].features.features(torch.rand(2, 3, 64, 64)).shape
    )
    told = {"name": "own-vgg-a", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert state.read(tmp_path / "run" / LAST)[1]["features"] == told
    assert json.loads((tmp_path / "run/run.json").read_text())["features"] == told
    vggface.write(tmp_path / "other.safetensors", featured.network(4), {"half": "a"})
    for other in (tmp_path / "other.safetensors", None):
        with pytest.raises(UsageError, match=r"features differ.*face networks"):
            featured_run(manifest, other)


def test_a_run_from_before_there_were_features_is_gone_on_with(
    manifest: Path, tmp_path: Path, featured_run: Callable[..., list[Any]]
) -> None:
    assert featured_run(manifest, None)[0].features is None
    tensors, facts = state.read(tmp_path / "run" / LAST)
    assert facts.pop("features") is None
    state.write(tmp_path / "run" / LAST, tensors, facts)
    state.load_model(tmp_path / "run", torch.device("cpu"))
    assert featured_run(manifest, None) == []  # done already


def test_a_step_knows_the_traits_of_those_it_is_shown(manifest: Path, featured_run: Callable[..., list[Any]]) -> None:
    (step, *_) = featured_run(manifest, None)
    assert step.traits["gender"].tolist() == [1, 0, 1, 0, 1, 0]
    assert step.traits["nationality"].tolist() == [0, 0, 1, 1, 0, 0]


def test_a_system_begins_once_and_its_averages_with_it(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def begin(networks: Any, settings: Any, corpus: Any, features: Any) -> None:
        begun.append((settings, len(corpus.faces), features, torch.is_grad_enabled()))
        for weight in networks["encoder"].parameters():
            weight.zero_()

    monkeypatch.setattr(sf2f, "begin", begin, raising=False)
    options = replace(QUIET, average=0.5)
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", manifest, replace(FEATURED, iterations=1, rate=0.0), options)
    run(tmp_path / "run", manifest, replace(FEATURED, iterations=1, rate=0.0), options)
    assert begun == [(replace(FEATURED, iterations=1, rate=0.0), 12, None, False)] * 2  # nothing was saved in between
    run(tmp_path / "run", manifest, replace(FEATURED, iterations=1, rate=0.0), options)
    assert len(begun) == 2
    tensors, _ = state.read(tmp_path / "run" / LAST)
    trained = dict(sf2f.build(FEATURED, 6)["encoder"].named_parameters())
    assert all(not tensors[f"{kind}/encoder/{name}"].any() for kind in ("network", "average") for name in trained)
