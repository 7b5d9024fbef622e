"""The measurement of person masks: its geometry, its planted answers, and the shipped network through it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from manifests import weights
from pipeline import matte
from pipeline.faces import segmenter
from pipeline.faces.segmenter_data import Example, draw_world
from stages.accuracy import masks
from stages.accuracy.finding import Aim, Finding, Unmeasured


@pytest.fixture(scope="module")
def shipped() -> segmenter.Segmenter:
    return segmenter.load(weights.path("pspnet-person"))


@pytest.fixture(scope="module")
def people() -> list[Example]:
    """Synthetic people of a seed that no training used."""
    return list(draw_world(3, seed=4321))


def disc(side: int, radius: int) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), radius, 255, -1)
    return mask


def test_overlap_is_one_for_equal_masks_and_the_shared_part_otherwise() -> None:
    left, both = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    left[:, :2] = True
    assert masks.iou(left, left) == 1.0
    assert masks.iou(left, both) == 0.5
    assert masks.iou(left, ~left) == 0.0
    assert masks.iou(~both, ~both) == 1.0


def test_the_square_is_three_boxes_wide_and_knows_what_the_photograph_lacks() -> None:
    alpha = np.full((100, 200), 255, np.uint8)
    photo = Example(np.full((100, 200, 3), 40, np.uint8), alpha, ((20.0, 50.0, 30.0), (150.0, 50.0, 10.0)))
    square = masks.face_square(photo)
    assert square.pixels.shape == (90, 90, 3)  # around the first, the largest face
    # 45 pixels to the left of x = 20 leave a quarter of the square outside.
    assert square.inside.mean() == pytest.approx(65 / 90, abs=0.02)
    assert (square.pixels[:, :20] == 255).all()
    assert not square.truth[~square.inside].any()
    assert square.truth[square.inside].all()


def test_the_mean_mask_says_how_often_a_place_is_person() -> None:
    pixels, everywhere = np.zeros((60, 60, 3), np.uint8), np.ones((60, 60), bool)
    half = everywhere.copy()
    half[:, 30:] = False
    squares = [masks.FaceSquare(pixels, truth, everywhere) for truth in (everywhere, half)]
    mean = masks.mean_mask(squares)
    assert mean[:, 5] == pytest.approx(1.0)
    assert mean[:, -5] == pytest.approx(0.5)


def test_grabcut_finds_a_disc_of_another_colour_from_a_vague_seed() -> None:
    truth = disc(120, 35) > 0
    noise = np.random.default_rng(0).normal(0, 6, (120, 120, 3))
    pixels = np.clip(np.where(truth[..., None], (180, 90, 60), (40, 110, 90)) + noise, 0, 255).astype(np.uint8)
    seed = np.asarray(cv2.GaussianBlur((disc(120, 28) > 0).astype(np.float32), (0, 0), 12), np.float32)
    assert masks.iou(masks.grabcut(pixels, seed), truth) > 0.97 > masks.iou(seed > 0.5, truth)


def test_a_cut_out_is_laid_on_dark_and_on_white_by_its_own_alpha() -> None:
    alpha = np.zeros((90, 90), np.uint8)
    alpha[:, 30:], alpha[:, 60:] = 128, 255
    colours = np.full((90, 90, 3), 200, np.uint8)
    colours[:, :30] = (255, 0, 255)  # what is not covered has no say
    seen, wanted, share = masks.on_dark_and_white(Example(colours, alpha, ((44.5, 44.5, 30.0),), cut_out=True))
    assert seen[45, 10].tolist() == [20, 24, 30]
    assert seen[45, 45] == pytest.approx(np.array([20, 24, 30]) * 127 / 255 + 200 * 128 / 255, abs=1)
    assert seen[45, 75].tolist() == wanted[45, 75].tolist() == [200, 200, 200]
    assert wanted[45, 10].tolist() == [255, 255, 255]
    assert share[45, [10, 45, 75]] == pytest.approx([0, 128 / 255, 1])


def test_near_the_outline_is_three_per_cent_either_side() -> None:
    near = masks.near_outline(disc(200, 60) > 0)
    reached = np.flatnonzero(near[100, 100:])
    assert reached[[0, -1]] == pytest.approx([54, 66], abs=1)
    assert (np.diff(reached) == 1).all()


def test_the_shipped_network_on_synthetic_people(people: list[Example], shipped: segmenter.Segmenter) -> None:
    squares = [masks.face_square(example) for example in people]
    network, refined, grabcut, ahead = masks.overlaps(squares, masks.mean_mask(squares), shipped)
    assert refined.figure.value > 0.93
    assert network.figure.value > 0.9
    assert ahead.figure.value == pytest.approx(refined.figure.value - grabcut.figure.value)
    assert {finding.count for finding in (network, refined, grabcut, ahead)} == {3}
    assert (network.aim, refined.aim) == (Aim(">=", 0.86), Aim(">=", 0.90))


def test_a_halo_counts_at_the_outline(
    people: list[Example], shipped: segmenter.Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutouts = [Example(e.pixels, e.alpha, e.faces, cut_out=True) for e in people]
    clean = masks.outline_error(cutouts, shipped)
    refine = matte.refine
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))  # a rim of the dark backdrop, four pixels wide
    monkeypatch.setattr(matte, "refine", lambda *given: cv2.dilate(refine(*given), wide))
    assert masks.outline_error(cutouts, shipped).figure.value > clean.figure.value + 10
    assert clean.figure.value < 25


def test_without_photographs_the_figure_is_unmeasured(tmp_path: Path) -> None:
    (result,) = masks.measure(tmp_path)
    assert isinstance(result, Unmeasured)
    assert "segmentation" in result.why


@pytest.mark.slow
def test_the_aims_on_real_photographs(real_data: Path) -> None:
    found = {finding.what: finding for finding in masks.measure(real_data) if isinstance(finding, Finding)}
    assert found["mean IoU, network"].met
    assert found["mean IoU, refined"].figure.value > 0.88
    assert found["refined minus GrabCut, mean of the paired differences"].figure.low > 0
    assert found["mean IoU, network"].count == 40
