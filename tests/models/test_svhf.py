"""SVHF-Net: both branches row by row at every width, the choice among candidates, and what each phase trains."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from models import pack, state, svhf, svhf_nets, system
from models.data import load
from models.experiments import find
from models.spectrogram import magnitude
from models.state import LAST
from models.system import Batch, Step
from tests.models import drawn
from tests.models.networks import check_gradients, check_rows_alone, n_parameters, on_meta, shapes
from tests.models.steps import PEOPLE, built, moved, step_of, weights_of
from tests.models.test_train import check_same, interrupted, run

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = drawn.SVHF
KINDS = (nn.MaxPool2d, nn.ReLU, nn.AdaptiveAvgPool2d)
SIDE = svhf.side(SETTINGS)


def heard(voices: int = 6, frames: int = 102, seed: int = 0) -> Batch:
    """Noise with a tone of each person's own, and pictures of a shade of their own."""
    noise = torch.Generator().manual_seed(seed)
    person = torch.arange(voices) % PEOPLE
    time = torch.arange(160 * frames) / 16_000
    wave = 0.1 * torch.randn(voices, 160 * frames, generator=noise)
    wave += 0.3 * torch.sin(2 * torch.pi * (300 + 700 * person[:, None]) * time)
    face = (0.15 * person[:, None, None, None] + 0.3 * torch.rand(voices, 3, SIDE, SIDE, generator=noise)).clamp(0, 1)
    mel = wave.view(voices, frames, 160).transpose(1, 2)
    nothing = torch.empty(voices, 0)
    return Batch(mel, nothing, nothing, person, face, person, torch.arange(voices))


def prepared(phase: int, settings: svhf.Settings = SETTINGS, seed: int = 0) -> Step:
    return step_of(svhf, settings, built(svhf, settings, seed), svhf.phases(settings)[phase])


def test_the_face_table() -> None:
    branch = on_meta(lambda: svhf_nets.FaceBranch((96, 256), 4096, 1024, 224)).eval()
    rows = shapes(branch, KINDS, meta(1, 3, 224, 224))
    assert rows == [
        (96, 112, 112), (96, 56, 56), (256, 28, 28), (256, 14, 14), *[(256, 14, 14)] * 3, (256, 7, 7), (4096, 1, 1),
        (1024,),
    ]  # fmt: skip


def meta(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def voice_rows(width: int) -> list[tuple[int, ...]]:
    branch = on_meta(lambda: svhf_nets.VoiceBranch((96, 256), 4096, 1024)).eval()
    return shapes(branch, KINDS, meta(2, 1, 512, width))


def test_the_voice_table() -> None:
    assert voice_rows(300) == [
        (96, 254, 148), (96, 126, 73), (256, 62, 36), (256, 30, 17), *[(256, 30, 17)] * 3, (256, 9, 8), (4096, 1, 8),
        (4096, 1, 1), (1024,),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "pool"), [*zip(range(100, 1001, 100), (2, 5, 8, 11, 14, 17, 20, 23, 27, 30), strict=True)]
)
def test_a_voice_of_any_width_is_pooled_over_the_official_lengths(width: int, pool: int) -> None:
    assert voice_rows(width)[-3:] == [(4096, 1, pool), (4096, 1, 1), (1024,)]


@pytest.mark.parametrize("candidates", [2, 10])
def test_parameters_are_those_of_the_table(candidates: int) -> None:
    def trunk(inputs: int) -> int:
        """Five convolutions without bias, and their batch norms."""
        return 49 * inputs * 96 + 25 * 96 * 256 + 3 * 9 * 256 * 256 + 2 * (96 + 4 * 256)

    fc7 = 4096 * 1024 + 1024
    networks = on_meta(lambda: nn.ModuleDict(svhf.build(svhf.Settings(candidates=candidates), 11)))
    assert {name: n_parameters(network) for name, network in networks.items()} == {  # type: ignore[operator]
        "voice": trunk(1) + 9 * 256 * 4096 + 4096 + fc7,
        "face": trunk(3) + 49 * 256 * 4096 + 4096 + fc7,
        "voice_classifier": 1025 * 11,
        "face_classifier": 1025 * 11,
        "head": ((candidates + 1) * 1024 + 1) * 1024 + 1025 * 512 + 513 * candidates,
    }
    assert not any(isinstance(m, nn.BatchNorm1d) for m in networks["head"].modules())  # type: ignore[index]


