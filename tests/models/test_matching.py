"""The evaluation of matchers on systems whose scores are known: one that knows everybody, one that knows the gender."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from manifests.errors import DataError, UsageError
from models import data, matching, matching_media, matching_metrics, matching_tables, tables
from models.cli import main
from models.matching_scores import Plan
from models.state import Model
from models.system import Batch
from tests.models import drawn, scored
from tests.models.test_evaluate import shade
from tests.models.test_train import run

pytestmark = pytest.mark.usefixtures("one_thread")
PEOPLE = 12  # of split test, after six to train and three to validate
QUICK = Plan(runs=2, trials=120)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people whose faces are of a shade of their own; genders alternate, nationalities every two."""
    faces = {("face", i): {"image": shade(30 + 10 * (i // 2), i)} for i in range(2 * 21)}
    return drawn.write_manifest(
        tmp_path_factory.mktemp("people"), drawn.Sketch(test=PEOPLE, clips=(250, 60, 420), payload=faces, side=64)
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def number(faces: Tensor) -> Tensor:
    """Place in split test of the person of each face, from its shade."""
    return ((faces.mean(dim=(1, 2, 3)) * 255 + 0.5 - 30) / 10).round().long() - 9


def matcher(knows: str = "person", sizes: tuple[int, ...] | None = None, way: str = "", **facts: Any) -> Model:
    """A system that knows whose voices and faces are whose, or their gender only, or nothing but noise."""

    def embedded(person: Tensor) -> Tensor:
        if knows == "nothing":
            return torch.ones(len(person), PEOPLE)
        told = person % 2 if knows == "gender" else person
        noise = torch.rand(len(person), PEOPLE, generator=torch.Generator().manual_seed(int(person.sum())))
        return nn.functional.one_hot(told, PEOPLE) + 1e-3 * noise

    def scores(_networks: Any, _settings: Any, probes: Tensor, gallery: Tensor, asked: str) -> Tensor:
        assert sizes is None or (gallery.shape[1] in sizes and asked == way)
        return (probes[:, None] * gallery).sum(dim=2)

    def heard(_networks: Any, _settings: Any, batch: Batch) -> Tensor:
        return embedded(batch.identity)

    system = SimpleNamespace(
        GENERATES=False,
        MATCHES=True,
        FRONT_END="sf2f",
        side=lambda _settings: 64,
        voices=heard,
        portraits=lambda _networks, _settings, faces: embedded(number(faces)),
        scores=scores,
        sizes=lambda _settings, asked: sizes if sizes is None or asked == way else (),
    )
    told = scored.facts(**({"system": "svhf", "experiment": "tiny"} | facts))
    return Model(system, None, {"n": nn.Linear(1, 1)}, told, "f" * 64, None)  # type: ignore[arg-type]


def report_of(model: Model, manifest: Path, cache: Path, plan: Plan = QUICK) -> Any:
    return matching.evaluate(model, manifest, plan, cache, torch.device("cpu"))


def choice(report: Any, way: str, candidates: int, stratum: str) -> Any:
    (found,) = (
        one
        for one in report["choices"]
        if (one["way"], one["candidates"], one["stratum"]) == (way, candidates, stratum)
    )
    return found


def test_a_system_that_knows_everybody_is_right_everywhere(manifest: Path, cache: Path) -> None:
    report = report_of(matcher(), manifest, cache)
    known = [one for one in report["choices"] if "why" not in one]
    assert {(one["way"], one["candidates"]) for one in known} == {(w, k) for w in ("V-F", "F-V") for k in range(2, 11)}
    for one in known:
        assert one["mean"] == 1.0 and one["interval"] == [1.0, 1.0] and one["chance"] == 1 / one["candidates"]
        assert one["trials"] >= 2 * 120
    for stratum in ("U", "G", "N", "GN"):
        verified = report["verification"][stratum]
        assert verified["eer"]["mean"] == 0.0 and verified["auc"]["mean"] == 1.0
        assert verified["auc"]["interval"] == pytest.approx([1.0, 1.0])
    for way, size in (("V-F", 2 * PEOPLE), ("F-V", 3 * PEOPLE)):
        found = report["retrieval"][way]
        assert found["gallery"] == size and found["map"]["mean"] == 1.0 and found["map"]["items"] == PEOPLE
        assert found["among"]["people"] == PEOPLE and found["among"]["1"]["mean"] == 1.0
    assert report["retrieval"]["V-F"]["among"]["of_each"] == 2 and report["retrieval"]["F-V"]["among"]["of_each"] == 3


def test_a_system_that_says_the_same_of_everybody_is_wrong_everywhere(manifest: Path, cache: Path) -> None:
    """Ties are wrong, so that a collapsed system is not at chance."""
    report = report_of(matcher("nothing"), manifest, cache)
    assert all(one["mean"] == 0.0 for one in report["choices"] if "why" not in one)
    assert report["verification"]["U"]["auc"]["mean"] == report["verification"]["U"]["eer"]["mean"] == 0.5
    assert report["retrieval"]["V-F"]["among"]["1"]["mean"] == 0.0


def test_a_system_that_hears_the_gender_only_is_at_chance_among_one_gender(manifest: Path, cache: Path) -> None:
    report = report_of(matcher("gender"), manifest, cache, Plan(runs=4, trials=2400))
    for candidates in (2, 5, 10):
        found = choice(report, "V-F", candidates, "U")
        assert found["mean"] == pytest.approx(found["gender_only"], abs=0.12)
    alike = choice(report, "V-F", 2, "G")
    assert alike["gender_only"] == alike["chance"] == 0.5
    assert alike["interval"][0] - 0.1 < 0.5 < alike["interval"][1] + 0.1
    assert report["verification"]["U"]["auc"]["mean"] > 0.7 > 0.6 > report["verification"]["G"]["auc"]["mean"]


def test_where_strata_are_too_small_it_says_so(manifest: Path, cache: Path) -> None:
    """Six people of each gender have no nine impostors of it, three of each gender and nationality not even three."""
    report = report_of(matcher(), manifest, cache)
    assert choice(report, "V-F", 2, "GN")["mean"] == 1.0
    assert "9 known impostors" in choice(report, "F-V", 10, "G")["why"]
    assert "| - |" in matching_tables.markdown([report])


def test_a_head_of_one_size_and_way_is_asked_nothing_else(manifest: Path, cache: Path) -> None:
    report = report_of(matcher(sizes=(2,), way="F-V"), manifest, cache)
    assert [(one["way"], one["candidates"]) for one in report["choices"]] == [("F-V", 2)] * 4
    assert (report["groups"]["way"], report["groups"]["candidates"]) == ("F-V", 2)
    assert "gallery of one size" in report["verification"]["why"] == report["retrieval"]["why"]
    shown = matching_tables.markdown([report])
    assert "no verification nor retrieval" in shown and "V-F 2-way" not in shown


def test_people_are_told_apart_by_group_and_nationality(manifest: Path, cache: Path) -> None:
    groups = report_of(matcher(), manifest, cache)["groups"]
    assert {value: one["items"] for value, one in groups["gender"].items()} == {"f": 6, "m": 6}
    assert {value: one["items"] for value, one in groups["nationality"].items()} == {"Avenia": 6, "Torvia": 6}
    assert groups["gender"]["f"]["mean"] == 1.0


def test_the_report_holds_what_the_docstring_promises_and_is_the_same_again(
    manifest: Path, cache: Path, tmp_path: Path
) -> None:
    report = report_of(matcher("gender"), manifest, cache)
    promised = matching.__doc__ or ""
    told_elsewhere = {"checkpoint", "trained_on", "data", "versions"}
    assert all(f"`{name}`" in promised for name in told_elsewhere)
    assert all(f"\n    {name} " in promised for name in report.keys() - told_elsewhere)
    assert json.dumps(report_of(matcher("gender"), manifest, cache)) == json.dumps(report)
    other = report_of(matcher("gender"), manifest, cache, Plan(runs=2, trials=120, seed=1))
    assert other["choices"] != report["choices"]
    paths = matching.write(tmp_path, report, Plan())
    assert [path.name for path in paths] == [
        f"matching-test-ffffffff-{report['data']['manifest'][:8]}{suffix}" for suffix in (".json", ".md")
    ]
    assert tables.read(paths[0]) == report
    assert matching.write(tmp_path, report, Plan(seed=1))[0] != paths[0]


def listening(front_end: str = "sf2f") -> tuple[Model, list[Tensor]]:
    """A system, and what it hears."""
    heard: list[Tensor] = []

    def voices(_networks: Any, _settings: Any, batch: Batch) -> Tensor:
        heard.append(batch.mel)
        return torch.ones(len(batch.mel), 2)

    model = matcher()
    model.system.FRONT_END, model.system.voices = front_end, voices  # type: ignore[attr-defined]
    return model, heard


def test_recordings_are_heard_in_whole_seconds_from_their_start(manifest: Path, cache: Path) -> None:
    """Of 250, 60 and 420 frames: two seconds, one (repeated from the start), four, or three where that is the most."""
    model, heard = listening()
    corpus = matching.corpus_of(model, manifest, "test", cache, torch.device("cpu"))
    media = matching_media.recordings(model, corpus, 20, 3, np.random.default_rng(0))
    assert sorted(mel.shape[2] for mel in heard) == [100, 200, 300] and len(media.owner) == 3 * PEOPLE
    (short,) = (mel for mel in heard if mel.shape[2] == 100)
    assert torch.equal(short[:, :, 60:], short[:, :, :40])
    start = int(corpus.clip_start[corpus.clip_frames == 60][0])
    assert torch.equal(short[0, :, :60], corpus.mels[start : start + 60].float().T)


def test_a_waveform_is_heard_a_little_longer_than_its_spectrogram(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(audio=True, clips=(301, 302)))
    model, heard = listening("wave")
    corpus = matching.corpus_of(model, manifest, "test", tmp_path / "packed", torch.device("cpu"))
    matching_media.recordings(model, corpus, 20, 10, np.random.default_rng(0))
    assert {mel.shape[2] for mel in heard} == {202, 302}


def test_at_most_so_many_media_of_a_person(manifest: Path, cache: Path) -> None:
    corpus = matching.corpus_of(matcher(), manifest, "test", cache, torch.device("cpu"))
    for seed in range(5):
        found = matching_media.faces(matcher(), corpus, 1, np.random.default_rng(seed))
        assert (
            found.owner.tolist() == list(range(PEOPLE))
            and found.embeddings.argmax(dim=1).tolist() == found.owner.tolist()
        )
        assert data.one_each(found.owned, np.array([3, 4]), np.random.default_rng(0)).tolist() == [3, 4]


def test_what_cannot_be_scored_says_why(manifest: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="matches nothing"):
        report_of(SimpleNamespace(system=SimpleNamespace(MATCHES=False), facts={"experiment": "x"}), manifest, cache)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one person"):
        report_of(matcher(), drawn.write_manifest(tmp_path, drawn.Sketch(test=1)), tmp_path / "packed")
    model = matcher()
    model.system.scores = lambda _n, _s, probes, gallery, _w: gallery.sum(dim=2) / 0  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="not finite"):
        report_of(model, manifest, cache)


def test_each_way_has_the_chance_and_the_gallery_of_its_own(manifest: Path, cache: Path) -> None:
    """People have two faces, and three recordings."""
    report = report_of(matcher(), manifest, cache)
    for way, each in (("V-F", 2), ("F-V", 3)):
        told = tables.markdown([report]).partition(f"| {way}, of {each * PEOPLE} | mAP | R@1 of {PEOPLE} x {each} |")[2]
        _, _, chance, *_ = told.splitlines()
        mean = matching_metrics.chance_precision(each, each * PEOPLE)
        assert chance.startswith(f"| chance | {100 * mean:.1f} | {100 / PEOPLE:.1f} |"), way


def test_the_command_scores_a_trained_matcher_and_needs_no_judge(manifest: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", manifest, drawn.DIMNET)
    asked = ["evaluate", "--checkpoint", tmp_path / "run", "--manifest", manifest, "--runs", 1, "--device", "cpu"]
    done = CliRunner().invoke(main, [*map(str, asked)])
    assert done.exit_code == 0, done.output
    (file,) = (tmp_path / "run").glob("matching-test-*.json")
    report = tables.read(file)
    assert report["checkpoint"]["system"] == "dimnet" and report["protocol"]["runs"] == 1
    assert "V-F 2-way, any impostor" in done.output and str(file) in done.output
    low, high = report["verification"]["U"]["eer"]["interval"]
    assert low <= report["verification"]["U"]["eer"]["mean"] <= high


def test_the_papers_stand_beside_ours_and_kinds_apart(manifest: Path, cache: Path, tmp_path: Path) -> None:
    ours = report_of(matcher(experiment="dimnet-ig"), manifest, cache)
    shown = tables.markdown([ours, report_of(matcher("gender", experiment="<b>|x\x1b"), manifest, cache)])
    assert "*DIMNet-IG, other data* | 84.12 | 71.32" in shown and "| *DIMNet-IG, other data* | 4.42 |" in shown
    assert "| chance | 50.0 | 50.0 |" in shown and "perfect gender only" in shown
    assert "\x1b" not in shown and "<b>\\|x" in shown
    assert shown.count("Matching of voices and faces") == 1  # one group: the same data and protocol
    for place, report in enumerate((ours, {**ours, "protocol": {**ours["protocol"], "seed": 5}})):
        (tmp_path / f"matching-{place}.json").write_text(json.dumps(report))
    done = CliRunner().invoke(main, ["compare", str(tmp_path)])
    assert done.exit_code == 0 and done.output.count("Matching of voices and faces") == 2
    (tmp_path / "matching-2.json").write_text(json.dumps({**ours, "choices": [{"way": "V-F"}]}))
    assert CliRunner().invoke(main, ["compare", str(tmp_path)]).exit_code == 0  # a choice without figures is none
    (tmp_path / "matching-2.json").write_text(json.dumps({**ours, "groups": 3}))
    assert CliRunner().invoke(main, ["compare", str(tmp_path)]).exit_code == 3
