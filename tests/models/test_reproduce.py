"""`models reproduce`: the table of ids, verdicts, what is written; and every id at the budget `smoke`."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import t
from torch import Tensor

from manifests.errors import DataError, Missing, UsageError
from manifests.schema import MANIFEST
from manifests.table import provenance, read_rows, write_table
from models import craniofacial, experiments, probes, reproduce
from models.cli import main
from models.reproduction import budgets, people, speech2face
from models.reproduction.attributes import FROM_FACE, FROM_SPEECH
from models.reproduction.conditioned import DISTANCES
from models.reproduction.entry import Budget, Claim, Entry, Found, Line, Member, Table, Value, against, lines
from models.reproduction.i2g import I2G
from models.reproduction.lab import Lab
from models.reproduction.measures import each
from models.reproduction.real import SIDES
from models.reproduction.spoken import retrieved
from models.reproduction.table import ENTRIES, find
from models.reproduction.verdict import verdicts
from models.system import load, plan
from tests.models import drawn, scored

CPU = torch.device("cpu")
COUNTS = {"SF2F": 12, "S2F": 12, "I2G": 10, "ARSPM": 9, "V2F": 9, "ALL": 1, "PLUS": 1}


def everybody(members: tuple[Member, ...]) -> list[Member]:
    """The members, and those that they begin with."""
    found = list(members)
    for one in members:
        found += everybody(tuple(start for start in (one.start, one.full_start) if start))
    return found


def test_every_table_and_figure_has_an_id() -> None:
    wanted = [f"E-{paper}-{number:02d}" for paper, count in COUNTS.items() for number in range(1, count + 1)]
    assert [entry.id for entry in ENTRIES] == wanted


@pytest.mark.parametrize("budget", get_args(Budget))
def test_every_member_has_settings_that_can_be_trained(budget: Budget) -> None:
    """Unknown experiments, settings that do not exist and values that no network can have are told here."""
    seen = set()
    for member in everybody(tuple(one for entry in ENTRIES for one in entry.members)):
        name = budgets.folder_name(member, budget)
        if name in seen:
            continue
        seen.add(name)
        experiment, settings = budgets.planned(member, budget)
        module = load(experiment.system)
        assert plan(module, settings)
        with torch.device("meta"):
            assert module.build(settings, 10)
    assert len(seen) > 30


def test_members_that_are_trained_alike_are_trained_once() -> None:
    one = Member("a", "sf2f-64", "sf2f-small", ("l1=0",))
    assert budgets.folder_name(one, "small") == budgets.folder_name(replace(one, name="b"), "small")
    others = (replace(one, raw=True), replace(one, changes=("l1=1",)), replace(one, small="voice2face-small"))
    assert len({budgets.folder_name(member, "small") for member in (one, *others)}) == 4
    assert budgets.folder_name(one, "full") == "sf2f-64"  # whose changes are another


def test_the_grid_of_settings_keeps_what_the_papers_does() -> None:
    """Tables 13 and 14 are of the paper's betas, lengths and training of the fuser; the released code has others."""
    (entry,) = find(("E-SF2F-09",))
    papers = experiments.find("sf2f-64-paper").settings
    names = ("betas", "iterations", "settling", "fuser_iterations", "fuser_rate", "l1", "image_gan", "identity",
             "perceptual", "embedding")  # fmt: skip
    told = {one.name: budgets.planned(one, "full")[1] for one in entry.members}
    for settings in told.values():
        assert [getattr(settings, name) for name in names] == [getattr(papers, name) for name in names]
        assert (settings.betas, settings.iterations + settings.settling) == ((0.9, 0.98), 120_000)
    assert [told[f"rate {rate:g}"].rate for rate in (1e-4, 2e-4, 5e-4, 1e-3)] == [1e-4, 2e-4, 5e-4, 1e-3]
    assert [told[f"batch {batch}"].batch for batch in (64, 128, 256, 512)] == [64, 128, 256, 512]
    assert told["rate 0.0005"] == told["batch 256"] and len(told) == 8


