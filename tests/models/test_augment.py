"""What a face network sees in training: drawn from the seed, in range, and half of it blurred."""

import torch

from models import face_net
from models.augment import seen


def test_what_is_seen_is_a_function_of_the_seed_and_stays_in_range() -> None:
    frames = torch.rand(6, 3, 128, 128)
    one, again, other = (seen(frames, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert one.shape == (6, 3, face_net.SIDE, face_net.SIDE)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.min() >= 0 and one.max() <= 1
    state = torch.get_rng_state()
    seen(frames, torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state), "the global generator is nobody's"


def test_half_of_what_is_seen_is_blurred() -> None:
    """Noise of single pixels survives in the sharp half and is averaged away in the other."""
    frames = 0.5 + 0.2 * torch.randn(8, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    spread = [seen(frames, torch.Generator().manual_seed(seed)).std(dim=(2, 3)).mean(dim=1) for seed in range(4)]
    soft, sharp = (torch.stack([s[half] for s in spread]).mean() for half in (slice(4), slice(4, 8)))
    assert soft < 0.6 * sharp
