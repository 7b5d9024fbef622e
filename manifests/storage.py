"""Where tables lie: a folder of this machine, or any URL that fsspec knows (s3://bucket/data).

A URL comes as an object with the methods of `pathlib.Path`, so that whoever reads and lists files need not know.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import IO, cast

from manifests.errors import Missing, UsageError


def place(text: str) -> Path:
    """The folder that a setting names; it need not exist.

    Raises UsageError for an unknown protocol, Missing where its package is not installed or nobody answers. Keys and
    endpoints come from where the protocol's package looks for them (s3: the AWS_* variables).
    """
    protocol, colon, _ = text.partition("://")
    if not colon:
        return Path(text)
    from fsspec import get_filesystem_class  # type: ignore[import-untyped]
    from upath import UPath

    try:
        get_filesystem_class(protocol)
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from error
    except ImportError as error:
        raise Missing(f"{text}: {error} (pip)") from error
    found = UPath(text, use_listings_cache=False)  # a cached listing would not show what workers write meanwhile
    try:
        found.exists()
    except Exception as error:  # each protocol's package has errors of its own
        raise Missing(f"{text} cannot be reached: {error}") from error
    return cast(Path, found)


def is_here(path: Path) -> bool:
    """Whether a path is of this machine's file system."""
    return isinstance(path, Path)


def opened(path: Path) -> Path | IO[bytes]:
    """What pyarrow reads a file from."""
    return path if is_here(path) else path.open("rb")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A local name: what is written there takes the place of `path` in one step, or leaves it as it was.

    An object store shows an object when all of it has arrived; a protocol that does not leaves a torn file behind a
    killed writer, which is made again like any damaged one.
    """
    if not is_here(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, path.name)
            yield temporary
            path.parent.mkdir(parents=True, exist_ok=True)
            path.fs.put_file(str(temporary), path.path)  # type: ignore[attr-defined]  # a UPath
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    for left_over in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        pid = left_over.name.split(".")[-2]
        if pid.isdecimal() and not _is_alive(int(pid)):  # its writer was killed
            left_over.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's, or no number of ours
        return True
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