def test_a_smoke_run_takes_a_few_iterations() -> None:
    for member in everybody(tuple(one for entry in ENTRIES for one in entry.members)):
        experiment, settings = budgets.planned(member, "smoke")
        assert sum(phase.iterations for phase in plan(load(experiment.system), settings)) <= 8


def lines_of(entry: Entry) -> set[str]:
    """The names of the lines that an id measures; of those whose names come with the data, the published ones."""
    given = getattr(entry.measure, "keywords", {})
    names = {one.line for kind in ("heard", "asked") for one in given.get(kind, ())}
    if "sizes" in given:  # of priors
        return {f"{n} - {m}" for m, n in pairwise(given["sizes"])}
    if retrieved in (getattr(entry.measure, "func", None), entry.measure) or entry.id == "E-I2G-08":
        names = names or {member.name for member in entry.members}
        return {f"{name}, {distance}" for name in names for distance in DISTANCES} | {"random"}
    alone = {
        "E-I2G-06": {f"{I2G.name}, {group}" for group in ("different genders", "the same gender")},
        "E-S2F-05": {ask.line for ask in speech2face._LOSSES},
        "E-S2F-06": set(craniofacial.MEASURES),
        "E-SF2F-02": {str(side) for side in SIDES},
        "E-V2F-06": {"voice", "noise"},
    }
    return alone.get(entry.id) or names or {member.name for member in entry.members}


def test_every_claim_is_about_lines_and_columns_that_are_there() -> None:
    checked = 0
    for entry in ENTRIES:
        for claim in entry.claims:
            assert not entry.metrics or claim.metric in entry.metrics, (entry.id, claim)
            assert claim.larger != claim.smaller
            assert {claim.larger, claim.smaller} <= lines_of(entry), (entry.id, claim)
            checked += 1
        for line in entry.published:
            assert set(line.values) <= set(entry.metrics) | {"training_h"}, (entry.id, line)
    assert checked > 100


def test_the_sums_of_the_tables_are_those_of_the_facts() -> None:
    """A digit mistyped anywhere changes a sum; these were added up from the papers' tables apart from the rows."""
    sums = {
        "E-SF2F-02": 157.236, "E-SF2F-08": 358.805, "E-S2F-04": 500.78, "E-I2G-01": 550.51, "E-I2G-08": 912.4,
        "E-ARSPM-01": 233.505, "E-ARSPM-02": 2599.226, "E-ARSPM-03": 1369.3, "E-ARSPM-04": 1167.6,
    }  # fmt: skip
    for entry in find(tuple(sums)):
        printed = [value for line in entry.published for value in line.values.values() if isinstance(value, float)]
        assert sum(printed) == pytest.approx(sums[entry.id], abs=1e-6), entry.id


def test_published_confusions_are_of_whole_rows() -> None:
    checked = 0
    for one in (*FROM_SPEECH.values(), *FROM_FACE.values()):
        assert tuple(line.name for line in one.published) == one.metrics
        for line in one.published:
            assert sum(float(share) for share in line.values.values() if isinstance(share, float)) == pytest.approx(
                1, abs=0.025
            )  # printed with two digits
            checked += 1
    assert checked == 22


def test_rows_and_columns_that_are_easily_forgotten() -> None:
    all_of_them, sets, matching = find(("E-ALL-01", "E-SF2F-06", "E-V2F-09"))
    assert {"top-1", "top-5", "Fréchet N"} <= set(all_of_them.metrics)  # sections 6.10 and 6.17
    assert any(line.name.startswith("AVSpeech") for line in sets.published)
    printed = {line.name: tuple(line.values.values()) for line in matching.published}
    assert printed["voice2face, training people"] == (96.83, 93.98)


def test_claims_follow_the_published_numbers() -> None:
    printed = lines(("a", "b"), {"ours": (2.0, None), "other": (1.0, 5.0), "third": (3.0, 1.0), "equal": (2.0, 1.0)})
    assert against("ours", printed, ("a", "b")) == (Claim("a", "ours", "other"), Claim("a", "third", "ours"))


