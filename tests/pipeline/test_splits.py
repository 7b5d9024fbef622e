"""Splits: nobody in two, newcomers move nobody, and the published rules give the published counts."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import DataError
from pipeline import identities as metadata
from pipeline.identities import Identities, Identity
from pipeline.splits import Fractions, assign, by_paper

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
    known = metadata.load([real_data / "meta" / "vox1_meta.csv"])
    splits = assign(named(known), known, "voxceleb", TENTHS)
    assert Counter(splits.values())["test"] == 40  # VoxCeleb1's published test set
    assert Counter(assign(named(known), known, "paper", TENTHS).values()) == {"train": 1001, "val": 125, "test": 125}
