"""The identity stage: wrong people, shared photographs and copies by planted scores, through the whole runner."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stages.identity as stage
from manifests import table
from manifests.schema import CRAWL, LANDMARKS
from manifests.validate import validate_file
from pipeline.faces import embed
from pipeline.images import decode
from pipeline.run import run_stage
from pipeline.settings import Params, Run
from pipeline.stage import Drop, Paths, no_weights
from stages import landmarks
from stages.identity import FACTS, Limits, Scoring, decide, survey
from tests.factories import make_rows, write_stage

DEFAULT = Limits()
_PRINTS = ("phash", "dhash", "face_hash", "embedding")


def face(who: int, take: int) -> bytes:
    """An embedding: people lie 1.1 apart, takes of one person 0.3."""
    point = np.random.default_rng([who, take]).normal(0, 0.21 / np.sqrt(128), 128)
    point[who] += 0.78
    return point.astype("<f4").tobytes()


def picture(
    person: str, number: int, who: int, photograph: int | None = None, pupil_px: float = 60.0
) -> dict[str, Any]:
    """A scored row: whose face it shows, and which photograph it is."""
    code = np.random.default_rng(1000 * who + number if photograph is None else photograph).bytes(48)
    return {
        "identity_id": person,
        "row_id": f"{person}-{number}",
        "pupil_px": pupil_px,
        "sharpness": 0.5,
        "phash": code[:8],
        "dhash": code[8:16],
        "face_hash": code[16:],
        "embedding": face(who, number if photograph is None else photograph),
    }


def surveyed(rows: list[dict[str, Any]], limits: Limits = DEFAULT) -> list[dict[str, Any]]:
    """What the survey says of each row."""
    scored = pa.Table.from_pylist([{name: row[name] for name in stage.STAGE.surveys} for row in rows])
    facts: list[dict[str, Any]] = survey(scored, limits).to_pylist()
    return facts


def fates(rows: list[dict[str, Any]], limits: Limits = DEFAULT) -> dict[str, str]:
    """row_id -> drop reason, of the rows that are dropped; given to the survey as the runner sorts them."""
    rows = sorted(rows, key=lambda row: (row["identity_id"], row["row_id"]))
    decided = [(row, decide(row, facts, limits)) for row, facts in zip(rows, surveyed(rows, limits), strict=True)]
    return {row["row_id"]: result.reason for row, result in decided if isinstance(result, Drop)}


def person(name: str, who: int, count: int) -> list[dict[str, Any]]:
    return [picture(name, number, who) for number in range(count)]


def test_pictures_of_one_person_all_stay() -> None:
    assert fates(person("a", 1, 6) + person("b", 2, 2) + person("c", 3, 1)) == {}


def test_a_stranger_and_another_listed_person_are_told_apart() -> None:
    rows = [*person("a", 1, 5), picture("a", 5, 9), picture("a", 6, 2), *person("b", 2, 5)]
    assert fates(rows) == {"a-5": "not_the_person", "a-6": "another_person"}


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same where all faces lie nearer together, as those of drawings do: strangers within any fixed distance."""
    return [row | {"embedding": (np.frombuffer(row["embedding"], "<f4") * 0.4).tobytes()} for row in rows]


def test_among_faces_that_are_all_alike_a_stranger_is_told_by_the_distances_from_everybody_else() -> None:
    rows = alike([row for who in range(12) for row in person(f"p{who:02d}", who, 5)] + [picture("p03", 5, 77)])
    assert fates(rows) == {"p03-5": "like_a_stranger"}
    assert fates(rows, replace(DEFAULT, max_own_norm=None)) == {}


def test_among_few_people_nobody_is_like_a_stranger() -> None:
    rows = alike([row for who in range(10) for row in person(f"p{who:02d}", who, 5)] + [picture("p03", 5, 77)])
    assert fates(rows) == {}


