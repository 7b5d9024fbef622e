"""What ids measure, on hand-made data with known answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import evaluate, scores
from models.matching_metrics import Distance
from models.reproduction import called, conditioned, voice2face, voices
from models.reproduction.entry import Entry, Found, Line, Member, Table, Value
from models.reproduction.measures import RANDOM, bytes_of, everybody, percent, resized, row_of, together
from models.reproduction.spoken import Ask
from models.reproduction.table import find
from models.scores import Asked
from tests.models import scored
from tests.models.test_tables import report

ENTRY = Entry("E", "", "Asks.", lambda lab, entry: Found(), (Member("m", "sf2f-64", "sf2f-small"),))


def mean(value: Value) -> float:
    assert isinstance(value, dict)
    return float(value["mean"])


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -1.0), ("brown", -2.0), ("blue", 1.0)])
def test_noises_have_their_colour_and_loudness(kind: str, slope: float) -> None:
    """Power falls with frequency to the slope: 3 dB an octave for pink, 6 for brown."""
    samples = voices.noise(kind, 20.0, seed=0)
    assert samples.dtype == np.int16 and len(samples) == 320_000
    assert np.sqrt(np.mean(samples.astype(float) ** 2)) == pytest.approx(3000, rel=0.01)
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples))
    low, high = ((frequency > edge) & (frequency < 2 * edge) for edge in (0.02, 0.16))
    assert np.log2(power[high].mean() / power[low].mean()) / 3 == pytest.approx(slope, abs=0.1)


def test_consistency_of_a_person_and_among_people() -> None:
    """Two people at right angles, each the same in both draws; then two people who swap."""
    (line,) = voices.consistency(ENTRY, [torch.eye(2), torch.eye(2)]).ours
    assert {name: mean(value) for name, value in line.values.items()} == pytest.approx(
        {"one person": 1, "two people": 0}
    )
    (line,) = voices.consistency(ENTRY, [torch.eye(2), torch.eye(2).flip(0)]).ours
    assert [mean(value) for value in line.values.values()] == pytest.approx([0, 0.5])
    drawn = torch.nn.functional.normalize(torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    (line,) = voices.consistency(ENTRY, list(drawn)).ours
    others = [float(drawn[r, n] @ drawn[s, m]) for r in range(3) for s in range(3) for n in range(5) for m in range(5)
              if n != m]  # fmt: skip
    assert mean(line.values["two people"]) == pytest.approx(sum(others) / len(others), abs=1e-6)


def test_faces_of_noise_are_rounded_as_those_of_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same faces, then, look the same to the discriminator."""
    seen: list[Tensor] = []

    def discriminator(faces: Tensor) -> tuple[Tensor, None]:
        seen.append(faces)
        return torch.arange(float(len(faces))), None

    faces = torch.rand(3, 3, 8, 8)
    model = SimpleNamespace(networks={"discriminator": discriminator}, fusing=None)
    lab = SimpleNamespace(model=lambda _: model, corpus=lambda _: None, judge=None, seed=0, device=torch.device("cpu"),
                          spending=SimpleNamespace(runs=2))  # fmt: skip
    noises: list[bytes] = []
    draws: list[tuple[int, int]] = []

    def of_noise(_: object, drawn: list[np.ndarray], __: object) -> Tensor:
        noises.extend(one.tobytes() for one in drawn)
        return faces

    def hear(*given: Any) -> SimpleNamespace:
        draws.append(given[-1])
        return SimpleNamespace(faces=bytes_of(faces))

    monkeypatch.setattr(voices, "_faces", of_noise)
    monkeypatch.setattr(voices.listening, "hear", hear)
    (table,) = voices.noise_against_voice(lab, ENTRY).tables  # type: ignore[arg-type]
    assert draws == [(0, 0), (0, 1)] and len(set(noises)) == len(noises) == 6  # every draw another, three faces each
    assert len(seen) == 4 and all(torch.equal(one, seen[0]) for one in seen)
    assert seen[0].min() >= -1 and torch.allclose(seen[0], 2 * faces - 1, atol=0.01)
    realness = table.ours[0].values["realness"]
    assert isinstance(realness, dict) and realness["items"] == 3 and realness["interval"][0] < mean(realness)


