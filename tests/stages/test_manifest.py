"""The final table: faces and speech of the same people, each person in one split, readable everywhere."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import removals
from manifests.errors import DataError, UsageError
from manifests.schema import MANIFEST, REVIEW, VOICES, WHITEN
from manifests.table import provenance, read_rows
from manifests.validate import validate_file
from pipeline.identities import Identities, Identity
from pipeline.names import row_id
from pipeline.splits import Fractions, assign, by_paper
from pipeline.stage import Context, Paths
from stages.manifest import FILE, Settings, names_of, run
from tests.factories import make_rows, write_stage

TENTHS = Fractions(0.1, 0.1, 0)
NOBODY = Identities({})


def unnamed(ids: list[str]) -> dict[str, str | None]:
    return dict.fromkeys(ids)


def split_of(ids: list[str], rule: str = "hash", listed: Identities = NOBODY) -> dict[str, str]:
    return assign(unnamed(ids), listed, rule, TENTHS)


def listed(*people: Identity) -> Identities:
    return Identities({person.identity_id: person for person in people})


def named(identities: Identities) -> dict[str, str | None]:
    return {identity_id: person.name for identity_id, person in identities.people.items()}


# --- splits -----------------------------------------------------------------------------------------------------


@given(st.sets(st.text(min_size=1, max_size=8), max_size=40), st.sets(st.text(min_size=1, max_size=8), max_size=40))
def test_newcomers_move_nobody(here: set[str], newcomers: set[str]) -> None:
    before, after = split_of(sorted(here)), split_of(sorted(here | newcomers))
    assert before == {identity_id: after[identity_id] for identity_id in here}


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_fractions_are_near_what_was_asked(seed: int) -> None:
    counts = Counter(
        assign(unnamed([f"id{i}" for i in range(20_000)]), NOBODY, "hash", Fractions(0.1, 0.2, seed)).values()
    )
    assert counts["val"] / 20_000 == pytest.approx(0.1, abs=0.01)  # 4.7 standard deviations
    assert counts["test"] / 20_000 == pytest.approx(0.2, abs=0.0135)


def test_the_seed_decides_who() -> None:
    ids = unnamed([f"id{i}" for i in range(200)])
    assert assign(ids, NOBODY, "hash", Fractions(0.1, 0.1, 0)) != assign(ids, NOBODY, "hash", Fractions(0.1, 0.1, 1))


NAMES = st.sampled_from(["Zoe_Saldana", "Zoë Saldaña", "A.J. Buckley", "a j buckley", "Kim", None])


@given(
    st.dictionaries(
        st.sampled_from([f"id{i}" for i in range(30)]),
        st.tuples(NAMES, st.sampled_from(["dev", "test"]), st.integers(0, 99)),
    ),
    st.sampled_from(["voxceleb", "paper", "hash"]),
    st.data(),
)
def test_nobody_is_in_two_splits_under_whatever_ids(people: dict[str, Any], rule: str, data: Any) -> None:
    """Several ids of one name, a subset present: one split per name, the same as when everybody is present."""
    ids = listed(*(Identity(i, name, voxceleb_set=part, position=at) for i, (name, part, at) in people.items()))
    everyone = assign(named(ids), ids, rule, TENTHS)
    present = data.draw(st.sets(st.sampled_from(sorted(people)))) if people else set()
    some = assign({i: ids.people[i].name for i in present}, ids, rule, TENTHS)
    assert some == {i: everyone[i] for i in present}
    folded = {"Zoë Saldaña": "Zoe_Saldana", "a j buckley": "A.J. Buckley"}
    by_name: dict[str, set[str]] = defaultdict(set)
    for identity_id, split in everyone.items():
        name = ids.people[identity_id].name
        by_name[folded.get(name or "", name or identity_id)].add(split)
    assert all(len(splits) == 1 for splits in by_name.values())


def test_the_papers_rule_gives_the_papers_counts() -> None:
    vox1, vox2 = (Counter(by_paper(i) for i in range(n)) for n in (1251, 6114))
    assert (vox1["train"], vox1["val"], vox1["test"]) == (1001, 125, 125)
    assert (vox2["train"], vox2["val"], vox2["test"]) == (4892, 611, 611)


def test_a_name_in_two_metadata_files_gets_the_strictest_split() -> None:
    twice = listed(Identity("id1", "Harry_Connick_Jr.", position=0), Identity("id2", "Harry Connick, Jr.", position=8))
    assert assign(named(twice), twice, "paper", TENTHS) == {"id1": "test", "id2": "test"}


def test_voxcelebs_test_people_stay_test_and_dev_gives_val() -> None:
    people = [Identity(f"id{i}", f"P{i}", voxceleb_set="test" if i % 4 == 0 else "dev") for i in range(2000)]
    splits = assign(named(listed(*people)), listed(*people), "voxceleb", TENTHS)
    assert {p.identity_id for p in people if splits[p.identity_id] == "test"} == {
        p.identity_id for p in people if p.voxceleb_set == "test"
    }
    assert Counter(splits.values())["val"] / 1500 == pytest.approx(0.1, abs=0.035)


@pytest.mark.parametrize("rule", ["voxceleb", "paper"])
def test_people_the_metadata_does_not_know_stop_the_stage(rule: str) -> None:
    with pytest.raises(DataError, match=rf"manifest.split: {rule} .*id7.*split: hash"):
        split_of(["id7"], rule)


def test_real_metadata_gives_voxcelebs_own_test_people(real_data: Path) -> None:
    from pipeline import identities

    known = identities.load([real_data / "meta" / "vox1_meta.csv"])
    splits = assign(named(known), known, "voxceleb", TENTHS)
    assert Counter(splits.values())["test"] == 40  # VoxCeleb1's published test set
    assert Counter(assign(named(known), known, "paper", TENTHS).values()) == {"train": 1001, "val": 125, "test": 125}


# --- the table ----------------------------------------------------------------------------------------------------


def upstream(data: Path, faces: int = 8, clips: int = 12) -> None:
    """Reviewed faces of two people and recordings of three, in two shards each."""
    whitened, plain = make_rows(WHITEN, faces), make_rows(REVIEW, faces)
    speech = make_rows(VOICES, clips, row_id=lambda i: row_id("voice", str(i)))
    for bucket, (first, last) in enumerate(((0, 4), (4, 100))):
        write_stage(data, WHITEN, whitened[first:last], bucket=bucket)
        shared = [{name: row[name] for name in ("row_id", "sample_id")} for row in whitened]
        reviewed = [row | same | {"row": i - first} for i, (row, same) in enumerate(zip(plain, shared, strict=True))]
        reviewed = [row | {"shard": f"whiten/part-{bucket:04d}.parquet"} for row in reviewed]
        write_stage(data, REVIEW, reviewed[first:last], bucket=bucket)
        write_stage(data, VOICES, speech[first:last], bucket=bucket)


def make(folder: Path, **settings: Any) -> dict[str, Any]:
    salted = folder / "removals.jsonl"
    if not salted.exists():
        removals.add(salted, identity_id="someone-else")
    paths = Paths(folder / "data", folder / "reports", folder / "metrics", folder / "review")
    return run(Settings(removals=salted, **settings), Context(paths, 4, 0))


def test_the_manifest_is_valid_and_has_exactly_the_contracts_columns(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    metrics = make(tmp_path)
    path = tmp_path / "data" / FILE
    assert pq.read_schema(path).names == list(MANIFEST.names)
    assert validate_file(path) == []
    assert (metrics["input"], metrics["kept"], metrics["reasons"]) == (20, 16, {"no_face": 4})


def test_every_row_comes_back_as_kept_or_dropped(tmp_path: Path) -> None:
    upstream(tmp_path / "data", faces=12, clips=8)
    metrics = make(tmp_path)
    kept = read_rows(tmp_path / "data" / FILE)
    drops = read_rows(tmp_path / "data" / "drops" / "manifest" / "part-0000.parquet")
    assert metrics["reasons"] == {"no_speech": 4}
    assert len(kept) + len(drops) == 20
    assert {row["stage"] for row in drops} == {"manifest"}
    assert {row["identity_id"] for row in drops} == {"id10003"}


def test_people_with_one_half_stay_when_both_are_not_required(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    assert make(tmp_path, require_both=False)["kept"] == 20


def test_removed_people_go_and_take_their_other_half_with_them(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    removals.add(tmp_path / "removals.jsonl", identity_id="id10001")
    assert make(tmp_path)["reasons"] == {"no_face": 4, "removed": 8}
    assert {row["identity_id"] for row in read_rows(tmp_path / "data" / FILE)} == {"id10002"}


def test_the_order_of_shards_and_a_second_run_do_not_change_a_byte(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    path = tmp_path / "data" / FILE
    digests = []
    for _ in range(2):
        make(tmp_path)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    rows = read_rows(path)
    assert rows == sorted(rows, key=lambda r: (r["identity_id"], r["kind"], r["row_id"]))


def test_the_footer_says_what_it_was_made_from(tmp_path: Path) -> None:
    upstream(tmp_path / "data")
    make(tmp_path, split="hash", val_fraction=0.2)
    recorded = provenance(tmp_path / "data" / FILE)
    assert recorded["settings"]["val_fraction"] == 0.2
    assert set(recorded["weights"]) == {"some-net"}
    assert set(recorded["inputs"]) == {"review", "voices"}
    assert recorded["stages"]["review"] == {"limit": 1}
    assert len(recorded["code"]) == 64


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_only_one_half_knows_is_the_persons_name(order: int) -> None:
    halves = [{"identity_id": "id1", "name": "Kim"}, {"identity_id": "id1", "name": None}]
    assert names_of(halves[::order]) == {"id1": "Kim"}


def test_shares_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="together at most 1"):
        Settings(val_fraction=0.6, test_fraction=0.6)


def test_four_libraries_read_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas, polars, DuckDB and datasets agree on rows, columns and a sum."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import duckdb
    import pandas as pd
    import polars as pl

    upstream(tmp_path / "data")
    make(tmp_path)
    path = str(tmp_path / "data" / FILE)
    seconds = sum(row["duration_s"] or 0 for row in read_rows(Path(path)))
    frame = pd.read_parquet(path)
    assert (list(frame.columns), len(frame), frame["duration_s"].sum()) == (list(MANIFEST.names), 16, seconds)
    table = pl.read_parquet(path)
    assert (table.columns, table.height, table["duration_s"].sum()) == (list(MANIFEST.names), 16, seconds)
    found = duckdb.sql(f"select count(*), sum(duration_s) from '{path}'").fetchall()
    assert found == [(16, seconds)]
    loaded = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert (loaded.column_names, loaded.num_rows) == (list(MANIFEST.names), 16)
    assert sum(value or 0 for value in loaded["duration_s"]) == seconds
