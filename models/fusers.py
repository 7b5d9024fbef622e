"""Fusers: the embeddings of several windows of one voice in, one embedding out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mean_of_windows(windows: Tensor, n_windows: Tensor | None) -> Tensor:
    """Embeddings (B, N, dim) of windows to their mean (B, dim), over the first `n_windows[b]` of row b, or over all."""
    if n_windows is None:
        return windows.mean(dim=1)
    counts = torch.arange(windows.shape[1], device=windows.device) < n_windows[:, None]
    return (windows * counts[..., None]).sum(dim=1) / n_windows[:, None]


class AttentionFuser(nn.Module):
    """SF2F's embedding fuser: bilinear self-attention over the windows, without scaling, then their mean.

    The attended embedding is joined with the projected query, as in the code, or with `paper` with the window's own
    embedding, as in the text.
    """

    def __init__(self, dim: int = 512, paper: bool = False) -> None:
        super().__init__()
        self.w_in = nn.Linear(dim, dim, bias=False)
        self.w_out = nn.Linear(2 * dim, dim, bias=False)
        self.paper = paper

    def forward(self, windows: Tensor, n_windows: Tensor | None = None) -> Tensor:
        """Unit embeddings (B, N, dim) of windows to one unit embedding (B, dim).

        Of row b only the first `n_windows[b]` (1..N) windows count, whatever fills the rest; all do without it.
        """
        batch, most, _ = windows.shape
        if n_windows is None:
            n_windows = torch.full((batch,), most, device=windows.device)
        filling = torch.arange(most, device=windows.device) >= n_windows[:, None]  # (B, N)
        e = windows.masked_fill(filling[:, :, None], 0.0)  # (B, N, dim): zero times a NaN of the filling is a NaN
        q = self.w_in(e)  # (B, N, dim)
        s = q @ e.transpose(1, 2)  # (B, N, N): s_ij = q_i . e_j
        a = s.masked_fill(filling[:, None, :], -torch.inf).softmax(dim=2)  # (B, N, N): over j
        m = a @ e  # (B, N, dim)
        o = self.w_out(torch.cat([m, e if self.paper else q], dim=2))  # (B, N, dim)
        z = o.masked_fill(filling[:, :, None], 0.0).sum(dim=1) / n_windows[:, None]  # (B, dim): mean over i
        return F.normalize(z, dim=1)
