"""How right every stage is about real people: the table that `pipeline bench accuracy --data DIR` prints."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from manifests.errors import UsageError
from stages.accuracy.finding import Finding, Unmeasured

# In the order of the stages; a module loads when it measures.
MEASURES = ("detection", "pupils", "pose", "light", "people", "photographs", "expressions", "masks", "voicing", "mels")


def measure(data: Path, names: Sequence[str] = MEASURES) -> Iterator[Finding | Unmeasured]:
    """Findings of the named measures on the labelled pictures and recordings below `data`, as they come.

    Raises UsageError for an unknown name or a folder that does not exist.
    """
    unknown = sorted(set(names) - set(MEASURES))
    if unknown:
        raise UsageError(f"unknown measure {', '.join(unknown)}: there are {', '.join(MEASURES)}")
    if not data.is_dir():
        raise UsageError(f"{data} is no folder: --data needs one with faces/, emotion/, speech/ and so on")
    for name in names:
        yield from import_module(f"{__name__}.{name}").measure(data)
