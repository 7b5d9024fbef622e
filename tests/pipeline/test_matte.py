"""The matte: what is person stays, what is not is pure white, and nothing of the old background shines through."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline import matte

SIDE = 160


def portrait(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A head and shoulders of one colour family over a busy backdrop of another, and its exact soft mask."""
    rng = np.random.default_rng(seed)
    big = np.zeros((4 * SIDE, 4 * SIDE), np.uint8)
    cv2.ellipse(big, (320, 260), (120, 160), 0, 0, 360, 255, -1)
    cv2.rectangle(big, (260, 380), (380, 500), 255, -1)
    cv2.ellipse(big, (320, 680), (260, 240), 0, 0, 360, 255, -1)
    share = cv2.resize(big, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    clumps = cv2.resize(rng.random((12, 12, 1)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]
    person = np.array([190, 120, 90]) + 30 * (clumps - 0.5) + rng.normal(0, 3, (SIDE, SIDE, 3))
    behind = np.array([40, 90, 60]) + 60 * (clumps - 0.5) + rng.normal(0, 6, (SIDE, SIDE, 3))
    mixed = person * share[..., None] + behind * (1 - share[..., None])
    return np.clip(mixed, 0, 255).astype(np.uint8), share


def network_like(share: np.ndarray) -> np.ndarray:
    """What a network of coarse cells makes of a mask: 10 cells across, blurred, up to 0.95 sure."""
    cells = cv2.resize(share, (10, 10), interpolation=cv2.INTER_AREA)
    return 0.025 + 0.95 * cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def face() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[45:85, 65:95] = True
    return mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("seed", range(3))
def test_refining_recovers_a_planted_mask(seed: int) -> None:
    pixels, share = portrait(seed)
    coarse = network_like(share)
    fine = matte.refine(pixels, coarse, face())
    assert iou(fine > 0.5, share > 0.5) > 0.975 > iou(coarse > 0.5, share > 0.5)
    assert np.abs(fine - share).mean() < 0.25 * np.abs(coarse - share).mean()


def test_refining_gives_the_same_bytes_twice() -> None:
    pixels, share = portrait()
    first, second = (matte.refine(pixels, network_like(share), face()) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_second_person_apart_from_the_face_is_left_out() -> None:
    pixels, share = portrait()
    coarse = network_like(share)
    pixels[5:40, 5:25], coarse[5:40, 5:25] = (190, 120, 90), 0.98
    fine = matte.refine(pixels, coarse, face())
    assert fine[:44, :28].max() == 0.0
    assert fine[face()].min() == 1.0


def test_a_picture_goes_on_past_its_border_with_the_nearest_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    inside = np.zeros((20, 30), bool)
    inside[4:15, 6:30] = True
    out = matte.extended(pixels, inside)
    assert (out[inside] == pixels[inside]).all()
    assert (out[4:15, :6] == pixels[4:15, 6:7]).all()
    assert (out[15:, 6:] == pixels[14:15, 6:]).all()
    assert (out[:4, :6] == pixels[4, 6]).all()


@pytest.mark.parametrize("covered", [True, False])
def test_a_picture_without_border_or_without_content_is_left_alone(covered: bool) -> None:
    pixels, _ = portrait()
    assert matte.extended(pixels, np.full((SIDE, SIDE), covered)) is pixels


def test_a_pinhole_in_the_person_is_closed() -> None:
    pixels, share = portrait()
    coarse = network_like(share)
    pixels[118:122, 78:82], coarse[116:124, 76:84] = (40, 90, 60), 0.1
    assert matte.refine(pixels, coarse, face())[118:122, 78:82].min() > 0.9


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_picture_all_person_or_none_stays_so(value: float) -> None:
    pixels, _ = portrait()
    fine = matte.refine(pixels, np.full((SIDE, SIDE), value, np.float32), face())
    assert (fine == value).all()


def test_holes_are_filled_by_size_and_never_at_the_picture_edge() -> None:
    mask = np.ones((40, 40), bool)
    mask[10:12, 10:12] = mask[20:32, 20:32] = mask[0:2, 30:32] = False
    filled = matte.without_holes(mask, 0.01)
    assert filled[10:12, 10:12].all()
    assert not filled[20:32, 20:32].any()
    assert not filled[0:2, 30:32].any()


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.uint8, (12, 9, 3)),
    arrays(np.uint8, (12, 9), elements=st.sampled_from([0, 1, 60, 128, 200, 254, 255])),
)
def test_white_exactly_where_the_matte_is_zero_and_untouched_where_it_is_full(
    pixels: np.ndarray, mask: np.ndarray
) -> None:
    out = matte.whiten(pixels, mask)
    assert (out[mask == 0] == 255).all()
    assert (out[mask == 255] == pixels[mask == 255]).all()


@pytest.mark.parametrize("behind", [(0, 0, 0), (20, 160, 40), (255, 255, 255)])
def test_no_colour_of_the_old_background_is_left_at_the_outline(behind: tuple[int, int, int]) -> None:
    """Half-covered pixels become the person's colour over white, whatever colour was behind."""
    _, share = portrait()
    person = np.array([180.0, 110.0, 80.0])
    seen = person * share[..., None] + np.array(behind) * (1 - share[..., None])
    mask = np.rint(share * 255).astype(np.uint8)
    out = matte.whiten(np.rint(seen).astype(np.uint8), mask)
    wanted = person * share[..., None] + 255.0 * (1 - share[..., None])
    assert np.abs(out - wanted).max() < 12


def test_edge_quality_is_one_for_a_clean_step_and_nought_for_doubt() -> None:
    _, share = portrait()
    assert matte.edge_quality((share > 0.5).astype(np.float32)) == pytest.approx(1.0)
    assert matte.edge_quality(np.full((SIDE, SIDE), 0.5, np.float32)) == 0.0
    soft = [matte.edge_quality(cv2.GaussianBlur(share, (0, 0), blur)) for blur in (1, 4, 12)]
    assert soft == sorted(soft, reverse=True)


def test_coverage_is_the_share_of_person() -> None:
    probability = np.zeros((10, 10), np.float32)
    probability[:, :3] = 0.9
    assert matte.coverage(probability) == pytest.approx(0.3)


def test_the_guided_filter_smooths_noise_but_keeps_the_steps_of_its_guide() -> None:
    guide = np.zeros((64, 64, 3), np.float32)
    guide[:, 32:] = 1.0
    noisy = guide[..., 0] + np.random.default_rng(0).normal(0, 0.2, (64, 64)).astype(np.float32)
    smooth = matte.guided_filter(guide, noisy, 4, 1e-4)
    assert np.abs(smooth - guide[..., 0]).mean() < 0.3 * np.abs(noisy - guide[..., 0]).mean()
    assert (smooth[:, 32] - smooth[:, 31]).min() > 0.7