def test_people_who_look_alike_keep_their_pictures() -> None:
    twin = [row | {"identity_id": "b", "row_id": f"b-{i}"} for i, row in enumerate(person("a", 1, 12)[6:])]
    assert fates(person("a", 1, 6) + twin) == {}


def test_of_a_persons_copies_the_largest_stays() -> None:
    copies = [picture("a", n, 1, photograph=7, pupil_px=px) for n, px in ((8, 50.0), (7, 90.0), (9, 70.0))]
    assert fates([*person("a", 1, 4), *copies]) == {"a-8": "near_duplicate", "a-9": "near_duplicate"}


def test_a_photograph_under_two_names_stays_where_it_fits() -> None:
    rows = [*person("a", 1, 4), picture("a", 7, 1, photograph=7), picture("b", 0, 1, photograph=7)]
    assert fates(rows) == {"b-0": "shared_picture"}
    assert fates(rows[-2:]) == {}, "nobody knows whose it is"


@pytest.mark.parametrize(
    ("change", "spared"),
    [
        ({"max_own_distance": None}, "not_the_person"),
        ({"drop_shared": False}, "shared_picture"),
        ({"drop_copies": False}, "near_duplicate"),
        ({"min_other_margin": None}, "another_person"),
    ],
)
def test_every_rule_can_be_switched_off_and_its_facts_stay(change: dict[str, Any], spared: str) -> None:
    rows = [
        *person("a", 1, 5), picture("a", 5, 9), picture("a", 6, 2), *person("b", 2, 5),
        picture("a", 7, 1, photograph=7), picture("a", 8, 1, photograph=7), picture("c", 0, 1, photograph=7),
    ]  # fmt: skip
    assert set(fates(rows).values()) == {"not_the_person", "another_person", "shared_picture", "near_duplicate"}
    looser = replace(DEFAULT, **change)
    assert spared not in fates(rows, looser).values()
    everything = surveyed(sorted(rows, key=lambda row: (row["identity_id"], row["row_id"])), looser)
    assert all(facts["agreeing"] is not None for facts in everything)


def test_switched_off_every_picture_passes_with_null_facts() -> None:
    scores = stage.score({"image": b"not even read"}, Scoring(enabled=False))
    rows = [picture("a", number, 1) | scores for number in range(3)]
    assert surveyed(rows) == [dict.fromkeys(FACTS)] * 3
    assert fates(rows) == {}
    assert stage.STAGE.weights(Scoring(enabled=False)) == ()


def run(folder: Path, buckets: int, workers: int) -> dict[str, bytes]:
    """The stage over twelve people in shards, scored without a network; the bytes of what it wrote."""
    data = folder / "data"
    planted = {row["row_id"]: row for row in _planted()}
    shards: dict[int, list[dict[str, Any]]] = {bucket: [] for bucket in range(buckets)}
    for row in planted.values():
        shards[table.bucket_of(row["identity_id"], buckets)].append(row)
    for bucket, rows in shards.items():
        own = [{k: row[k] for k in ("identity_id", "row_id", "pupil_px")} for row in rows]
        for of in (CRAWL, LANDMARKS):
            write_stage(
                data, of, [made | one for made, one in zip(make_rows(of, len(own)), own, strict=True)], [], bucket
            )
    fake = replace(stage.STAGE, score=_Planted(planted), weights=no_weights)
    paths = Paths(data, folder / "reports", folder / "metrics", folder / "review")
    run_stage(fake, Params(paths, Run(buckets=buckets), {}), workers)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((data / "identity").iterdir())}


class _Planted:
    """A `score` that answers what was planted."""

    def __init__(self, rows: dict[str, dict[str, Any]]) -> None:
        self.rows = rows

    def __call__(self, row: dict[str, Any], _scoring: Scoring) -> dict[str, Any]:
        return {name: self.rows[row["row_id"]][name] for name in _PRINTS}


def _planted() -> list[dict[str, Any]]:
    rows = [row for who in range(12) for row in person(f"p{who}", who, 5)]
    return [*rows, picture("p1", 7, 2), picture("p3", 7, 77), picture("p5", 7, 5, photograph=3)]