def test_a_table_of_genders_begins_with_how_right_the_probe_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Real faces of a woman, two men and somebody unknown: the probe takes one man for a woman; drawn are men."""

    def female(embeddings: Tensor) -> Tensor:
        return torch.tensor([True, True, False, False]) & (embeddings > 0)

    class Studio:
        model = None
        corpus = SimpleNamespace(packed=SimpleNamespace(genders=("f", "m", "m", None)))

        def __init__(self, *_: object) -> None: ...

        def of(self, _: object) -> None: ...

        def drawn(self, _: object) -> Tensor:
            return torch.zeros(4, 3, 8, 8)

    judge = SimpleNamespace(embed=lambda faces: faces.mean(dim=(1, 2, 3)))
    lab = SimpleNamespace(corpus=lambda *_: None, judge=judge, pictures=lambda _: tmp_path)
    monkeypatch.setattr(called, "Studio", Studio)
    monkeypatch.setattr(called, "portraits", lambda _: torch.full((4, 3, 8, 8), 255, dtype=torch.uint8))
    monkeypatch.setattr(called.probes, "known", lambda *_: SimpleNamespace(gender=SimpleNamespace(female=female)))
    found = called.genders(lab, ENTRY, (Ask("drawn", ENTRY.members[0]),))  # type: ignore[arg-type]
    real, drawn = found.tables[0].ours
    assert real.name == called.REAL
    assert {n: mean(v) for n, v in real.values.items()} == pytest.approx({"female": 100, "male": 50, "total": 200 / 3})
    assert {n: mean(v) for n, v in drawn.values.items()} == pytest.approx({"female": 0, "male": 100, "total": 50})
    assert found.pictures[0].is_file()


def test_a_table_of_ages_begins_with_how_right_the_probe_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two young people and two others the probe takes one for young, one has no age; drawn are all young."""
    called_so = {255.0: ["young", "young", "young", "elder"], 0.0: ["young"] * 4}

    class Labels:
        def __init__(self, *_: object) -> None: ...

        def of(self, embeddings: Tensor) -> list[str]:
            return called_so[float(embeddings[0]) * 255]

    def studio(*_: object) -> object:
        corpus = SimpleNamespace(packed=SimpleNamespace(people=("a", "b", "c", "d")))
        return SimpleNamespace(corpus=corpus, model=None, of=lambda _: None, drawn=lambda _: torch.zeros(4, 3, 8, 8))

    train = SimpleNamespace(packed=SimpleNamespace(people=("y", "z")))
    labels = {"age": {}, "age group": {"a": "young", "b": "young", "c": "middle", "y": "young", "z": "elder"}}
    judge = SimpleNamespace(embed=lambda faces: faces.mean(dim=(1, 2, 3)))
    lab = SimpleNamespace(labels=labels, judge=judge, corpus=lambda *_: train)
    monkeypatch.setattr(called, "Studio", studio)
    monkeypatch.setattr(called, "portraits", lambda _: torch.full((4, 3, 8, 8), 255, dtype=torch.uint8))
    fakes = {"owners": lambda _: torch.tensor([0, 1]), "embedded": lambda *_: None, "LinearLabels": Labels}
    monkeypatch.setattr(called, "metrics", SimpleNamespace(**fakes))
    (entry,) = find(("E-ARSPM-04",))
    (table,) = called.ages(lab, entry, (Ask("drawn", ENTRY.members[0]),)).tables  # type: ignore[arg-type]
    real, drawn = table.ours
    assert (real.name, drawn.name) == (called.REAL, "drawn") and real.values["elder"] is None
    assert {n: mean(v) for n, v in real.values.items() if v} == pytest.approx(
        {"young": 100, "middle": 0, "total": 200 / 3}
    )
    assert {n: mean(v) for n, v in drawn.values.items() if v} == pytest.approx({"young": 100, "elder": 0, "total": 75})
    assert "by the ages of --people" in table.title and "Published lines are by a commercial service." in table.title


