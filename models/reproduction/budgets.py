"""How much each budget spends: whose settings, how many iterations, how many draws of the voices."""

from dataclasses import dataclass, replace
from typing import Any

from models import pretrain_face
from models.config import Experiment, assigned
from models.experiments import find
from models.reproduction.entry import Budget, Member

_SPACE = 64  # face features at the smallest budget: with VGG-Face's 4,096 its checkpoints alone take gigabytes

# What makes an iteration of each system a matter of milliseconds, and a run one of a few iterations. They show that
# everything runs; the figures that come out are noise.
TINY: dict[str, tuple[str, ...]] = {
    "sf2f": (
        "encoder_channels=[8,8,8,8]", "embedding=8", "decoder_channels=[8,8,8,8,8]", "discriminator_width=4",
        "batch=4", "iterations=2", "settling=2", "fuser_iterations=2", "windows=2",
    ),
    "voice2face": (
        "encoder_channels=[8,8,8,8]", "embedding=8", "generator_channels=[8,8,8,8,8]", "discriminator_width=4",
        "batch=4", "iterations=2",
    ),
    "speech2face": (
        f"space={_SPACE}", "encoder_channels=[2,2,2,2,2,2,2,2,2]", "hidden=8", "decoder_channels=[4,4,4,4,4]",
        "batch=4", "decoder_batch=4", "decoder_iterations=2", "iterations=2",
    ),
    "ar_spm": (
        f"space={_SPACE}", "encoder_channels=[16,16,16,16,16]", "decoder_channels=[16,16,16,16,16,16]",
        "gender_channels=[4,4,4,4,4]", "batch=4", "decoder_iterations=2", "gender_iterations=2", "iterations=2",
    ),
    "i2g": (
        "speech_channels=[4,4,4,4,4,4,4,4]",
        "speech_kernel=31",
        "bottleneck=4",
        "face_channels=[4,4,4,4]",
        "generator_channels=[4,4,4,4,4]",
        "embedding=8",
        "noise=8",
        "frames=[100,100]",
        "candidates=4",
        "matching_batch=4",
        "matching_iterations=2",
        "batch=2",
        "iterations=2",
    ),
    "wav2pix": (
        "encoder_channels=[4,4,4,4,4,4]",
        "hidden=[8,8]",
        "embedding=8",
        "generator_channels=[8,8,4,4]",
        "discriminator_channels=[4,4,8,8]",
        "classifier=8",
        "batch=4",
        "iterations=2",
    ),
    "svhf": (
        "channels=[4,4]", "hidden=8", "embedding=8", "head=[8,8]", "batch=12", "voice_iterations=2",
        "face_iterations=2", "iterations=2",
    ),
    "dimnet": (
        "voice_channels=[8,8,8,8]", "face_channels=[8,8,8,8]", "embedding=8", "batch=4", "iterations=[1,1,1]",
    ),
    "speaker": ("encoder_channels=[8,8,8,8]", "embedding=8", "batch=4", "iterations=2"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spending:
    """What a budget fixes beside the members' settings."""

    runs: int  # draws of the voices
    average: float  # decay of the averaged weights
    face: pretrain_face.Settings  # of the judges; at the full budget the published ones are used
    features: pretrain_face.Settings  # likewise of the network whose features are predicted


_FACE = pretrain_face.Settings()
_TINY_FACE = replace(_FACE, width=4, embedding=16, epochs=1)
SPENDING: dict[Budget, Spending] = {
    "smoke": Spending(1, 0.9, _TINY_FACE, replace(_TINY_FACE, layout="vgg", features=_SPACE)),
    "small": Spending(3, 0.99, _FACE, pretrain_face.SMALL_VGG),
    "full": Spending(10, 0.0, _FACE, pretrain_face.SMALL_VGG),
}


def planned(member: Member, budget: Budget) -> tuple[Experiment, Any]:
    """The experiment that a member is at a budget, and its settings."""
    if budget == "full":
        experiment, changes = find(member.full), member.full_changes
    else:
        experiment = find(member.small)
        tiny = TINY[experiment.system] if budget == "smoke" else ()
        changes = (*tiny, *member.changes)  # a change of the paper's wins
    return experiment, assigned(experiment.settings, changes, experiment.name)


def folder_name(member: Member, budget: Budget) -> str:
    """The same for members that are trained alike, so that they are trained once."""
    name, changes = (member.full, member.full_changes) if budget == "full" else (member.small, member.changes)
    told = "-".join((name, *changes, *(["raw"] if member.raw else [])))
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in told)
