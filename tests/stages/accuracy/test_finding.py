"""Intervals against SciPy's, and what a finding says of its aim."""

import numpy as np
import pytest
from scipy.stats import binomtest

from stages.accuracy import listing
from stages.accuracy.finding import Aim, Finding, Interval, Unmeasured, bootstrap, share


@pytest.mark.parametrize(("part", "whole"), [(0, 7), (3, 10), (97, 100), (12, 12)])
def test_wilson_interval_is_scipys(part, whole):
    theirs = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    ours = share(part, whole)
    assert ours.value == part / whole
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-5)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    intervals = [bootstrap(rng.normal(5.0, 2.0, 40)) for _ in range(200)]
    covered = sum(i.low <= 5.0 <= i.high for i in intervals)
    assert 176 <= covered <= 199


def test_bootstrap_takes_other_statistics():
    found = bootstrap([1.0, 2.0, 3.0, 4.0, 100.0], np.median)
    assert found.value == 3.0
    assert found.low <= 3.0 <= found.high


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [(Aim(">=", 0.9), 0.9, True), (Aim(">=", 0.9), 0.89, False), (Aim("<=", 2.0), 2.1, False), (None, 0.0, None)],
)
def test_an_aim_is_met_or_not_by_the_figure(aim, value, met):
    assert Finding("pose", "error", "faces", 3, Interval(value, value, value), aim=aim).met is met


def test_lines_show_figure_interval_aim_and_verdict():
    found = Finding(
        "masks", "refined", "photographs", 40, Interval(0.885, 0.838, 0.923), "IoU", Aim(">=", 0.9), "worst 0.1"
    )
    cells = listing.line(found)
    assert cells == ("masks", "refined", "40 photographs", "0.885 (0.838–0.923)", ">= 0.900", "MISSED; worst 0.1")
    assert listing.markdown([cells]).splitlines()[2].count("|") == 7
    assert listing.line(Unmeasured("pose", "yaw", "no landmarks/"))[3] == "not measured"
