"""What an experiment is, and how `--set key=value` changes its settings."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import yaml

from manifests.errors import UsageError
from manifests.settings import build

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One row of `models list`: a published result, or a preset of ours, as settings of the system that makes it."""

    name: str
    system: str  # the module of `models` that builds and trains it
    settings: Any  # that module's `Settings`
    source: str  # paper, section or configuration that the settings come from
    reproduces: str  # table and row, or what the preset is for


def assigned(settings: T, assignments: Sequence[str], where: str) -> T:
    """Settings (a dataclass) with `key=value` assignments applied; values are read as YAML.

    Raises UsageError for an unknown key, listing the valid ones, and for a value of another type.
    """
    valid = sorted(field.name for field in fields(settings))  # type: ignore[arg-type]  # T is a dataclass
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in valid:
            raise UsageError(f"--set {assignment}: expected key=value, with a key of {', '.join(valid)}")
        values[key] = _value(assignment, text)
    return build(type(settings), asdict(settings) | values, where)  # type: ignore[call-overload]


def _value(assignment: str, text: str) -> Any:
    """Read as JSON where it is that, since 1e-3 is a number there and a text in YAML; else as YAML."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {assignment}: the value is not YAML: {error}") from error
