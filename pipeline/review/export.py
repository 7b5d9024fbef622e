"""Write what waits for reviewers as batches: a table of all tasks, and a folder of pictures and pages for each batch.

The same command writes the same bytes; after an interruption it makes what is missing. Whatever an earlier export left
in the folder and this one does not hold is deleted.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

from manifests.errors import UsageError
from manifests.schema import ALIGN, REVIEW_TASKS, WHITEN
from manifests.table import read_rows, rows_digest, shards, write_table, write_text
from pipeline import engine
from pipeline.progress import watched
from pipeline.review import batches, fiftyone, folders, gallery, label_studio, people, pictures, table
from pipeline.review.batches import Batch, Options
from pipeline.review.decisions import Decision
from pipeline.review.gold import Gold
from pipeline.review.people import Wanted
from pipeline.review.tasks import Task, table_path
from pipeline.review.view import View
from pipeline.stage import Row


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of export: what it writes beside the pictures, and the folder it wants them in."""

    files: Callable[[Batch, View], Mapping[str, str]]  # file name -> text
    names: tuple[str, ...]  # of these files
    pictures: str


FORMATS = {
    "html": Format(gallery.files, (gallery.FILE,), gallery.PICTURES),
    "label-studio": Format(label_studio.files, (label_studio.TASKS, label_studio.LABELS), label_studio.PICTURES),
    "fiftyone": Format(fiftyone.files, (fiftyone.SAMPLES, fiftyone.METADATA), fiftyone.PICTURES),
    "csv": Format(table.files, (table.FILE,), table.PICTURES),
}


@dataclass(frozen=True, slots=True)
class Look:
    """How the batches are shown, all of them alike."""

    format: str = "html"  # one of FORMATS
    blind: bool = False
    anonymous: bool = False
    expires: date | None = None
    files_prefix: str = "/data/local-files/?d="  # Label Studio: where it finds the folder of the export


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    batches: tuple[Batch, ...]  # with names and suggestions, whatever the reviewers see
    pictures: int  # each once, however many are asked about it
    asked: int  # a picture that two reviewers see counts twice
    gold: int  # of those asked about, with a known answer
    deleted: int  # files of earlier exports

    @property
    def people(self) -> int:
        """How many people are shown."""
        return len({person.identity_id for batch in self.batches for person in batch.people})


def task_rows(planned: Sequence[Batch]) -> list[Row]:
    """The rows of the tasks table."""
    shared = [field.name for field in fields(Task) if field.name in REVIEW_TASKS.names]
    return [
        {
            "assignment_id": hashlib.sha256(f"{task.task_id}:{batch.name}".encode()).hexdigest()[:16],
            "batch": batch.name,
            "reviewer": batch.reviewer,
            **{name: getattr(task, name) for name in shared},
        }
        for batch in planned
        for task in batch.tasks
    ]


def export(
    data: Path, out: Path, decided: Sequence[Decision], answers: Sequence[Gold], options: Options, wanted: Wanted,
    look: Look, workers: int = 1,
) -> Exported:  # fmt: skip
    """Write the batches of all open pictures under `data` to `out`; each worker holds a part of one shard in memory.

    Raises Missing where there are no whitened or aligned pictures, DataError where they do not fit together, and
    UsageError where gold is wanted and no known answer is about a picture that is there.
    """
    everybody = list(people.read(data, decided, answers, wanted))
    if options.gold and not any(person.golden for person in everybody):
        raise UsageError(
            "no gold to mix in: put known answers (sample_id, shown_sha256, decision) about pictures in "
            f"{data / WHITEN.name} into gold.jsonl in the review folder, one JSON object a line"
        )
    planned = batches.plan(everybody, options)
    form = FORMATS[look.format]
    # Deleted before anything is written, recorded before any picture is: an interrupted export hides nothing.
    deleted = folders.prune(out, {batch.name: _file_names(batch, form) for batch in planned})
    provenance = {"stage": "review-export", "settings": asdict(options)}
    write_table(table_path(out), REVIEW_TASKS, task_rows(planned), provenance)
    _write_pictures(data, out, planned, form, workers)
    digest = rows_digest(table_path(out))[:12]
    view = View(digest, wanted.least, wanted.most, look.blind, look.expires, look.files_prefix)
    for batch in planned:
        for name, text in form.files(_as_shown(batch, options, look), view).items():
            write_text(out / batch.name / name, text)
    return _summary(planned, deleted)


def _file_names(batch: Batch, form: Format) -> set[str]:
    hashes = {task.shown_sha256 for task in batch.tasks}
    shown = {place(form.pictures, one) for one in hashes for place in (pictures.white, pictures.original)}
    return shown | set(form.names)


def _as_shown(batch: Batch, options: Options, look: Look) -> Batch:
    """The batch without what its reviewer must not see: the formats cannot leak what they are not given."""
    if look.blind:
        batch = batches.blind(batch, options.seed)
    return batches.anonymous(batch) if look.anonymous else batch


def _write_pictures(data: Path, out: Path, planned: Sequence[Batch], form: Format, workers: int) -> None:
    stems: dict[str, list[Path]] = defaultdict(list)
    for batch in planned:
        for task in batch.tasks:
            stems[task.row_id].append(out / batch.name / form.pictures / pictures.stem(task.shown_sha256))
    works = []
    for shard in shards(data / WHITEN.name):
        files = {row_id: tuple(stems[row_id]) for row_id in _row_ids(shard) if row_id in stems}
        if files:
            works.append(pictures.Work(shard, data / ALIGN.name / shard.name, files))
    for _ in watched("pictures", engine.map_shards(pictures.write, works, workers), len(works)):
        pass


def _row_ids(shard: Path) -> list[str]:
    return [row["row_id"] for row in read_rows(shard, ["row_id"])]


def _summary(planned: Sequence[Batch], deleted: int) -> Exported:
    asked = [task for batch in planned for task in batch.tasks]
    shown = {task.sample_id for task in asked}
    return Exported(tuple(planned), len(shown), len(asked), sum(task.gold for task in asked), deleted)
