"""The attention fuser against its equations, and windows that only fill a batch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.fusers import AttentionFuser
from tests.models.networks import (
    check_bfloat16,
    check_captured,
    check_gradients,
    check_rows_alone,
    n_parameters,
    on_meta,
)

both_readings = pytest.mark.parametrize("paper", [False, True], ids=["code", "paper"])


def units(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def reference(fuser: AttentionFuser, windows: Tensor) -> Tensor:
    """One voice (N, dim), window after window, as the description reads."""
    answers = []
    for e_i in windows:
        q_i = fuser.w_in.weight @ e_i
        scores = torch.stack([q_i @ e_j for e_j in windows])
        weights = scores.exp() / scores.exp().sum()
        m_i = sum(weight * e_j for weight, e_j in zip(weights, windows, strict=True))
        answers.append(fuser.w_out.weight @ torch.cat([m_i, e_i if fuser.paper else q_i]))
    z = sum(answers) / len(answers)
    return z / z.norm()


@both_readings
def test_published_parameter_count(paper: bool) -> None:
    assert n_parameters(on_meta(lambda: AttentionFuser(paper=paper))) == 786_432


@both_readings
def test_the_fuser_follows_its_equations(paper: bool) -> None:
    torch.manual_seed(0)
    fuser = AttentionFuser(16, paper=paper)
    torch.nn.init.normal_(fuser.w_in.weight)  # sharp attention, unlike at the start
    windows = units(3, 5, 16)
    expected = torch.stack([reference(fuser, row) for row in windows])
    torch.testing.assert_close(fuser(windows), expected)


def test_the_readings_differ() -> None:
    torch.manual_seed(0)
    code, paper = AttentionFuser(16), AttentionFuser(16, paper=True)
    paper.load_state_dict(code.state_dict())
    windows = units(3, 5, 16)
    assert (code(windows) * paper(windows)).sum(dim=1).max() < 0.999


@both_readings
@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=5), filling=st.sampled_from([0.0, 1e6, torch.nan]))
@settings(max_examples=40, deadline=None)
def test_filling_takes_no_part(paper: bool, counts: list[int], filling: float) -> None:
    """Every row is as if it were alone, without its filling, whatever the filling is."""
    torch.manual_seed(len(counts))
    fuser = AttentionFuser(12, paper=paper)
    windows = units(len(counts), 6, 12)
    for row, count in enumerate(counts):
        windows[row, count:] = filling
    fused = fuser(windows, torch.tensor(counts))
    for row, count in enumerate(counts):
        torch.testing.assert_close(fused[row], fuser(windows[row : row + 1, :count])[0], rtol=1e-4, atol=1e-5)


@both_readings
def test_filling_gets_and_spoils_no_gradient(paper: bool) -> None:
    torch.manual_seed(0)
    fuser = AttentionFuser(12, paper=paper)
    windows = units(2, 4, 12)
    windows[1, 2:] = torch.nan
    windows.requires_grad_()
    (fuser(windows, torch.tensor([4, 2])) * torch.randn(2, 12)).sum().backward()
    assert windows.grad is not None
    assert windows.grad[1, :2].any() and not windows.grad[1, 2:].any()
    assert all(weight.grad.isfinite().all() for weight in fuser.parameters())


@both_readings
@given(n=st.integers(1, 8), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_fused_embedding_has_unit_length_and_no_order_of_windows(paper: bool, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    fuser = AttentionFuser(12, paper=paper)
    windows = units(2, n, 12)
    fused = fuser(windows)
    torch.testing.assert_close(fused.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(fuser(windows[:, torch.randperm(n)]), fused, rtol=1e-4, atol=1e-5)


@both_readings
def test_every_window_counts_where_no_counts_are_given(paper: bool) -> None:
    torch.manual_seed(0)
    fuser = AttentionFuser(12, paper=paper)
    windows = units(3, 5, 12)
    assert torch.equal(fuser(windows), fuser(windows, torch.full((3,), 5)))


@both_readings
def test_gradients_reach_every_weight(paper: bool) -> None:
    torch.manual_seed(0)
    check_gradients(AttentionFuser(12, paper=paper), units(4, 5, 12))


@both_readings
def test_voices_of_a_batch_do_not_mix(paper: bool) -> None:
    torch.manual_seed(0)
    check_rows_alone(AttentionFuser(12, paper=paper), units(4, 5, 12))


@both_readings
def test_one_graph_for_any_batch_and_number_of_windows(paper: bool) -> None:
    torch.manual_seed(0)
    open_sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("windows")}
    check_captured(AttentionFuser(12, paper=paper), units(4, 5, 12), units(3, 2, 12), open_sizes)


@both_readings
def test_bfloat16(paper: bool) -> None:
    torch.manual_seed(0)
    check_bfloat16(AttentionFuser(12, paper=paper), units(4, 5, 12))
