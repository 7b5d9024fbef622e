"""Import the files that reviewers send back, and say what became of every decision in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import DataError
from manifests.schema import WHITEN
from manifests.table import read_rows, shards
from pipeline.names import clean
from pipeline.review import decisions, incoming, readers
from pipeline.review.decisions import Decision
from pipeline.review.importer import Appended, append, key
from pipeline.review.incoming import Checked
from pipeline.review.readers import Found
from pipeline.terminal import counted

_EXAMPLES = 3  # named of each kind


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of everything in the files."""

    files: tuple[Found, ...]
    checked: Checked
    appended: Appended
    revised: tuple[Decision, ...]  # differ from what the same reviewer said before; the later one holds
    late: tuple[Decision, ...]  # a later round has spoken already
    overtaken: tuple[Decision, ...]  # known already, and revised since by the same reviewer


def import_files(paths: Sequence[Path], data: Path, review: Path) -> Imported:
    """Add the decisions of all files that are about the whitened pictures under `data`.

    Nothing is added where a file is broken, where two files contradict each other without a time to tell which is
    later, or where no decision at all is about these pictures: DataError. Raises Missing without whitened pictures.
    """
    files = tuple(readers.read(path) for path in paths)
    odd = incoming.contradictions([found.decisions for found in files])
    if odd:
        raise DataError(
            f"the files disagree about {counted(len(odd), 'task')} of the same reviewer, such as "
            f"{', '.join(map(clean, odd[:_EXAMPLES]))}, and no time says which is later; nothing was imported: give "
            "only the file that is right"
        )
    shown = {
        row["sample_id"]: row["image_sha256"]
        for shard in shards(data / WHITEN.name)
        for row in read_rows(shard, ("sample_id", "image_sha256"))
    }
    given = [decision for found in files for decision in found.decisions]
    checked = incoming.check(given, shown)
    if given and len(checked.unknown) == len(given):
        raise DataError(
            f"none of the {counted(len(given), 'decision')} is about a picture of {data / WHITEN.name}: they belong "
            "to another data set, or all of them were removed since; nothing was imported"
        )
    path = review / decisions.FILE
    before = decisions.read(path)
    known = {key(decision) for decision in before}
    new = [decision for decision in checked.good if key(decision) not in known]
    again = [decision for decision in checked.good if key(decision) in known]
    return Imported(
        files,
        checked,
        append(path, checked.good),
        revised=tuple(incoming.revised(new, before)),
        late=tuple(incoming.late(new, before)),
        overtaken=tuple(incoming.overtaken(again, before)),
    )


def report(found: Imported, paths: Sequence[Path]) -> list[str]:
    """What became of every decision, in sentences."""
    lines = [f"{clean(str(path))}: {_contents(file)}" for path, file in zip(paths, found.files, strict=True)]
    new, duplicates = found.appended.new, found.appended.duplicates
    lines.append(f"{counted(new, 'decision')} added, {duplicates:,} known already.")
    kinds = (
        (found.checked.unknown, "refused: about pictures that are not here (another data set, or removed since)"),
        (found.checked.stale, "refused: the picture has changed since it was shown; it will be asked again"),
        (found.checked.altered, "refused: task, picture and round do not belong together (edited by hand?)"),
        (found.revised, "differ from what the same reviewer said before: the later one holds"),
        (found.overtaken, "known already, and revised since by the same reviewer: the revision holds"),
        (found.late, "came after a later round had spoken: they count for agreement only"),
    )
    return lines + [f"{len(those):,} {words}: {_examples(those)}" for those, words in kinds if those]


def _contents(file: Found) -> str:
    parts = [f"{file.form}, {counted(len(file.decisions), 'decision')}"]
    if file.undecided:
        parts.append(f"{file.undecided:,} left open")
    if file.cancelled:
        parts.append(f"{file.cancelled:,} cancelled by their author")
    return ", ".join(parts)


def _examples(those: Sequence[Decision]) -> str:
    named = [f"task {one.task_id} (sample {one.sample_id}, {one.reviewer})" for one in those[:_EXAMPLES]]
    return clean(", ".join([*named, *(["..."] if len(those) > _EXAMPLES else [])]))