@pytest.mark.parametrize(
    ("entry_id", "judge", "told"),
    [
        ("E-SF2F-03", "own-b", " Published lines are by FaceNet, but for VFS."),
        ("E-SF2F-03", "facenet", ""),  # by which ours are too
        ("E-V2F-07", "facenet", " Published lines are by the papers' own networks."),
        ("E-SF2F-09", "own-b", ""),  # of which nothing is published
    ],
)
def test_a_table_says_by_whom_its_published_lines_are(entry_id: str, judge: str, told: str) -> None:
    (entry,) = find((entry_id,))
    given = report(judge=judge)
    rows = [given["rows"][0] | {"name": f"{seconds} s"} for seconds in (1.25, 5)]
    lab = SimpleNamespace(
        report=lambda *_: given | {"rows": rows}, manifest=None, manifest_of=lambda _: None, classifier=(None, {}),
        judge=SimpleNamespace(name=judge, sha256="b" * 64),
    )  # fmt: skip
    (table,) = entry.measure(lab, entry).tables  # type: ignore[arg-type]
    assert table.title == f"{entry.asks} Judge `{judge}` (sha256 bbbbbbbbbbbb).{told}"
    guess = [line.values for line in table.ours if line.name == RANDOM]
    assert bool(guess) == (entry_id == "E-SF2F-03")  # whose table has such a line
    for values in guess:
        assert values == pytest.approx({f"R@{k}": 100 * k / 15 for k in (1, 2, 5, 10)})
    assert all(value["items"] == 30 for value in (table.ours[-1].values[m] for m in ("cosine", "R@10")) if value)


def test_every_generator_is_measured_at_its_own_side() -> None:
    """Whose photographs it is compared with; the ceiling is the first one's."""
    (entry,) = find(("E-ALL-01",))
    given = report() | {"gender_probe": {"why": "nobody's gender is known"}}
    given["checkpoint"]["parameters"] = {"generator": 3, "discriminator": 4}
    given["real"] = given["rows"][0]
    lab = SimpleNamespace(
        report=lambda _: given, training_seconds=lambda _: 1.0, budget="full",
        judge=SimpleNamespace(name="dlib", sha256="b" * 64),
    )  # fmt: skip
    table = entry.measure(lab, entry).tables[0]  # type: ignore[arg-type]
    by_name = {line.name: line.values for line in table.ours}
    sides = {name: values["pixels"] for name, values in by_name.items() if "pixels" in values}
    assert sides == {
        "real photograph": 64, "voice2face": 64, "SF2F": 64, "Speech2Face": 224, "AR-SPM": 224, "I2G": 128,
        "Wav2Pix": 128,
    }  # fmt: skip
    assert all(by_name[name]["L2"] and set(table.metrics) >= {"pixels", "L2"} for name in sides)
    assert (by_name["chance"]["gender"], by_name["perfect gender only"]["gender"]) == (60, 100)
    assert by_name["SF2F"]["parameters"] == 7 and "discriminators too" in table.title


def test_the_gender_of_generated_faces_stands_beside_that_of_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = find(("E-V2F-08",))
    generated = Found((Table("", ("gender",), (Line("voice2face", {}),), entry.published),))
    monkeypatch.setattr(voice2face, "judged", lambda *_, **__: generated)
    lab = SimpleNamespace(report=lambda _: {"gender_probe": {"mean": 0.9, "interval": [0.8, 1.0]}})
    (table,) = entry.measure(lab, entry).tables  # type: ignore[arg-type]
    assert {line.name: line.values.get("gender") for line in table.published} == {
        "voice2face": 96.45,
        called.REAL: 98.97,
    }
    assert mean(table.ours[1].values["gender"]) == pytest.approx(90) and table.ours[1].name == called.REAL


def test_everybody_is_heard_from_the_beginning_of_a_recording(manifest: Path, tmp_path: Path) -> None:
    """Which repeats where it is shorter than what is heard."""
    corpus = evaluate.corpus_of(scored.clairvoyant(), manifest, "train", tmp_path, scored.CPU)
    lab = SimpleNamespace(seed=3, device=scored.CPU)
    (batch,) = everybody(lab, corpus, 100)  # type: ignore[arg-type]
    assert batch.identity.tolist() == list(range(corpus.n_people)) and len(set(corpus.clip_frames)) == 3
    for person, heard in enumerate(batch.mel):
        first, count = (of[person] for of in corpus.clips)
        whole = [
            corpus.mels[start : start + frames].float().T
            for start, frames in zip(corpus.clip_start, corpus.clip_frames, strict=True)
        ][first : first + count]
        assert any(torch.equal(heard, torch.cat([mel] * 5, dim=1)[:, :100]) for mel in whole)
    (again,) = everybody(lab, corpus, 50)  # type: ignore[arg-type]
    assert torch.equal(again.mel, batch.mel[..., :50])