def table(ours: tuple[Line, ...]) -> Table:
    printed = lines(("m",), {"x": (3.0,), "y": (1.0,)})
    return Table("", ("m",), ours, printed, (Claim("m", "x", "y"),))


def figure(mean: float, half: float) -> dict[str, object]:
    return {"mean": mean, "interval": [mean - half, mean + half]}


@pytest.mark.parametrize(
    ("x", "y", "verdict"),
    [(9.0, 4.0, "agrees"), (4.0, 9.0, "disagrees"), (6.0, 4.5, "within the interval"), (None, 1.0, "not measured")],
)
def test_verdicts_know_the_interval(x: float | None, y: float, verdict: str) -> None:
    """Half widths 1.5 and 2 make 2.5 for the difference."""
    value = None if x is None else figure(x, 1.5)
    (one,) = verdicts(table((Line("x", {"m": value}), Line("y", {"m": figure(y, 2.0)}))))
    assert one.verdict == verdict
    assert one.published_gap == 2.0
    if x is not None:
        assert one.gap == pytest.approx(x - y)
        assert one.half_width == pytest.approx(2.5)


@pytest.mark.parametrize(
    "value",
    [
        9.0, 1.0, math.nan, {"mean": 9.0}, {"mean": math.nan, "interval": [0.0, 1.0]},
        {"mean": 9.0, "interval": [math.nan, 9.0]}, {**figure(9, 0), "items": 12}, {**figure(9, 0), "items": 1},
        {"mean": 9.0, "spread_over_splits": 0.0, "items": 36}, {"mean": 9.0, "spread_over_splits": math.nan},
    ],
)  # fmt: skip
def test_without_an_interval_nothing_is_decided(value: Value) -> None:
    """Nor by one person, by people who are all alike, or by what is no number."""
    (one,) = verdicts(table((Line("x", {"m": value}), Line("y", {"m": figure(1.0, 0.1)}))))
    assert one.verdict == "not decided" and one.half_width is None
    assert one.gap is None or math.isfinite(one.gap)


@pytest.mark.parametrize("faces", [{}, {"items": 3780}])
@pytest.mark.parametrize(("spread", "verdict"), [(5.0, "within the interval"), (0.01, "agrees")])
def test_the_spread_over_splits_makes_an_interval(spread: float, verdict: str, faces: dict[str, int]) -> None:
    """Five splits of 20 +- 5 and of 19.9 +- 5 are alike, of however many faces; Student's t gives the half width."""
    values = [{"mean": mean, "spread_over_splits": spread, **faces} for mean in (20.0, 19.9)]
    (one,) = verdicts(table(tuple(Line(name, {"m": value}) for name, value in zip("xy", values, strict=True))))
    assert one.verdict == verdict
    splits = 20 + spread * np.array([-1.5, -0.5, 0, 0.5, 1.5]) / np.sqrt(np.mean(np.square([1.5, 0.5, 0, 0.5, 1.5])))
    low, high = t.interval(0.95, 4, splits.mean(), splits.std(ddof=1) / np.sqrt(5))
    assert one.half_width == pytest.approx((high - low) / 2 * math.sqrt(2), rel=1e-3)


def test_a_line_that_is_missing_is_not_measured() -> None:
    (one,) = verdicts(table((Line("x", {"m": 1.0}),)))
    assert (one.verdict, one.gap) == ("not measured", None)


def test_unknown_ids_are_told_with_the_valid_ones() -> None:
    with pytest.raises(UsageError, match="E-SF2F-01"):
        find(("E-NONE",))
    with pytest.raises(UsageError, match="all stands alone"):
        find(("all", "E-SF2F-01"))
    assert find(("all",)) == ENTRIES
    assert [entry.id for entry in find(("E-I2G-03", "E-SF2F-01", "E-I2G-03"))] == ["E-I2G-03", "E-SF2F-01"]


