"""The speaker encoder that voice2face freezes: voice2face's 1-D CNN, trained to name the speaker by cross-entropy."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from manifests.settings import Count, NotNegative, Positive
from models import voice2face
from models.encoders import ConvEncoder
from models.system import Batch, Losses, Optimiser, Phase, Step, move

FRONT_END = voice2face.FRONT_END
GENERATES = False
MATCHES = False
NEEDS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Settings:
    """The encoder is the paper's; nobody published how it was trained, so the schedule is ours."""

    encoder_channels: tuple[int, ...] = (256, 384, 576, 864)
    embedding: Positive = 64
    batch: Positive = 128
    rate: NotNegative = 1e-3
    last_rate: NotNegative = 1e-5
    iterations: Count = 40_000
    frames: tuple[int, int] = (200, 400)


def build(settings: Settings, n_identities: int) -> dict[str, nn.Module]:
    """The encoder, by the name that voice2face gives it, and the classifier on it."""
    return {
        "encoder": ConvEncoder(voice2face.BANDS, settings.encoder_channels, settings.embedding, normalise=False),
        "classifier": nn.Linear(settings.embedding, n_identities),
    }


def phases(settings: Settings) -> tuple[Phase, ...]:
    """One: both networks together."""
    s = settings
    both = Optimiser(("encoder", "classifier"), s.rate, (0.9, 0.999), s.last_rate)
    return (Phase("speakers", "paired", s.iterations, s.batch, s.frames, {"both": both}),)


def side(settings: Settings) -> int:
    """None: this system is shown no faces."""
    del settings
    return 0


def update(step: Step, batch: Batch) -> Losses:
    """One step on the cross-entropy of the speaker."""
    mel = voice2face.normalised(batch)
    with step.autocast():
        logits: Tensor = step.parallel["classifier"](step.parallel["encoder"](mel))
        loss = F.cross_entropy(logits.float(), batch.identity)
    move(step, "both", loss)
    right = (logits.detach().argmax(dim=1) == batch.identity).float().mean()
    return {"speaker": loss.detach(), "error": 1 - right}
