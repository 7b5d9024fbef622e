"""Craniofacial measures of a drawn face whose measures are known, and their correlations."""

import math

import pytest
import torch
from torch import Tensor

from models import craniofacial

LIPS_AREA = 775.0  # of the outer contour below, by trapezoids


def face() -> Tensor:
    """Landmarks with round measures, eyes' outer corners 100 apart: (1, 68, 2)."""
    points = torch.zeros(1, 68, 2)
    at = {
        36: (0, 0), 45: (100, 0), 39: (30, 0), 42: (65, 0),
        27: (50, 0), 33: (50, 50), 31: (40, 50), 35: (60, 50), 32: (45, 50), 34: (55, 50),
        48: (30, 80), 54: (70, 80), 51: (50, 70), 57: (50, 95), 62: (50, 78), 66: (50, 82), 50: (40, 70), 52: (60, 70),
        4: (0, 90), 12: (100, 90), 1: (-30, 10), 15: (130, 10), 8: (50, 130),
    }  # fmt: skip
    for place, point in at.items():
        points[0, place] = torch.tensor([float(value) for value in point])
    lips = {49: (35, 75), 53: (65, 75), 55: (65, 90), 56: (60, 95), 58: (40, 95), 59: (35, 90)}
    for place, point in lips.items():
        points[0, place] = torch.tensor([float(value) for value in point])
    return points


def test_measures_of_a_known_face() -> None:
    found = {name: float(value) for name, value in craniofacial.measures(face()).items()}
    assert found == {
        "upper lip height": pytest.approx(0.30),
        "lateral upper lip heights": pytest.approx(0.20),
        "jaw width": pytest.approx(1.0),
        "nose height": pytest.approx(0.50),
        "nose width": pytest.approx(0.20),
        "labio-oral region": pytest.approx(LIPS_AREA / 1e4),
        "mandibular index": pytest.approx(0.50),
        "intercanthal index": pytest.approx(0.35),
        "nasal index": pytest.approx(0.40),
        "vermilion height index": pytest.approx(10 / 15),
        "mouth-face width index": pytest.approx(0.25),
        "nose area": pytest.approx(20 * 50 / 2 / 1e4),
        "philtrum width": pytest.approx(0.20),
    }


def test_neither_size_nor_place_nor_turn_changes_a_measure() -> None:
    turn = math.radians(20)
    turned = face() @ torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) * 3.7 + 11
    before, after = craniofacial.measures(face()), craniofacial.measures(turned)
    assert {n: float(v) for n, v in after.items()} == pytest.approx({n: float(v) for n, v in before.items()}, rel=1e-5)


def test_the_same_faces_correlate_fully_and_shuffled_ones_hardly() -> None:
    noise = torch.randn(300, 68, 2, generator=torch.Generator().manual_seed(0))
    one = face() + 2 * noise
    found = craniofacial.correlations(one, one * 2, seed=0)
    assert len(found) == 13
    for told in found.values():
        assert told["r"]["mean"] == pytest.approx(1)
        assert told["p"] < 1e-6
        assert abs(told["shuffled"]["mean"]) < 0.2
        low, high = told["shuffled"]["interval"]
        assert low < told["shuffled"]["mean"] < high
        assert told["items"] == 300


def test_people_whose_landmarks_are_not_known_are_left_out() -> None:
    one = face() + torch.randn(10, 68, 2, generator=torch.Generator().manual_seed(0))
    holed = one.clone()
    holed[3, 5] = math.nan
    assert craniofacial.correlations(one, holed, seed=0)["nose width"]["items"] == 9
