"""The papers' figures are whole, and belong to experiments that exist."""

import pytest

from models.experiments import EXPERIMENTS
from models.literature import MATCHERS, PUBLISHED, VOICE2FACE
from models.reproduction.attributes import FROM_FACE, FROM_SPEECH
from models.reproduction.table import ENTRIES, find

NAMES = {experiment.name for experiment in EXPERIMENTS}


def test_every_published_row_belongs_to_an_experiment() -> None:
    named = {row.experiment for row in (*PUBLISHED, *MATCHERS)} | {row.system for row in VOICE2FACE}
    assert named <= NAMES


def test_every_experiment_that_reproduces_a_table_has_its_row() -> None:
    with_row = {row.experiment for row in PUBLISHED} | {row.system for row in VOICE2FACE}
    of_judged_faces = [one for one in EXPERIMENTS if one.system in ("sf2f", "voice2face")]
    assert {one.name for one in of_judged_faces if "Table" in one.reproduces} == with_row


def test_recall_grows_with_k_and_shares_are_per_cents() -> None:
    for row in PUBLISHED:
        assert list(row.recall) == sorted(row.recall) and row.recall[0] > 0 and row.recall[-1] < 100
        assert 0 < row.cosine < 1 < row.l1


def test_the_sums_of_the_tables_are_those_of_the_facts() -> None:
    """A digit mistyped anywhere changes a sum; these were added up from the paper's tables apart from the rows."""
    of_table = {table: [row for row in PUBLISHED if row.table == table] for table in "3457"}
    assert [len(rows) for rows in of_table.values()] == [6, 5, 2, 6]
    fused = [row for row in of_table["7"] if row.fused]
    assert round(sum(row.recall[0] for row in fused), 2) == 24.53
    assert round(sum(row.vfs for row in fused), 2) == 110.30
    assert round(sum(row.l1 for row in of_table["4"]), 2) == 100.28
    assert round(sum(row.cosine for row in of_table["4"]), 3) == 1.321


def test_published_matching_is_above_chance_and_easier_against_anybody() -> None:
    for row in MATCHERS:
        for found in (row.v_f, row.f_v):
            assert all(100 / candidates < value < 100 for (candidates, _), value in found.items())
            assert (2, "G") not in found or found[2, "G"] < found[2, "U"]
    by_name = {row.experiment: row for row in MATCHERS}
    sums = [
        round(sum(row.v_f[2, "U"] for row in MATCHERS if (2, "U") in row.v_f), 2),
        round(sum(by_name["dimnet-g"].v_f.values()), 2),
    ]
    assert sums == [321.47, 123.22]