def test_branches_have_gradients_and_keep_rows_apart() -> None:
    networks = built(svhf, replace(SETTINGS, hidden=32, embedding=16))
    for name, example in (("voice", torch.randn(3, 1, 512, 100)), ("face", torch.rand(3, 3, 32, 32))):
        check_rows_alone(networks[name], example)
        check_gradients(networks[name], example)


def test_three_seconds_make_300_frames() -> None:
    (voices, _, matching) = svhf.phases(svhf.Settings())
    assert voices.frames == matching.frames == (302, 302)
    assert magnitude(torch.zeros(1, 302 * 160)).shape == (1, 512, 300)


@pytest.mark.parametrize(("frames", "width"), [(102, 100), (150, 100), (502, 500), (1302, 1000)])
def test_a_test_voice_is_the_widest_that_fits(frames: int, width: int) -> None:
    seen: list[Tensor] = []

    def voice(spectrogram: Tensor) -> Tensor:
        seen.append(spectrogram)
        return spectrogram.mean(dim=(1, 2, 3))[:, None]

    given = heard(2, frames)
    svhf.voices({"voice": voice}, SETTINGS, given)  # type: ignore[dict-item]
    (found,) = seen
    assert found.shape == (2, 1, 512, width)
    # Every bin has mean 0 and deviation 1 over what is heard, not over the whole recording.
    assert found.mean(dim=3).abs().max() < 1e-3 and (found.std(dim=3, correction=0) - 1).abs().max() < 1e-3


def test_less_than_a_second_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 100 frames or more"):
        svhf.voices({}, SETTINGS, heard(2, 80))


def test_candidates_are_different_people_and_the_right_one_stands_anywhere() -> None:
    identity, noise = torch.tensor([0, 1, 2, 3, 4, 0]), torch.Generator().manual_seed(0)
    places = []
    for _ in range(200):
        rows, place, there = svhf.candidates(identity, 3, noise)
        own = rows.gather(1, place[:, None])[:, 0]
        assert there.all() and torch.equal(own, torch.arange(6))
        assert all(len(set(people)) == 3 for people in identity[rows].tolist())
        places.append(place)
    share = torch.bincount(torch.cat(places)) / 1200
    assert share.tolist() == pytest.approx([1 / 3] * 3, abs=0.05)


def test_who_has_too_few_others_is_left_out_of_the_loss() -> None:
    step, given = prepared(2, replace(SETTINGS, candidates=4)), heard(4)
    alone = replace(given, identity=torch.tensor([0, 0, 1, 1]), face_identity=torch.tensor([0, 0, 1, 1]))
    losses = svhf.update(step, alone)  # nobody has three strangers
    assert float(losses["matching"]) == float(losses["error"]) == 0.0
    assert all(weight.isfinite().all() for weight in step.networks["head"].parameters())


@pytest.mark.parametrize("changed", [{"candidates": 6}, {"batch": 1}])
def test_galleries_that_no_batch_holds_are_refused(tmp_path: Path, changed: dict[str, int]) -> None:
    settings = replace(SETTINGS, **changed)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--set candidates, or the batch"):
        run(tmp_path / "run", tmp_path / "nothing.parquet", settings)
    svhf.phases(replace(settings, iterations=0))  # branches alone ask for none


def test_the_share_of_a_process_must_hold_a_gallery_too() -> None:
    with pytest.raises(UsageError, match="4 candidates, and 3 voices and faces in a batch of each process"):
        svhf.update(prepared(2, replace(SETTINGS, candidates=4)), heard(3))


