"""Compare folders of recordings with the metadata before days of work: who and what is missing, and who is unknown."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.identities import Identities
from pipeline.names import clean
from pipeline.recordings import Found

_UTTERANCE = re.compile(r"[^\s/]+/[^\s/]+/[^\s/]+\.\w+")  # speaker/video/utterance.suffix
_SHOWN = 20  # names of each kind in the printed table


@dataclass(frozen=True, slots=True)
class AudioCheck:
    """What is there and what is not; every list is sorted."""

    speakers: int  # listed people who have a recording
    recordings: int
    missing_speakers: tuple[str, ...]  # listed, but without a recording
    unknown_speakers: tuple[str, ...]  # folders of nobody who is listed
    missing_utterances: tuple[str, ...]  # `speaker/video/utterance`, from the lists of utterances
    empty_folders: tuple[str, ...]
    homeless: tuple[str, ...]  # recordings that lie in no speaker's folder
    by_suffix: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Whether everything that is listed is there."""
        return not (self.missing_speakers or self.missing_utterances)


def compare(
    found: Iterable[Found], people: Identities, listed_utterances: Iterable[str], empty: Sequence[Path]
) -> AudioCheck:
    """Recordings found against people listed.

    `listed_utterances` are `speaker/video/utterance` without suffix, as `read_utterances` returns them: archives
    and lists may differ in the suffix (VoxCeleb2 comes as m4a and is often converted).
    """
    there: set[str] = set()
    speakers: set[str] = set()
    unknown: set[str] = set()
    homeless: list[str] = []
    suffixes: Counter[str] = Counter()
    for one in found:
        suffixes[one.path.suffix.lower()] += 1
        if one.speaker is None:
            homeless.append(one.path.as_posix())
            continue
        person = people.resolve(one.speaker).identity_id
        if person in people.people:
            speakers.add(person)
        else:
            unknown.add(one.speaker)
        there.add(f"{person}/{one.video_id}/{one.utterance}")
    return AudioCheck(
        speakers=len(speakers),
        recordings=sum(suffixes.values()),
        missing_speakers=tuple(sorted(set(people.people) - speakers)),
        unknown_speakers=tuple(sorted(unknown)),
        missing_utterances=tuple(sorted(set(listed_utterances) - there)),
        empty_folders=tuple(path.as_posix() for path in empty),
        homeless=tuple(homeless),
        by_suffix=dict(sorted(suffixes.items())),
    )


def read_utterances(text: str) -> set[str]:
    """Utterances named in one of VoxCeleb's lists (`iden_split.txt`, `veri_test.txt`), without their suffix."""
    return {match.group().rsplit(".", 1)[0] for match in _UTTERANCE.finditer(text)}


def table(check: AudioCheck) -> str:
    """What `pipeline check-audio` prints."""
    suffixes = ", ".join(f"{count} {suffix}" for suffix, count in check.by_suffix.items()) or "none"
    lines = [f"recordings           {check.recordings} ({suffixes})", f"speakers with audio  {check.speakers}"]
    for title, names in (
        ("missing speakers", check.missing_speakers),
        ("unknown speakers", check.unknown_speakers),
        ("missing utterances", check.missing_utterances),
        ("empty folders", check.empty_folders),
        ("in no folder", check.homeless),
    ):
        lines.append(f"{title:<20} {len(names)}")
        lines += [f"  {clean(name)}" for name in names[:_SHOWN]]
        if len(names) > _SHOWN:
            lines.append(f"  ... and {len(names) - _SHOWN} more")
    return "\n".join(lines)
