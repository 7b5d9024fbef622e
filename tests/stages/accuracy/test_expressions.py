"""The expression figures: who is counted, what a fit may see, and the fit that the pipeline holds."""

from pathlib import Path

import numpy as np
import pytest

from manifests import weights
from manifests.errors import Missing
from manifests.schema import EMOTIONS, IDENTITY
from pipeline import expression
from pipeline.faces import emotion, landmark
from pipeline.progress import FetchProgress
from stages.accuracy import expressions
from stages.accuracy.expressions import Faces
from stages.accuracy.finding import Finding, Unmeasured
from tests.factories import make_rows
from tests.pipeline.test_expression import draw_face


def faces(count: int = 60) -> Faces:
    """Ten people whose neutral faces differ from their others in the network's last probability and in the mouth."""
    rng = np.random.default_rng(3)
    neutral = np.arange(count) % 2 == 0
    rows = [
        make_rows(IDENTITY, 1, landmarks=(100 * draw_face(opening=0.02 if calm else 0.12)).ravel().tolist())[0]
        for calm in neutral
    ]
    p_neutral = np.where(neutral, 0.8, 0.3) + rng.uniform(-0.1, 0.1, count)
    seen = np.zeros((count, len(EMOTIONS)), np.float32)
    seen[:, -1], seen[:, 0] = p_neutral, 1 - p_neutral
    found = [expression.features(row["landmarks"]) for row in rows]
    return Faces(
        rows=rows,
        seen=seen,
        evidence=np.array([expression.evidence(p, f) for p, f in zip(seen.tolist(), found, strict=True)])
        + rng.normal(0, 1e-3, (count, 11)),  # every measure varies among real faces
        neutral=neutral,
        counted=np.ones(count, bool),
        teeth=np.zeros(count, bool),
        person=np.array([f"p{i % 10}" for i in range(count)]),
        source=np.array([("posed", "wild", "crawl")[i % 3] for i in range(count)]),
    )


def test_faces_that_differ_are_told_apart_by_fits_without_the_person() -> None:
    given = faces()
    surely = expressions.left_out(given)
    assert surely[given.neutral].min() > surely[~given.neutral].max()


def test_no_fit_sees_the_person_it_judges() -> None:
    """Turning one person's labels round changes nothing in this person's answers."""
    given = faces()
    before = expressions.left_out(given)
    his = given.person == "p4"
    given.neutral[his] = ~given.neutral[his]
    after = expressions.left_out(given)
    assert np.array_equal(before[his], after[his])
    assert not np.array_equal(before[~his], after[~his])


def test_no_threshold_sees_the_person_it_judges() -> None:
    given = faces()
    passes = np.ones(len(given.rows), bool)
    before = expressions.nested(given, expressions.left_out(given), passes)
    his = given.person == "p4"
    given.neutral[his] = ~given.neutral[his]
    assert np.array_equal(before[his], expressions.nested(given, expressions.left_out(given), passes)[his])
    assert before[given.source != "crawl"].any()


def test_what_is_neither_is_in_no_fit() -> None:
    given = faces()
    given.counted[:7] = False
    before = expressions.fit(given, np.ones(60, bool))[0]
    given.evidence[:7] += 100.0
    assert np.array_equal(before, expressions.fit(given, np.ones(60, bool))[0])


def test_without_faces_nothing_is_measured(tmp_path: Path) -> None:
    (tmp_path / "PROVENANCE.csv").write_text("file,sha256,category,identity,label\n")
    (found,) = expressions.measure(tmp_path)
    assert isinstance(found, Unmeasured)


@pytest.fixture(scope="module")
def networks() -> None:
    try:
        weights.ensure([emotion.WEIGHTS, *landmark.WEIGHTS["dlib_hog"]], FetchProgress())
    except Missing as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.usefixtures("networks")
def test_the_pipeline_holds_the_fit_to_these_faces(real_data: Path) -> None:
    given = expressions.read(real_data)
    slopes, offset = expressions.fit(given, np.ones(len(given.rows), bool))
    assert slopes.tolist() == pytest.approx(expression.SLOPES, rel=0.01, abs=0.01)
    assert offset == pytest.approx(expression.OFFSET, abs=0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("networks")
def test_the_stage_is_more_precise_than_the_plain_network(real_data: Path) -> None:
    found = {one.what: one for one in expressions.measure(real_data) if isinstance(one, Finding) and "posed" in one.on}
    assert found["plain mini-XCEPTION: precision"].figure.value < found["stage: precision"].figure.value
