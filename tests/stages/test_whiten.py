"""The whiten stage: scores from the network, decisions from the scores, and pictures on pure white."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from manifests.schema import ALIGN, WHITEN, WHITEN_SCORES
from pipeline import geometry
from pipeline.faces.segmenter_data import draw_world
from pipeline.images import decode, encode_png
from pipeline.stage import Drop
from pipeline.warp import warp
from stages.whiten import STAGE, Limits, Scoring, decide, render, score
from tests.factories import make_rows

Row = dict[str, Any]
SIDE = 256
GOOD = {"matte": b"some", "coverage": 0.5, "edge_quality": 0.8, "face_coverage": 1.0}


def as_aligned(pixels: np.ndarray, face: tuple[float, float, float], fill: int = 255) -> tuple[Row, geometry.Matrix]:
    """A row such as the align stage writes: a square around the face, landmarks as an oval in the face."""
    x, y, box = face
    matrix = geometry.resizing((x - 1.2 * box, y - 1.1 * box, x + 1.2 * box, y + 1.3 * box), SIDE, SIDE)
    turn = np.linspace(0, 2 * np.pi, 68)
    oval = np.column_stack([x + 0.3 * box * np.cos(turn), y + 0.35 * box * np.sin(turn)])
    image = encode_png(warp(pixels, matrix, SIDE, SIDE, fill))
    row = make_rows(
        ALIGN,
        1,
        image=image,
        transform=matrix.ravel().tolist(),
        landmarks=oval.ravel().tolist(),
        source_width=pixels.shape[1],
        source_height=pixels.shape[0],
    )[0]
    return row, matrix


@pytest.fixture(scope="module")
def person() -> tuple[Row, np.ndarray]:
    """A synthetic photograph as an aligned row, and its true mask in the aligned square."""
    example = next(draw_world(1, seed=777))
    row, matrix = as_aligned(example.pixels, example.faces[0])
    return row, warp(example.alpha, matrix, SIDE, SIDE, 0)


@pytest.fixture(scope="module")
def scores(person: tuple[Row, np.ndarray]) -> Row:
    return score(person[0], Scoring())


@pytest.fixture(scope="module")
def rendered(person: tuple[Row, np.ndarray], scores: Row) -> Row:
    return render(person[0], scores, Limits())


def test_a_person_is_kept_with_all_scores_of_the_schema(person: tuple[Row, np.ndarray], scores: Row) -> None:
    assert set(scores) == set(WHITEN_SCORES.names) - {"row_id"}
    truth = float((person[1] > 127).mean())
    assert scores["coverage"] == pytest.approx(truth, abs=0.06)
    assert scores["face_coverage"] > 0.95
    assert decide(person[0], scores, Limits()) == person[0] | scores
    assert len(scores["matte"]) < 40_000


def test_the_whitened_picture_fits_its_mask_and_the_truth(person: tuple[Row, np.ndarray], rendered: Row) -> None:
    row, truth = person
    before, after = decode(row["image"], 10**6), decode(rendered["image"], 10**6)
    mask = decode(rendered["mask"], 10**6)[..., 0]
    assert (after[mask == 0] == 255).all()
    assert (after[mask == 255] == before[mask == 255]).all()
    both, either = (mask > 127) & (truth > 127), (mask > 127) | (truth > 127)
    assert both.sum() / either.sum() > 0.93


def test_the_rendered_columns_belong_to_the_table(rendered: Row) -> None:
    assert set(rendered) <= set(WHITEN.names)


def test_what_align_filled_in_outside_the_original_becomes_white(person: tuple[Row, np.ndarray]) -> None:
    example = next(draw_world(1, seed=777))
    cut = example.pixels[:, : int(example.faces[0][0])]  # the original ends in the middle of the face
    row, matrix = as_aligned(np.ascontiguousarray(cut), example.faces[0])
    out = decode(render(row, score(row, Scoring()), Limits())["image"], 10**6)
    edge = round(geometry.apply(matrix, [[cut.shape[1], 0.0]])[0, 0])
    assert (out[:, edge + 1 :] == 255).all()


def test_the_colour_that_align_filled_in_changes_nothing() -> None:
    example = next(draw_world(1, seed=777))
    cut = np.ascontiguousarray(example.pixels[:, : int(example.faces[0][0] + example.faces[0][2])])
    white, black = (as_aligned(cut, example.faces[0], fill)[0] for fill in (255, 0))
    assert white["image"] != black["image"]
    one, other = score(white, Scoring()), score(black, Scoring())
    assert one == other
    assert render(white, one, Limits()) == render(black, other, Limits())


def test_the_same_row_gives_the_same_bytes(person: tuple[Row, np.ndarray], scores: Row, rendered: Row) -> None:
    assert score(person[0], Scoring()) == scores
    assert render(person[0], scores, Limits()) == rendered


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"coverage": 0.01}, "person_too_small"),
        ({"coverage": 0.99}, "person_too_large"),
        ({"edge_quality": 0.1}, "edge_unclear"),
        ({"face_coverage": 0.3}, "face_covered"),
    ],
)
def test_each_rule_names_itself_the_value_and_the_limit(changed: Row, reason: str) -> None:
    row = make_rows(ALIGN, 1)[0]
    assert decide(row, GOOD, Limits()) == row | GOOD
    (value,) = changed.values()
    result = decide(row, GOOD | changed, Limits())
    assert isinstance(result, Drop)
    assert (result.reason, result.value) == (reason, value)
    assert result.limit is not None


def test_a_value_at_the_limit_is_kept() -> None:
    row = make_rows(ALIGN, 1)[0]
    limits = replace(Limits(), min_coverage=0.3, max_coverage=0.3, min_edge_quality=0.8, min_face_coverage=1.0)
    assert not isinstance(decide(row, GOOD | {"coverage": 0.3}, limits), Drop)


def test_disabled_pictures_pass_untouched_with_a_full_mask(person: tuple[Row, np.ndarray]) -> None:
    row = person[0]
    nothing = score(row, Scoring(enabled=False))
    assert decide(row, nothing, Limits(min_coverage=1.0)) == row | nothing
    made = render(row, nothing, Limits())
    assert made["image"] == row["image"]
    assert (decode(made["mask"], 10**6) == 255).all()
    assert STAGE.weights(Scoring(enabled=False)) == ()
    assert STAGE.weights(Scoring()) == ("pspnet-person",)
