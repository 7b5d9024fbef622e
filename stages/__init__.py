"""The recipe: one file per stage of `dvc repro`, in this order."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.stage import Stage

STAGES = ("crawl", "landmarks", "identity", "emotion", "align", "whiten", "review", "voices", "manifest", "stats")


def load(name: str) -> "Stage":
    """The stage of that name; its module is imported only now."""
    from importlib import import_module

    stage: Stage = import_module(f"stages.{name}").STAGE
    return stage
