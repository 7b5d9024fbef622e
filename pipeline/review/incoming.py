"""Whether decisions that come back are about the pictures there are, and what they change: pure rules."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.review.decisions import Decision, last_words
from pipeline.review.tasks import task_id


@dataclass(frozen=True, slots=True)
class Checked:
    """Decisions that may be added, and those refused, by why."""

    good: tuple[Decision, ...]
    unknown: tuple[Decision, ...]  # no such picture here: another data set, or somebody who was removed
    stale: tuple[Decision, ...]  # the picture is not the one that was shown any more
    altered: tuple[Decision, ...]  # task, sample, picture and round do not belong together

    @property
    def refused(self) -> int:
        """How many may not be added."""
        return len(self.unknown) + len(self.stale) + len(self.altered)


def check(decisions: Iterable[Decision], shown: Mapping[str, str]) -> Checked:
    """Sort decisions out; `shown` is sample_id -> sha256 of the whitened picture as it is now."""
    sorted_out: dict[str, list[Decision]] = {"good": [], "unknown": [], "stale": [], "altered": []}
    for decision in decisions:
        sorted_out[_kind(decision, shown)].append(decision)
    return Checked(**{kind: tuple(found) for kind, found in sorted_out.items()})


def _kind(decision: Decision, shown: Mapping[str, str]) -> str:
    if decision.task_id != task_id(decision.sample_id, decision.shown_sha256, decision.round):
        return "altered"
    if decision.sample_id not in shown:
        return "unknown"
    return "good" if shown[decision.sample_id] == decision.shown_sha256 else "stale"


def contradictions(files: Iterable[Sequence[Decision]]) -> list[str]:
    """The tasks of which one reviewer says different things in different files, with no time to tell the later."""
    said: dict[tuple[str, str], dict[str, Decision]] = {}
    found: set[str] = set()
    for decisions in files:
        mine = {(decision.task_id, decision.reviewer): decision for decision in decisions}
        for key, decision in mine.items():
            others = said.setdefault(key, {})
            timeless = decision.at is None or any(other.at is None for other in others.values())
            if timeless and others and decision.decision not in others:
                found.add(decision.task_id)
            others[decision.decision] = decision
    return sorted(found)


def revised(new: Iterable[Decision], before: Iterable[Decision]) -> list[Decision]:
    """The new decisions that differ from what the same reviewer has said of the same task before."""
    said: dict[tuple[str, str], set[str]] = defaultdict(set)
    for decision in before:
        said[decision.task_id, decision.reviewer].add(decision.decision)
    return [one for one in new if said[one.task_id, one.reviewer] - {one.decision}]


def overtaken(again: Iterable[Decision], before: Iterable[Decision]) -> list[Decision]:
    """The decisions known already after which the same reviewer said otherwise: giving them again changes nothing."""
    lines: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in before:
        lines[decision.task_id, decision.reviewer].append(decision)
    last = {key: last_words(said)[key[1]] for key, said in lines.items()}
    return [one for one in again if last[one.task_id, one.reviewer].decision != one.decision]


def late(new: Iterable[Decision], before: Iterable[Decision]) -> list[Decision]:
    """The new decisions about a picture of which a later round has spoken already."""
    rounds: dict[tuple[str, str], int] = {}
    for decision in before:
        picture = decision.sample_id, decision.shown_sha256
        rounds[picture] = max(decision.round, rounds.get(picture, 0))
    return [one for one in new if rounds.get((one.sample_id, one.shown_sha256), 0) > one.round]