def test_the_runner_judges_across_shards_the_same_at_any_bucket_count_and_again(tmp_path: Path) -> None:
    whole = run(tmp_path / "one", 1, 1)
    parts = run(tmp_path / "three", 3, 1)
    assert run(tmp_path / "three", 3, 1) == parts

    def kept(name: str) -> list[dict[str, Any]]:
        found = [row for p in table.shards(tmp_path / name / "data/identity") for row in table.read_rows(p)]
        return sorted([{k: row[k] for k in ("row_id", *FACTS)} for row in found], key=lambda row: row["row_id"])

    assert kept("one") == kept("three")
    assert {row["row_id"] for row in kept("one")} == {row["row_id"] for row in _planted()} - {"p1-7", "p3-7"}
    assert [validate_file(tmp_path / "three" / name) for name in parts] == [[]] * 3
    assert len(whole) == 1


def test_a_picture_that_cannot_be_scored_is_dropped_and_the_others_are_judged(tmp_path: Path) -> None:
    def score(row: dict[str, Any], scoring: Scoring) -> dict[str, Any]:
        if row["row_id"] == "p2-0":
            raise ValueError("no chip")
        return _Planted({one["row_id"]: one for one in _planted()})(row, scoring)

    run(tmp_path, 3, 1)
    fake = replace(stage.STAGE, score=score, weights=no_weights, version="2")
    paths = Paths(tmp_path / "data", tmp_path / "reports", tmp_path / "metrics", tmp_path / "review")
    summary = run_stage(fake, Params(paths, Run(buckets=3, max_failed=0.1), {}), 1)
    assert summary is not None
    assert summary.reasons == {"error": 1, "another_person": 1, "not_the_person": 1}


def test_two_workers_write_the_bytes_of_one(tmp_path: Path) -> None:
    assert run(tmp_path / "one", 3, 1) == run(tmp_path / "two", 3, 2)


def test_another_limit_decides_again_without_scoring(tmp_path: Path) -> None:
    run(tmp_path, 2, 1)

    def never(row: dict[str, Any], scoring: Scoring) -> dict[str, Any]:
        raise AssertionError("scored again")

    fake = replace(stage.STAGE, score=never, weights=lambda _: ())
    paths = Paths(tmp_path / "data", tmp_path / "reports", tmp_path / "metrics", tmp_path / "review")
    off = {
        "max_own_distance": None,
        "max_own_norm": None,
        "min_other_margin": None,
        "drop_copies": False,
        "drop_shared": False,
    }
    summary = run_stage(fake, Params(paths, Run(buckets=2), {"identity": off}), 1)
    assert summary is not None
    assert (summary.kept, summary.reasons) == (summary.input, {})


@pytest.mark.slow
def test_photographs_of_real_people_lie_nearer_to_their_own(real_data: Path) -> None:
    """Two photographs of each of six people: the nearest of the others is the same person's, for most."""
    found, whose = [], []
    for folder in sorted((real_data / "faces").iterdir()):
        points = []
        for path in sorted(folder.iterdir()):
            scores = landmarks.score({"image": path.read_bytes()}, landmarks.Scoring(second_look_px=None))
            if scores["fault"] is None and scores["n_faces"] == 1 and abs(scores["yaw_deg"]) < 20 and len(points) < 2:
                points.append(embed.descriptor(embed.chip(decode(path.read_bytes(), 10**8), scores["landmarks"])))
        if len(points) == 2 and len(set(whose)) < 6:
            found += points
            whose += [folder.name] * 2
    apart = np.linalg.norm(np.array(found)[:, None] - np.array(found)[None], axis=2) + 9 * np.eye(len(found))
    hits = [whose[place] == who for place, who in zip(apart.argmin(axis=1), whose, strict=True)]
    assert len(whose) == 12
    assert np.mean(hits) >= 0.8
