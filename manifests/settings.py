"""Settings from outside into frozen dataclasses: unknown keys and wrong types are errors, all reported together."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Interval

from manifests.errors import UsageError

Section = Mapping[str, Any]
T = TypeVar("T")

# Numbers that settings may hold.
Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
NotNegative = Annotated[float, Ge(0)]
MoreThanZero = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
BelowOne = Annotated[float, Interval(ge=0, lt=1)]


def build(kind: type[T], section: Section, where: str) -> T:
    """A frozen dataclass from a section. Raises UsageError naming every unknown key and wrong value."""
    from pydantic import TypeAdapter, ValidationError

    valid = sorted(f.name for f in fields(kind))  # type: ignore[arg-type]  # T is a dataclass
    unknown = sorted(set(map(str, section)) - set(valid))
    if unknown:
        raise UsageError(f"{where}: unknown key {', '.join(unknown)}; valid: {', '.join(valid)}")
    try:
        text = json.dumps(section, default=str, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {error}; expected finite numbers, texts and lists") from error
    try:
        # Through JSON, strict mode still takes lists for tuples and strings for paths, but never "5" for 5.
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        faults = [f"{where}.{'.'.join(map(str, e['loc']))}: {e['msg']}, found {e['input']!r}" for e in error.errors()]
        raise UsageError("\n".join(faults)) from error
