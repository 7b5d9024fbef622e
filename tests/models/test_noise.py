"""What is drawn: from the step's generator alone, within the limits that are promised."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.noise import flipped, seeded, strangers, truncated


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_half_of_the_faces_are_mirrored_whole() -> None:
    faces = torch.arange(400 * 3 * 2 * 4.0).view(400, 3, 2, 4)
    found = flipped(faces, generator())
    mirrored = (found == faces.flip(-1)).flatten(1).all(dim=1)
    assert ((found == faces).flatten(1).all(dim=1) ^ mirrored).all()
    assert 160 < int(mirrored.sum()) < 240


@given(identity=st.lists(st.integers(0, 4), min_size=1, max_size=9), count=st.integers(0, 12), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_strangers_are_other_people_drawn_once_each(identity: list[int], count: int, seed: int) -> None:
    rows, there = strangers(torch.tensor(identity), count, generator(seed))
    assert rows.shape == there.shape == (len(identity), count)
    for row, own in enumerate(identity):
        chosen = rows[row][there[row]].tolist()
        others = [place for place, other in enumerate(identity) if other != own]
        assert len(chosen) == len(set(chosen)) == min(count, len(others)) and set(chosen) <= set(others)
        assert there[row].tolist() == sorted(there[row].tolist(), reverse=True)


def test_every_stranger_is_as_likely() -> None:
    rows = torch.cat([strangers(torch.tensor([0, 1, 1, 2, 3]), 2, generator(seed))[0][0] for seed in range(600)])
    counts = rows.bincount(minlength=5).tolist()
    assert counts[0] == 0 and stats.chisquare(counts[1:]).pvalue > 1e-3


@given(limit=st.floats(0.05, 4.0), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_truncation_never_exceeds_its_limit(limit: float, seed: int) -> None:
    drawn = truncated((64, 8), limit, generator(seed))
    assert drawn.shape == (64, 8) and float(drawn.abs().max()) <= limit


@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0, None])
def test_truncated_numbers_are_those_that_drawing_again_gives(limit: float | None) -> None:
    """The same distribution: normal numbers from which those beyond the limit were taken out."""
    found = truncated((20_000,), limit, generator()).double().numpy()
    again = torch.randn(60_000, generator=generator(1), dtype=torch.float64)
    again = again[again.abs() <= (limit or torch.inf)]
    assert stats.ks_2samp(found, again.numpy()).pvalue > 1e-3


def test_dropout_inside_depends_on_the_seed_alone_and_leaves_no_trace() -> None:
    layer, ones = torch.nn.Dropout(), torch.ones(200)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(generator(1)):
        first = layer(ones)
    assert torch.equal(torch.rand(3), expected)  # as if nothing had been drawn between
    with seeded(generator(1)):
        again = layer(ones)
    with seeded(generator(2)):
        other = layer(ones)
    assert torch.equal(first, again) and not torch.equal(first, other)
