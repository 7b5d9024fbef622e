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
def test_strangers_are_other_people_each_drawn_once(identity: list[int], count: int, seed: int) -> None:
    rows, there = strangers(torch.tensor(identity), count, generator(seed))
    assert rows.shape == there.shape == (len(identity), count)
    for row, own in enumerate(identity):
        chosen = [identity[place] for place in rows[row][there[row]].tolist()]
        others = set(identity) - {own}
        assert len(chosen) == len(set(chosen)) == min(count, len(others)) and set(chosen) <= others
        assert there[row].tolist() == sorted(there[row].tolist(), reverse=True)


@pytest.mark.parametrize("count", [1, 2])
def test_every_stranger_is_as_likely_and_each_of_their_rows(count: int) -> None:
    """Persons 1, 2 and 3 are asked by the first row; 1 has three rows, of which 7 stands far from the others."""
    identity = torch.tensor([0, 1, 1, 2, 3, 0, 0, 1])
    rows = torch.cat([strangers(identity, count, generator(seed))[0][0] for seed in range(900)])
    people = identity[rows].bincount(minlength=4).tolist()
    assert people[0] == 0 and stats.chisquare(people[1:]).pvalue > 1e-3
    assert stats.chisquare([int((rows == row).sum()) for row in (1, 2, 7)]).pvalue > 1e-3


def test_equal_numbers_draw_nobody_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, 0.5))
    identity = torch.tensor([0, 1, 1, 2, 2])
    rows, there = strangers(identity, 2, generator())
    assert there[0].all() and sorted(identity[rows[0]].tolist()) == [1, 2]


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
