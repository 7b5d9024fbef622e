"""Every experiment id, in order."""

from manifests.errors import UsageError
from models.reproduction import ar_spm, every, i2g, sf2f, speech2face, voice2face
from models.reproduction.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    *sf2f.ENTRIES,
    *speech2face.ENTRIES,
    *i2g.ENTRIES,
    *ar_spm.ENTRIES,
    *voice2face.ENTRIES,
    *every.ENTRIES,
)


def find(ids: tuple[str, ...]) -> tuple[Entry, ...]:
    """The named ids, or all of them for `all`. Raises UsageError listing the valid ones."""
    by_id = {entry.id: entry for entry in ENTRIES}
    if ids == ("all",):
        return ENTRIES
    if "all" in ids:
        raise UsageError("all stands alone: it is every id already")
    for asked in ids:
        if asked not in by_id:
            raise UsageError(f"no experiment id {asked}: expected all, or some of {', '.join(by_id)}")
    return tuple(by_id[asked] for asked in dict.fromkeys(ids))