def test_counts_of_a_manifest_stand_beside_the_papers(manifest: Path, tmp_path: Path) -> None:
    (result,) = reproduce.reproduce(("E-SF2F-01",), Lab(manifest, tmp_path, "smoke", CPU))
    ours = {line.name: line.values for line in result.found.tables[0].ours}
    assert (ours["all"]["identities"], ours["train"]["images"], ours["test"]["speech"]) == (11, 12, 6)
    told = json.loads((tmp_path / "smoke-0" / "E-SF2F-01" / "result.json").read_text())
    assert told["tables"][0]["published"][0]["values"]["identities"] == 3638
    text = (tmp_path / "smoke-0" / "E-SF2F-01" / "result.md").read_text()
    assert "Budget `smoke`, seed 0." in text
    assert "| *all, published* | 3638 | 8028 | 609,700 | 505.4 |" in text
    assert "noise" in text  # which a smoke budget's figures are


def test_what_is_missing_is_told_and_the_rest_is_measured(manifest: Path, tmp_path: Path) -> None:
    ids = ("E-SF2F-08", "E-SF2F-12", "E-S2F-09", "E-ARSPM-04", "E-S2F-12")
    results = list(reproduce.reproduce(ids, Lab(manifest, tmp_path, "smoke", CPU)))
    missing = {result.entry.id: result.text.partition("Missing: ")[2] for result in results}
    assert {result.entry.id for result in results if result.failure is Missing} == {
        "E-SF2F-08", "E-SF2F-12", "E-ARSPM-04"
    }  # fmt: skip  # nothing that can be run or given makes E-S2F-09
    assert "--raw" in missing["E-SF2F-08"] and "filtered_vggface" in missing["E-SF2F-08"]
    assert "pipeline run" in missing["E-SF2F-12"]
    assert "column `language`" in missing["E-S2F-09"]
    assert "column `age`" in missing["E-ARSPM-04"] and "--people" in missing["E-ARSPM-04"]
    assert all(f"--people FILE, a CSV of columns identity_id,{name}" in missing["E-S2F-12"] for name in people.COLUMNS)
    assert len(results[-1].found.tables) == 2
    summary = reproduce.summary(results)
    assert all(entry_id in summary for entry_id in ids)


def test_raw_members_ask_for_the_raw_manifest(manifest: Path, tmp_path: Path) -> None:
    member = Member("x", "sf2f-64", "sf2f-small", raw=True)
    with pytest.raises(Missing, match=r"params/filtered_vggface\.yaml"):
        Lab(manifest, tmp_path, "smoke", CPU).manifest_of(member)
    assert Lab(manifest, tmp_path, "smoke", CPU, raw=tmp_path / "raw").manifest_of(member) == tmp_path / "raw"


def failing(monkeypatch: pytest.MonkeyPatch, **found: Found | Exception) -> tuple[str, ...]:
    """Ids that give this."""

    def measure(_lab: Lab, entry: Entry) -> Found:
        given = found[entry.id]
        if isinstance(given, Exception):
            raise given
        return given

    entries = tuple(Entry(name, "source", "Asks.", measure) for name in found)
    monkeypatch.setattr(reproduce, "find", lambda ids: entries)
    return tuple(found)


GIVEN = Found((Table("", ("m",), (Line("x", {"m": 1.0}),)),))