def test_fewer_people_than_candidates_are_told_before_training(tmp_path: Path) -> None:
    """Galleries of three from two people would show somebody twice."""
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(train=2, audio=True, clips=(130,)))
    with pytest.raises(DataError, match="2 training people: a gallery of 3"):
        run(tmp_path / "run", manifest, replace(SETTINGS, candidates=3))


@pytest.mark.parametrize("way", ["V-F", "F-V"])
def test_the_loss_is_cross_entropy_over_the_candidates_in_float64(way: Any) -> None:
    settings, given = replace(SETTINGS, way=way, candidates=3, crop=1.0), heard()
    step = prepared(2, settings)
    given = replace(given, face=given.face[..., :32, :32])
    n = {name: network.double() for name, network in built(svhf, settings).items()}
    noise = torch.Generator().manual_seed(11)
    torch.randint(1, (2, 6, 1), generator=noise)  # where crops are: there is one place only
    mirrored = torch.rand(6, generator=noise) < 0.5
    faces = torch.stack([f.flip(2) if m else f for f, m in zip(given.face.double(), mirrored, strict=True)])
    face, voice = n["face"](faces), n["voice"](magnitude(given.wave)[:, None].double())
    probe, other = (voice, face) if way == "V-F" else (face, voice)
    rows, place, there = svhf.candidates(given.identity, 3, noise)
    logits = n["head"].layers(torch.cat([probe, *(other[rows[:, k]] for k in range(3))], dim=1))  # type: ignore[operator]
    each = logits.exp().sum(dim=1).log() - logits.gather(1, place[:, None])[:, 0]
    losses = svhf.update(step, given)
    assert there.all()
    assert float(losses["matching"]) == pytest.approx(float(each.mean().detach()), rel=1e-4)
    assert float(losses["error"]) == pytest.approx(float((logits.argmax(1) != place).double().mean()))


@pytest.mark.parametrize(
    ("phase", "expected"),
    [(0, {"voice", "voice_classifier"}), (1, {"face", "face_classifier"}), (2, {"voice", "face", "head"})],
)
def test_each_phase_trains_its_own(phase: int, expected: set[str]) -> None:
    step, given = prepared(phase), heard()
    if phase == 1:
        given = replace(given, mel=torch.empty(6, 0, 0))  # no voices are read
    before = {name: weights_of(network) for name, network in step.networks.items()}
    losses = svhf.update(step, given)
    assert {name for name, network in step.networks.items() if moved(network, before[name])} == expected
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_rates_are_log_spaced_over_ten_stretches() -> None:
    phase = svhf.phases(svhf.Settings())[2]
    found = [phase.rate("all", epoch * 7500 + 100) for epoch in range(10)]
    assert found == pytest.approx(np.logspace(-2, -8, 10).tolist())
    chosen = phase.optimisers["all"]
    assert (chosen.kind, chosen.momentum, chosen.weight_decay, phase.batch) == ("sgd", 0.9, 5e-4, 64)


@pytest.mark.parametrize("iterations", [1, 7, 15, 95, 400])
def test_rates_never_fall_below_the_last_one(iterations: int) -> None:
    settings = replace(svhf.Settings(), iterations=iterations)
    phase = svhf.phases(settings)[2]
    assert min(phase.rate("all", at) for at in range(iterations)) >= settings.last_rate * (1 - 1e-9)


def test_crops_are_in_the_middle_or_anywhere() -> None:
    assert svhf.side(svhf.Settings()) == 264  # 224 / 0.85
    picture = torch.arange(2.0 * 3 * 6 * 6).view(2, 3, 6, 6)
    assert torch.equal(svhf.cropped(picture, 4, None), picture[..., 1:5, 1:5])
    noise, seen = torch.Generator().manual_seed(0), set()
    for _ in range(100):
        for whole, cut in zip(picture, svhf.cropped(picture, 4, noise), strict=True):
            top, left = divmod(int(cut[0, 0, 0] - whole[0, 0, 0]), 6)
            assert torch.equal(cut, whole[:, top : top + 4, left : left + 4])
            seen.add((top, left))
    assert len(seen) == 9


