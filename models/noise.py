"""What the systems draw at random in an iteration: all from the step's generator, so that a resumed run agrees."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def flipped(faces: Tensor, noise: torch.Generator) -> Tensor:
    """Faces (B, 3, S, S), each mirrored with probability one half."""
    drawn = torch.rand(len(faces), generator=noise, device=faces.device)
    return torch.where(drawn[:, None, None, None] < 0.5, faces.flip(-1), faces)


def strangers(identity: Tensor, count: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each row of a batch `count` other people: their rows (B, count), and whether there are so many.

    No person is drawn twice, and each is as likely, however many rows are theirs. Where a row has too few strangers,
    the second tensor (B, count) is false at the end and the rows there are anybody's.
    """
    same = identity[:, None] == identity
    drawn = torch.rand(len(identity), len(identity), generator=noise, device=identity.device)
    ranks = drawn.argsort(dim=1).argsort(dim=1)  # in the place of numbers, two of which may be equal
    person = same.int().argmax(dim=1).expand_as(ranks)  # each column's, by the first row that is theirs
    highest = torch.zeros_like(ranks).scatter_reduce(1, person, ranks, "amax").gather(1, person)
    # The largest of n such numbers, to the power of n, is distributed as one of them.
    drawn = drawn.pow(same.sum(dim=1)).masked_fill(same | (ranks < highest), -1.0)
    best, rows = drawn.topk(min(count, len(identity)), dim=1)
    lacking = (0, count - rows.shape[1])
    return torch.nn.functional.pad(rows, lacking), torch.nn.functional.pad(best, lacking, value=-1.0) >= 0


def truncated(shape: tuple[int, ...], limit: float | None, noise: torch.Generator) -> Tensor:
    """Standard normal numbers of which each beyond `limit` is drawn again until it is within; None: no limit.

    Drawn by the inverse of that distribution, so that the count of draws is known. On the generator's device.
    """
    if limit is None:
        return torch.randn(shape, generator=noise, device=noise.device)
    within = 2 * torch.rand(shape, generator=noise, device=noise.device) - 1  # -1 to 1
    root = math.sqrt(2)
    return (root * torch.erfinv(within * math.erf(limit / root))).clamp(-limit, limit)  # rounding may lead beyond


@contextmanager
def seeded(noise: torch.Generator) -> Iterator[None]:
    """Torch's own generators, which dropout layers draw from, begin inside at the seed of `noise` and are put back.

    The loop seeds `noise` before every iteration. Two such blocks in one iteration draw the same.
    """
    devices = [noise.device] if noise.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(noise.initial_seed())
        yield