def test_one_bad_id_stops_no_other(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan = Found((Table("", ("m",), (Line("x", {"m": {"mean": math.nan}}),)),))
    ids = failing(
        monkeypatch, a=DataError("no genders"), b=UsageError("in use"), c=Missing("no weights"), d=nan, e=GIVEN
    )
    result = CliRunner().invoke(
        main, ["reproduce", *ids, "--manifest", str(manifest), "--out", str(tmp_path), "--budget", "smoke"]
    )
    assert result.exit_code == 3, result.output
    assert "Failed: no genders." in result.output and "Missing: no weights." in result.output
    assert "4 of 5 ids failed: a, b, c, d" in result.output and "| e | " in result.output
    for name in ids:
        json.loads((tmp_path / "smoke-0" / name / "result.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Found(errors=(Missing("x"),)), 4),
        (Found(GIVEN.tables, errors=(Missing("x"),)), 0),  # the rest of it was measured
        (Found(GIVEN.tables, errors=(Missing("x"), DataError("y"))), 3),
        (Found(missing=("what nobody has",)), 0),
        (UsageError("in use"), 2),
    ],
)
def test_the_exit_code_tells_the_worst(
    found: Found | Exception, code: int, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, a=found, b=GIVEN)
    asked = ["reproduce", "a", "b", "--manifest", str(manifest), "--out", str(tmp_path)]
    assert CliRunner().invoke(main, asked).exit_code == code


def test_a_line_that_fails_costs_itself() -> None:
    def line(number: int) -> Line:
        if number < 2:
            raise (DataError, Missing)[number](str(number))
        return Line(str(number), {})

    found, errors = each(range(3), line)
    assert [one.name for one in found] == ["2"] and [type(error) for error in errors] == [DataError, Missing]


def moved(manifest: Path, folder: Path) -> Path:
    """The same people, one of them in another split."""
    rows = read_rows(manifest)
    first = rows[0]["identity_id"]
    there = manifest.with_name("moved.parquet")
    changed = [row | {"split": "test"} if row["identity_id"] == first else row for row in rows]
    write_table(there, MANIFEST, changed, provenance(manifest))
    return there


def test_what_is_named_is_opened_before_anything_is_trained(manifest: Path, tmp_path: Path) -> None:
    raw = drawn.write_manifest(tmp_path / "raw", drawn.Sketch(seed=1))
    for code, told, *given in (
        (4, "nope", "--manifest", tmp_path / "nope.parquet"),
        (4, "nope", "--raw", tmp_path / "nope.parquet"),
        (2, "holds the data of --manifest", "--raw", manifest),
        (2, "in split test, not train", "--raw", moved(manifest, tmp_path)),
        (2, "no judge arcface", "--judge", "arcface"),
    ):
        asked = ["reproduce", "E-SF2F-08", "--manifest", manifest, "--out", tmp_path / "out", *given]
        result = CliRunner().invoke(main, list(map(str, asked)))
        assert (result.exit_code, told in result.output) == (code, True), result.output
        assert not (tmp_path / "out").exists()
    Lab(manifest, tmp_path, "smoke", CPU, raw=raw).expect_inputs()


def test_a_split_of_one_person_is_told(tmp_path: Path) -> None:
    manifest = drawn.write_manifest(tmp_path, drawn.Sketch(test=1))
    with pytest.raises(DataError, match="one person"):
        Lab(manifest, tmp_path / "out", "smoke", CPU).corpus(scored.sf2f_model())


def test_training_is_told_of_only_while_iterations_are_left(manifest: Path, tmp_path: Path) -> None:
    member = Member("x", "speaker", "speaker-small", ("frames=[30,50]",))
    said: list[str] = []
    for _ in range(2):
        Lab(manifest, tmp_path, "smoke", CPU, say=said.append).trained(member)
    assert said == ["speaker-small-frames__30_50_: training"]


def test_another_budget_or_seed_writes_elsewhere(manifest: Path, tmp_path: Path) -> None:
    labs = (
        Lab(manifest, tmp_path, "smoke", CPU),
        Lab(manifest, tmp_path, "small", CPU),
        Lab(manifest, tmp_path, "smoke", CPU, seed=1),
    )
    assert len({lab.pictures("E-SF2F-01") for lab in labs}) == 3


def test_a_line_tells_of_how_many_its_figures_are(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Value] = {"m": {"mean": 1.0, "interval": [0.0, 2.0], "items": 12}, "n": 2.0}
    told = Table("", ("m", "n"), (Line("x", values), Line("y", {"n": 1.0})), lines(("m",), {"x": (3.0,)}))
    failing(monkeypatch, a=Found((told,)))
    (result,) = reproduce.reproduce(("a",), Lab(manifest, tmp_path, "smoke", CPU))
    assert "|  | N | m | n |" in result.text and "| x | 12 | 1 (0–2) | 2 |" in result.text
    assert "| *x, published* | - | 3 | - |" in result.text and "| y | - | - | 1 |" in result.text


def test_a_line_tells_of_how_many_faces_its_score_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E-SF2F-02 scores every real face of split `test`: here of five people two each."""

    def classes(faces: Tensor) -> dict[str, Tensor]:
        return {"rgb": torch.softmax(50 * faces.mean(dim=(2, 3)), dim=1)}

    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))  # so no Inception Score
    monkeypatch.setattr(probes, "classifier", lambda _: (classes, {"name": "fake"}))
    five = drawn.write_manifest(tmp_path / "five", drawn.Sketch(test=5))
    (result,) = reproduce.reproduce(("E-SF2F-02",), Lab(five, tmp_path, "smoke", CPU))
    assert "|  | N | IS | VFS |" in result.text
    for line in result.found.tables[0].ours:
        assert f"| {line.name} | 10 | - | " in result.text


def test_models_that_are_one_at_this_budget_are_told(manifest: Path, tmp_path: Path) -> None:
    (entry,) = find(("E-S2F-03",))
    shared = {budget: reproduce._shared(Lab(manifest, tmp_path, budget, CPU), entry) for budget in get_args(Budget)}
    assert shared["full"] == []
    (told,) = shared["small"]
    assert "262 to 262 frames" in told and "Speech2Face and Speech2Face, 3 s" in told


def test_names_of_a_manifest_cannot_leave_their_cell(manifest: Path, tmp_path: Path) -> None:
    rows = read_rows(manifest)
    evil = manifest.with_name("evil.parquet")
    write_table(evil, MANIFEST, [row | {"nationality": "x | y\x1b[31m\n"} for row in rows], provenance(manifest))
    (result,) = reproduce.reproduce(("E-S2F-12",), Lab(evil, tmp_path, "smoke", CPU))
    assert "\x1b" not in result.text and "x \\| y" in result.text


def test_compare_all_asks_for_its_options() -> None:
    for arguments in (["compare", "--all"], ["compare"], ["compare", "--all", "run", "--manifest", "m", "--out", "o"]):
        assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.slow
def test_every_id_runs_at_the_smoke_budget(tmp_path: Path) -> None:
    """All ids on a small world, raw and normalised: nothing fails, and nothing is missing but what is known to be."""
    from pipeline.world.manifest import Recipe, write_manifest

    recipe = Recipe(
        40, faces_per_person=2, clips_per_person=2, clip_s=4.0, side=64, val_fraction=0.1, test_fraction=0.4
    )
    manifest = write_manifest(tmp_path / "world", recipe)
    raw = write_manifest(tmp_path / "raw", replace(recipe, raw=True))
    torch.set_num_threads(1)
    everyone = sorted({row["identity_id"] for row in read_rows(manifest)})
    table = tmp_path / "people.csv"
    cells = [f"{one},{(20, 50, 70)[n % 3]},{('Asian', 'White')[n % 2]}" for n, one in enumerate(everyone)]
    table.write_text("\n".join(["identity_id,age,ethnicity", *cells]))
    lab = Lab(manifest, tmp_path / "out", "smoke", CPU, raw=raw, labels=people.read(table))
    results = list(reproduce.reproduce(("all",), lab))
    assert len(results) == len(ENTRIES)
    empty = {result.entry.id for result in results if not result.found.tables and not result.found.pictures}
    assert empty <= {"E-SF2F-02", "E-SF2F-12", "E-S2F-09"}
    for result in results:
        for told in result.found.tables:
            measured = [value for line in told.ours for value in line.values.values() if value is not None]
            assert measured or not told.ours, (result.entry.id, told.title)
        assert all(picture.exists() for picture in result.found.pictures)
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) < 500e6
