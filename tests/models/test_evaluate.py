"""Evaluation end to end on systems whose scores are known, and on real networks of a few weights."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from manifests.errors import DataError, UsageError
from models import evaluate, metrics, pack, probes, scores, tables
from models.evaluate import Plan
from models.scores import Asked
from tests.models import drawn, scored
from tests.models.test_metrics import unit

pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of nine people to test and six that were trained on."""
    return scored.manifest(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


SMALL = Plan(runs=2, gallery=4)


@pytest.fixture(scope="module")
def digest(people: Path, cache: Path) -> str:
    """Of the manifest, as a model that was trained on it remembers it."""
    return pack.pack(people, "train", "sf2f", 64, cache).digest


def test_a_system_that_draws_the_only_true_face_is_at_the_top_of_every_measure(tmp_path: Path) -> None:
    one_face, cache = scored.manifest(tmp_path, faces=1), tmp_path / "packed"
    model = scored.clairvoyant(manifest=pack.pack(one_face, "train", "sf2f", 64, cache).digest)
    report, sheet = evaluate.evaluate(model, one_face, scored.judge(), SMALL, cache)
    row = report["rows"][0]
    assert row["recall"]["1"]["mean"] == row["matching"]["mean"] == 1.0
    assert row["recall_among_all"]["5"]["mean"] == 1.0 and row["cosine"]["mean"] == pytest.approx(1.0)
    assert row["closed_set"]["top_1"]["mean"] == row["closed_set"]["top_5"]["mean"] == 1.0
    assert row["closed_set"]["people"] == 6 and row["closed_set"]["top_5"]["chance"] == 5 / 6
    assert row["recall"]["1"]["chance"] == 0.25
    assert report["protocol"] == {"name": "default", "seed": 0, "gallery": [4, 4], "gt_renorm": True}
    assert row["runs"] == 2 and row["cosine"]["spread_over_runs"] == 0.0
    assert torch.equal(sheet.faces[:, 0], sheet.faces[:, 1])  # real beside generated


def test_a_system_that_knows_nothing_is_at_chance_and_has_collapsed(people: Path, cache: Path) -> None:
    report, _ = evaluate.evaluate(scored.clairvoyant(same=True), people, scored.judge(), SMALL, cache)
    row = report["rows"][0]
    assert row["collapse"] == pytest.approx(1.0)
    assert row["recall_among_all"]["1"]["mean"] == pytest.approx(1 / 9)  # the person whom the one face resembles most
    assert row["matching"]["mean"] == pytest.approx(0.5, abs=0.02)


def test_real_networks_and_everything_that_the_docstring_promises(
    people: Path, cache: Path, digest: str, tmp_path: Path
) -> None:
    model = scored.sf2f_model(manifest=digest)
    plan = Plan(gallery=4, seconds=(1.25,))
    report, sheet = evaluate.evaluate(model, people, scored.judge(), plan, cache)
    promised = evaluate.__doc__ or ""
    assert all(f"\n    {name} " in promised for name in report)
    assert [row["name"] for row in report["rows"]] == ["1.25 s", "1.25 s, fused"]
    for row in report["rows"]:
        assert row["runs"] == 10 and row["people"] == 9
        for name in ("cosine", "l1", "l2", "matching", "matching_same_gender", "gender"):
            low, high = row[name]["interval"]
            assert low <= row[name]["mean"] <= high and row[name]["items"] == 9
        assert row["cosine"]["spread_over_runs"] > 0
        assert set(row["recall"]) == {"1", "2"} and set(row["recall_among_all"]) == {"1", "2", "5"}
    assert report["checkpoint"]["parameters"]["fuser"] == 3 * 8 * 8
    assert report["judge"]["sha256"] == "b" * 64 and report["data"]["manifest"] == digest
    assert report["versions"]["torch"] == torch.__version__
    assert "pipeline weights fetch vggface2-resnet50" in report["classifier"]["why"]
    assert report["gender_probe"]["items"] == 9
    again, _ = evaluate.evaluate(model, people, scored.judge(), plan, cache)
    assert json.dumps(again) == json.dumps(report)
    paths = evaluate.write(tmp_path, report, sheet, plan)
    assert [path.suffix for path in paths] == [".json", ".md", ".png"]
    assert tables.read(paths[0]) == report
    shown = np.asarray(Image.open(paths[2]))
    assert shown.shape == (14 + 9 * 128, 3 * 128, 3)
    assert (shown[:14].min(axis=(0, 2))[:128] < 100).any()  # a caption over the real faces
    assert np.array_equal(shown[14:142:2, :128:2], sheet.faces[0, 0].permute(1, 2, 0).numpy())


def test_evaluations_of_another_manifest_or_plan_lie_side_by_side(people: Path, cache: Path, tmp_path: Path) -> None:
    report, sheet = evaluate.evaluate(scored.clairvoyant(), people, scored.judge(), SMALL, cache)
    other = report | {"data": report["data"] | {"manifest": "9" * 64}}
    plans = (Plan(), Plan(seconds=(1.0, 2.0)), Plan(seed=1), Plan(runs=3))
    written = {
        path for held in (report, other) for plan in plans for path in evaluate.write(tmp_path, held, sheet, plan)
    }
    assert len(written) == 2 * 4 * 3
    assert any(path.stem.endswith(f"-{report['data']['manifest'][:8]}") for path in written)  # the default plan's


def test_the_ceiling_is_a_photograph_against_the_mean_of_the_others(people: Path, cache: Path) -> None:
    judge = scored.judge()
    report, _ = evaluate.evaluate(scored.clairvoyant(), people, judge, SMALL, cache)
    corpus = evaluate.corpus_of(scored.clairvoyant(), people, "test", cache, scored.CPU)
    embedded = judge.embed(corpus.faces.float() / 255)
    expected = (embedded[0::2] * embedded[1::2]).sum(1).mean().item()  # two faces each
    assert report["real"]["cosine"]["mean"] == pytest.approx(expected, abs=1e-5)


def test_people_of_one_photograph_only_have_no_ceiling(tmp_path: Path) -> None:
    alone = scored.manifest(tmp_path, faces=1)
    report, _ = evaluate.evaluate(scored.clairvoyant(), alone, scored.judge(), SMALL, tmp_path / "packed")
    assert "second photograph" in report["real"]["why"]
    assert "second photograph" in tables.markdown([report])


def test_the_authors_protocol(people: Path, cache: Path) -> None:
    judge, model = scored.judge(), scored.sf2f_model()
    report, _ = evaluate.evaluate(model, people, judge, Plan(protocol="authors"), cache)
    assert report["protocol"]["gallery"] == [9] and report["protocol"]["gt_renorm"] is False
    by_way = {row["way"]: row for row in report["rows"]}
    assert set(by_way) == {"crop", "mean face", "mean voice", "fused"} and all(r["runs"] == 1 for r in by_way.values())
    corpus = evaluate.corpus_of(model, people, "test", cache, scored.CPU)
    embedded = judge.embed(corpus.faces.float() / 255)
    references = (embedded[0::2] + embedded[1::2]) / 2  # not of unit length again
    (how,) = (how for how in evaluate.listening.authors(model) if how.way == "fused")
    found = evaluate.listening.hear(model, corpus, how, judge, (0, 0)).embeddings
    expected = (found - references + 1e-6).abs().sum(1).mean().item()
    assert by_way["fused"]["l1"]["mean"] == pytest.approx(expected, rel=1e-6)


def test_the_face_score_is_of_the_faces_of_all_runs(people: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def classes(faces: Tensor) -> dict[str, Tensor]:
        sharp = torch.softmax(50 * faces.mean(dim=(2, 3)), dim=1)
        return {"rgb": sharp, "bgr": torch.full_like(sharp, 1 / 3)}

    monkeypatch.setattr(probes, "classifier", lambda _: (classes, {"name": "fake", "sha256": "f" * 64}))
    report, _ = evaluate.evaluate(scored.clairvoyant(), people, scored.judge(), SMALL, cache)
    score = report["rows"][0]["vfs"]
    assert score["faces"] == 18 and score["splits"] == 5
    assert 1.0 < score["rgb"]["mean"] < 3.0 and score["bgr"]["mean"] == pytest.approx(1.0)
    assert report["real"]["vfs"]["faces"] == 18  # two of nine people each
    assert score["rgb"]["items"] == score["bgr"]["items"] == 18
    text = tables.markdown([report])
    assert "VFS by `fake`" in text and text.count("(N 18)") == 2 * len(report["rows"]) + 2


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """Bootstrap intervals over 60 people of two runs each; a little under 95 % is known of them."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        person = rng.exponential(1.0, 60)
        runs = [torch.from_numpy(person + rng.normal(0, 0.1, 60)) for _ in range(2)]
        low, high = scores.figure(runs)["interval"]
        covered += low <= 1.0 <= high
    assert 0.89 <= covered / 300 <= 0.98


def test_more_runs_do_not_make_an_interval_over_people_narrower() -> None:
    person = torch.randn(100)
    one, ten = (scores.figure([person] * runs)["interval"] for runs in (1, 10))
    assert one == ten


def test_the_spread_is_that_of_the_means_of_runs() -> None:
    found = scores.figure([torch.tensor([0.0, 2.0]), torch.tensor([2.0, 4.0])])
    assert found["mean"] == 2.0 and found["spread_over_runs"] == 1.0 and found["items"] == 2


def test_the_trials_of_matching_are_at_least_20_000() -> None:
    wanted = unit(30)
    row = scores.row(Asked(wanted, wanted, ["m", "f"] * 15, [None] * 30, [torch.arange(30)], 0), [unit(30, seed=1)])
    assert 20_000 <= row["matching"]["trials"] < 20_100 and row["matching"]["binomial"] == pytest.approx(
        0.007, abs=1e-3
    )
    assert row["matching"]["gender_only"] == metrics.matching_by_gender(["m", "f"] * 15)


def one_person(folder: Path) -> Path:
    return scored.manifest(folder, test=1)


def other_vad(folder: Path) -> Path:
    return scored.manifest(folder)


@pytest.mark.parametrize(
    ("make", "model", "kind", "words"),
    [
        (one_person, scored.clairvoyant(), DataError, "one person"),
        (other_vad, scored.clairvoyant(vad="modern"), DataError, "pipeline run voices manifest"),
        (one_person, scored.clairvoyant(loss_judge={"name": "x", "sha256": "b" * 64}), UsageError, "in the loss"),
    ],
)
def test_what_cannot_be_scored_says_why(
    make: Callable[[Path], Path], model: Any, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words):
        evaluate.evaluate(model, make(tmp_path), scored.judge(), SMALL, tmp_path / "packed")


def test_a_system_without_faces_is_not_scored(people: Path, cache: Path) -> None:
    model = scored.clairvoyant()
    model.system.GENERATES = False
    with pytest.raises(UsageError, match="makes no faces"):
        evaluate.evaluate(model, people, scored.judge(), SMALL, cache)


def test_the_authors_protocol_may_judge_by_the_judge_of_the_loss(people: Path, cache: Path) -> None:
    model = scored.clairvoyant(loss_judge={"name": "projection", "sha256": "b" * 64})
    report, _ = evaluate.evaluate(model, people, scored.judge(), Plan(protocol="authors"), cache)
    assert report["trained_on"]["loss_judge"]["name"] == "projection"


def test_dlib_is_the_judge_where_none_is_named_unless_it_was_in_the_loss() -> None:
    assert evaluate.default_judge(scored.clairvoyant(), "default") == "dlib"
    assert evaluate.default_judge(scored.clairvoyant(), "authors") == "facenet"
    with pytest.raises(UsageError, match="pretrain-face"):
        evaluate.default_judge(scored.clairvoyant(loss_judge={"name": "dlib", "sha256": "0"}), "default")


def test_another_manifest_than_the_trained_one_is_said_and_has_no_closed_set(people: Path, cache: Path) -> None:
    report, _ = evaluate.evaluate(scored.clairvoyant(), people, scored.judge(), SMALL, cache)
    assert "another manifest" in report["rows"][0]["closed_set"]["why"]
    assert "mean" in report["rows"][0]["gender"]  # the probe needs real faces only
    assert "trained on another manifest" in tables.markdown([report])


def test_without_training_people_there_is_no_probe(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(test=9), keep=lambda row: row["split"] == "test")
    report, _ = evaluate.evaluate(scored.clairvoyant(), manifest, scored.judge(), SMALL, tmp_path / "packed")
    assert "split train" in report["rows"][0]["gender"]["why"] == report["gender_probe"]["why"]


def shade(level: int, seed: int) -> bytes:
    """A picture of one brightness and some noise."""
    noise = np.random.default_rng(seed).integers(-20, 20, (64, 64, 3))
    out = io.BytesIO()
    Image.fromarray((level + noise).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_the_gender_probe_learns_from_training_faces_what_tells_the_sexes_apart(tmp_path: Path) -> None:
    """Planted: men (even numbers) are dark, women light; a system that draws everybody dark makes men."""
    faces = {("face", i): {"image": shade(60 if i // 2 % 2 == 0 else 190, i)} for i in range(2 * 18)}
    manifest = scored.manifest(tmp_path, payload=faces)
    right = evaluate.evaluate(scored.clairvoyant(), manifest, scored.judge(), SMALL, tmp_path / "packed")[0]
    assert right["gender_probe"]["mean"] == right["rows"][0]["gender"]["mean"] == 1.0
    dark = evaluate.evaluate(scored.clairvoyant(same=True), manifest, scored.judge(), SMALL, tmp_path / "packed")[0]
    assert dark["rows"][0]["gender"]["mean"] in (pytest.approx(4 / 9), pytest.approx(5 / 9))
    assert right["rows"][0]["gender"]["chance"] == pytest.approx(5 / 9)  # of nine, five are of one gender


def test_a_judges_name_never_leaves_the_folder(people: Path, cache: Path, tmp_path: Path) -> None:
    judge = scored.judge(name="own-../../out", sha256="../" * 21 + "x")
    report, sheet = evaluate.evaluate(scored.clairvoyant(), people, judge, SMALL, cache)
    for path in evaluate.write(tmp_path / "in", report, sheet, SMALL):
        assert path.parent == tmp_path / "in" and path.is_file()