@pytest.mark.parametrize("distance", conditioned.DISTANCES)
def test_retrieval_finds_any_of_a_persons_faces(distance: Distance) -> None:
    """Three people with two faces each: the first is found at once, the second third, the last not at all."""
    axes = torch.eye(4)
    gallery = torch.stack([axes[0], axes[3], axes[1], axes[3], axes[2], axes[3]])
    query = torch.stack([axes[0], axes[0] * 0.9 + axes[1] * 0.4, axes[0]])
    owner = torch.tensor([0, 0, 1, 1, 2, 2])
    found = conditioned.found_among(query, gallery, owner, 2, distance, seed=0)
    assert mean(found["R@1"]) == pytest.approx(100 / 3)
    assert mean(found["R@2"]) == pytest.approx(200 / 3)


def test_a_random_order_finds_what_chance_does() -> None:
    """Section 6.11's chances for 100 people of 50 faces; of fewer people than K everybody is found."""
    told = conditioned.random_line(378, 50).values
    assert [mean(value) for value in told.values()] == pytest.approx([1.00, 1.99, 4.90, 9.57], abs=0.006)
    assert [mean(value) for value in conditioned.random_line(3, 1).values.values()] == pytest.approx(
        [100 / 3, 200 / 3, 100, 100]
    )
    assert conditioned.galleries_of(378, 50) == "Galleries of 100 x 50 faces."


def test_only_as_many_faces_of_each_are_in_the_gallery() -> None:
    """With one face each the second of the first person, which is the best, is not asked."""
    gallery = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.1]])
    query = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    found = conditioned.found_among(query, gallery, torch.tensor([0, 0, 1]), 1, "l2", seed=0)
    assert mean(found["R@1"]) == 50


def test_groups_share_the_galleries_of_everybody() -> None:
    wanted = torch.eye(30)
    swapped = wanted[torch.tensor([1, 0, *range(2, 30)])]  # the first two are taken for each other
    nationalities = ["A", "A", *["B"] * 20, *[None] * 8]
    asked = Asked(wanted, wanted, ["m", "f"] * 15, nationalities, [torch.arange(15), torch.arange(15, 30)], 0)
    groups = scores.row(asked, [swapped])["groups"]
    assert {name: of["people"] for name, of in groups["nationality"].items()} == {"A": 2, "B": 20}
    assert groups["nationality"]["A"]["cosine"]["mean"] == 0
    assert groups["nationality"]["B"]["recall_10"]["mean"] == 1
    assert groups["gender"]["m"]["cosine"]["mean"] == pytest.approx(14 / 15)


def test_a_system_without_a_fuser_is_asked_plainly() -> None:
    told = {"rows": [{"name": "1.25 s"}, {"name": "5 s"}]}
    assert row_of(told, "5 s, fused") == {"name": "5 s"}
    told["rows"].append({"name": "5 s, fused"})
    assert row_of(told, "5 s, fused") == {"name": "5 s, fused"}


def test_shares_become_per_cents_with_their_interval() -> None:
    assert percent({"mean": 0.5, "interval": [0.25, 0.75], "items": 4}) == {
        "mean": 50, "interval": [25, 75], "items": 4
    }  # fmt: skip
    assert percent(None) is None
    assert percent({"why": "nobody"}) is None


def test_faces_of_all_sizes_lie_on_one_sheet() -> None:
    faces = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert resized(faces, 32) is faces
    assert resized(faces, 64).shape == (2, 3, 64, 64)


def test_several_measurements_are_one(tmp_path: Path) -> None:
    one = Found(pictures=(tmp_path,), missing=("a",))
    assert together(one, Found(missing=("a", "b"))) == Found(pictures=(tmp_path,), missing=("a", "b"))