def test_the_mean_picture_of_the_training_people_is_taken_off(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path)
    corpus = load(pack.pack(manifest, "train", "sf2f", SIDE, tmp_path / "packed"), torch.device("cpu"))
    networks = built(svhf, SETTINGS)
    svhf.begin(networks, SETTINGS, corpus, None)
    mean = corpus.faces.double().div(255).mean(dim=0)
    spare = (SIDE - 32) // 2
    first = next(networks["face"].children())
    cut = mean[:, spare : spare + 32, spare : spare + 32]
    torch.testing.assert_close(first(cut[None].float()), torch.zeros(1, 3, 32, 32), atol=1e-5, rtol=0)


def test_the_head_takes_its_own_way_and_number_only() -> None:
    networks = {name: network.eval() for name, network in built(svhf, SETTINGS).items()}
    given = heard(4)
    voice, face = svhf.voices(networks, SETTINGS, given), svhf.portraits(networks, SETTINGS, given.face)
    gallery = torch.stack([face, face.roll(1, 0)], dim=1)
    scores = svhf.scores(networks, SETTINGS, voice, gallery, "V-F")
    assert scores.shape == (4, 2) and torch.allclose(scores.sum(dim=1), torch.ones(4))
    assert svhf.sizes(SETTINGS, "V-F") == (2,) and svhf.sizes(SETTINGS, "F-V") == ()
    for wrong, way in ((gallery, "F-V"), (gallery[:, :1], "V-F")):
        with pytest.raises(ValueError, match="trained for 2 V-F"):
            svhf.scores(networks, SETTINGS, voice, wrong, way)  # type: ignore[arg-type]


@pytest.mark.parametrize("changed", [{"candidates": 1}, {"side": 40}])
def test_settings_that_make_no_network(changed: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected"):
        system.build(system.load("svhf"), replace(SETTINGS, **changed), 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("phase", "name"), [(0, "voice"), (1, "face")])
def test_the_branches_learn_whose_voice_and_face_it_is(phase: int, name: str) -> None:
    step = prepared(phase, replace(SETTINGS, channels=(8, 16), hidden=16, embedding=16, rate=0.03))
    losses = [float(svhf.update(step, heard(5, seed=i % 4))[name]) for i in range(20)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_the_head_learns_which_of_two_goes_with_a_third() -> None:
    """Embeddings of both kinds are linear in eight hidden traits of each person."""
    noise = torch.Generator().manual_seed(0)
    to_voice, to_face = torch.randn(2, 8, 32, generator=noise)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        head = svhf_nets.Head(32, (64, 32), 2)
    optimiser = torch.optim.SGD(head.parameters(), 0.03, 0.9)
    right = []
    for _ in range(300):
        people = torch.randn(32, 8, generator=noise)
        rows, place, _ = svhf.candidates(torch.arange(32), 2, noise)
        logits = head((people @ to_voice).relu(), (people @ to_face).relu()[rows])
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits, place).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        right.append((logits.argmax(dim=1) == place).float().mean().item())
    assert np.mean(right[:20]) < 0.65 and np.mean(right[-20:]) > 0.85


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four iterations in three phases, and the same stopped before the last; sound comes from the shards."""
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(audio=True, clips=(130, 90)))
    run(tmp_path / "whole", manifest, SETTINGS)
    with monkeypatch.context() as patch:
        interrupted(patch, 4, svhf)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", manifest, SETTINGS)
    run(tmp_path / "cut", manifest, SETTINGS)
    check_same(tmp_path / "cut", tmp_path / "whole")
    tensors, facts = state.read(tmp_path / "cut" / LAST)
    assert facts["front_end"] == "wave" and facts["place"]["phase"] == 3
    assert not torch.equal(tensors["network/face/0.mean"], torch.full((3, 32, 32), 0.5))


def test_both_ways_are_rows() -> None:
    assert (find("svhf").settings.way, find("svhf-fv").settings.way) == ("V-F", "F-V")
    assert find("svhf-fv").settings == replace(find("svhf").settings, way="F-V")
    assert find("svhf-10").settings == replace(find("svhf").settings, candidates=10)
