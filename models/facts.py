"""What a checkpoint says of the run it is from, checked: the file may come from anywhere."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from manifests.errors import DataError, UsageError
from manifests.settings import Count, Share, build
from models.system import SYSTEMS

_TOLD = 500  # characters of what is wrong: the file may be wrong at length


@dataclass(frozen=True, slots=True)
class Named:
    """A face network and its very weights."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint stands in its run."""

    phase: Count
    iteration: Count
    skipped: Count = 0
    best: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is read of a checkpoint's metadata; what else they hold is told on, never used."""

    experiment: str
    system: str
    settings: dict[str, Any]
    seed: Count
    n_identities: Annotated[int, Interval(ge=1, le=10_000_000)]
    front_end: str
    vad: Literal["sf2f", "voice2face", "modern"]
    place: Place
    manifest: str = ""  # digest
    average: Share = 0.0
    loss_judge: Named | None = None
    validation_judge: Named | None = None
    features: Named | None = None  # frozen network whose features were learned from
    chosen_by: str | None = None  # validation metric that this checkpoint is the best by


def checked(file: Path, told: Mapping[str, Any]) -> Facts:
    """The facts of a checkpoint. Raises DataError saying what is missing, or was found in the place of what."""
    known = {one.name: told[one.name] for one in fields(Facts) if one.name in told}
    required = {one.name for one in fields(Facts) if one.default is MISSING}
    if lacking := sorted(required - set(known)):
        raise DataError(f"{file} is no checkpoint of a run: it does not say its {', '.join(lacking)}")
    try:
        facts = build(Facts, known, "facts")
    except UsageError as error:
        raise DataError(f"{file} is no checkpoint of a run: {str(error)[:_TOLD]}") from error
    if facts.system not in SYSTEMS:
        raise DataError(f"{file} is of system {facts.system[:_TOLD]!r}: expected one of {', '.join(SYSTEMS)}")
    return facts


def place_of(file: Path, told: Mapping[str, Any]) -> Place:
    """Where a run was stopped. Raises DataError for a file that does not say."""
    try:
        return build(Place, told["place"], "place")
    except (UsageError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} does not say where in its run it is ({str(error)[:_TOLD]}): is it a run's checkpoint?"
        ) from error


def named(network: Any) -> dict[str, str] | None:
    """A face network, a judge or a teacher, as facts hold it."""
    return None if network is None else asdict(Named(network.name, network.sha256))