# Every number of these tables, line by line, typed anew from the papers; dashes are left out.
PRINTED = {
    "E-SF2F-03": """
        voice2face, 1.25 s: 0.202 23.46 1.77 3.55 14.60 20.33 15.47
        SF2F no fuser, 1.25 s: 0.304 19.22 5.32 8.10 19.27 32.80 18.59
        voice2face, 5 s: 0.205 23.17 1.64 3.64 15.12 20.82 15.68
        SF2F no fuser, 5 s: 0.294 18.51 4.11 8.38 19.43 33.97 18.54
        SF2F, 5 s: 0.317 17.91 5.75 9.32 20.36 36.65 19.49
        random: 1 2 5 10""",
    "E-SF2F-05": """
        single, 64: 0.317 17.91 5.75 9.32 20.36 36.65 19.49
        single, 128: 0.278 18.54 5.02 8.60 19.43 32.25 18.53
        multi, 128: 0.313 17.46 6.10 9.25 18.77 35.38 20.10
        SF2F, 128 px, no fuser, as released: 19.31""",
    "E-SF2F-06": """
        FVMatching: 1078 118553 131815
        FVCeleb: 181 181 239
        AVSpeech, at least: 100000
        VoxCeleb: 7245 1237274
        filtered VGGFace: 1225 139572 149354
        HQ-VoxCeleb: 3638 8028 609700 505.41""",
    "E-SF2F-07": """
        w/o image reconstruction: 0.310 21.74 3.47 7.26 18.36 31.56 16.84
        w/o adversarial: 0.298 20.97 3.23 8.70 16.73 32.36 18.51
        w/o auxiliary classifier: 0.310 18.13 5.24 8.45 17.30 34.28 19.16
        w/o perceptual: 0.236 18.22 2.73 5.23 15.39 26.37 18.44
        baseline encoder: 0.309 18.47 5.54 9.26 19.18 34.75 18.89
        baseline decoder: 0.311 18.52 4.32 8.56 19.47 34.25 18.46
        full: 0.317 17.91 5.75 9.32 20.36 36.65 19.49
        low-quality data: 0.267 19.94 1.96 4.21 10.67 21.34 16.73""",
    "E-SF2F-10": "SF2F: 18\nsingle, 128: 32",
    "E-S2F-01": "from speech: 94 94",
    "E-S2F-02": """
        from the face: 89 98
        from speech: 94 94
        from speech, by the face drawn from the face: 96 91""",
    "E-S2F-03": "3 s: 48.43 0.19 9.81\n6 s: 45.75 0.18 9.42",
    "E-S2F-06": """
        upper lip height: 0.156
        lateral upper lip heights: 0.264
        jaw width: 0.107
        nose height: 0.142
        nose width: 0.353
        labio-oral region: 0.165
        mandibular index: 0.196
        intercanthal index: 0.210
        nasal index: 0.376
        vermilion height index: 0.294
        mouth-face width index: 0.204
        nose area: 0.283
        philtrum width: 0.038""",
    "E-I2G-02": """
        SVHF-Net: 81.00 35 79.50
        DIMNet-IG: 84.12 40 84.03
        I2G: 79.90 55.66 80.83 54.84""",
    "E-I2G-06": "I2G, different genders: 0.46 0.27\nI2G, the same gender: 0.28 0.15",
    "E-I2G-07": "I2G: 76.65 79.68 95.14\nI2G w/o mil: 47.2",
    "E-ARSPM-06": "face to face: 97.158 1.890 14.534",
    "E-ARSPM-07": "gender: 97.01",
    "E-ARSPM-09": "neutral+fc: 15.204\nSpeech2Face: 40.66\nSpeech2Face, as its own paper has it: 45.75",
    "E-V2F-01": """
        all: 1225 139572 149354
        train: 924 106584 113322
        val: 112 12533 14182
        test: 189 20455 21850""",
    "E-V2F-06": "voice: 0.09 0.13\nnoise: 0.06 0.07",
    "E-V2F-07": "voice2face: 61.7 82.3",
}


@pytest.mark.parametrize("entry_id", PRINTED)
def test_published_lines_are_printed_to_the_digit(entry_id: str) -> None:
    wanted = {}
    for line in PRINTED[entry_id].strip().splitlines():
        name, _, numbers = line.strip().rpartition(": ")
        wanted[name] = [float(number) for number in numbers.split()]
    (entry,) = find((entry_id,))
    assert {line.name: [v for v in line.values.values() if v is not None] for line in entry.published} == wanted


def test_the_cells_of_confusions_stand_in_their_places() -> None:
    """Sums of the cells by number of row times number of column, added up from the official files' digits."""
    sums = {
        ("speech", "ethnicity"): 28.46, ("speech", "age"): 119.18,
        ("face", "ethnicity"): 28.15, ("face", "age"): 133.61,
    }  # fmt: skip
    for (source, label), total in sums.items():
        matrix = {"speech": FROM_SPEECH, "face": FROM_FACE}[source][label]
        rows = [[value for value in line.values.values() if isinstance(value, float)] for line in matrix.published]
        weighed = (r * c * cell for r, row in enumerate(rows, 1) for c, cell in enumerate(row, 1))
        assert sum(weighed) == pytest.approx(total), (source, label)


def test_no_claim_contradicts_the_papers_own_numbers() -> None:
    checked = 0
    for entry in ENTRIES:
        printed = {line.name: line.values for line in entry.published}
        assert len(printed) == len(entry.published), entry.id  # no line twice
        for metric, *both in entry.claims:
            larger, smaller = (printed.get(name, {}).get(metric) for name in both)
            if larger is not None and smaller is not None:
                assert isinstance(larger, float) and isinstance(smaller, float) and larger > smaller, (entry.id, metric)
                checked += 1
    assert checked > 80
