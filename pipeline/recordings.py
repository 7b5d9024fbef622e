"""Find recordings on disk: VoxCeleb's folders as published, or any folder per person."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from manifests.errors import DataError
from pipeline.names import clean

Layout = Literal["auto", "voxceleb", "folder"]

SUFFIXES = (".wav", ".flac", ".m4a", ".aac", ".mp4", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
# Folders that VoxCeleb's archives unpack to above the speakers: wav/, dev/aac/, vox2/dev/aac/ ...
_ABOVE_SPEAKERS = frozenset({"vox1", "vox2", "voxceleb1", "voxceleb2", "raw_wav", "dev", "test", "wav", "aac", "m4a"})


@dataclass(frozen=True, slots=True)
class Found:
    """A file that its name calls a recording, and what its place says."""

    path: Path
    speaker: str | None  # name of the speaker's folder; None for a file that lies in none
    video_id: str | None
    utterance: str


def find(root: Path, layout: Layout) -> Iterator[Found]:
    """Every recording under `root`, sorted by path.

    `voxceleb` is `<speaker>/<video>/<utterance>` below VoxCeleb's own folders (dev, test, wav, aac ...), `folder` is
    `<speaker>/...` directly; `auto` skips VoxCeleb's folders where they are there. Links to folders are not followed.
    """
    for path in sorted(_files(root)):
        yield locate(path, path.relative_to(root).parts, layout)


def locate(path: Path, parts: tuple[str, ...], layout: Layout) -> Found:
    """What the place of a file says; `parts` is its path below the root."""
    if layout != "folder":
        while len(parts) > 2 and parts[0].lower() in _ABOVE_SPEAKERS:
            parts = parts[1:]
    *folders, file = parts
    utterance = clean(Path(file).stem)
    if not folders or (layout == "voxceleb" and len(folders) != 2):
        return Found(path, None, None, utterance)
    return Found(path, folders[0], clean("/".join(folders[1:])) or None, utterance)


def empty_folders(root: Path) -> list[Path]:
    """Folders without any file below them, sorted."""
    filled: set[Path] = set()
    seen = []
    for name, _, files in os.walk(root, topdown=False):
        folder = Path(name)
        seen.append(folder)
        if files or folder in filled:
            filled.update((folder, folder.parent))
    return sorted(folder for folder in seen if folder not in filled)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(root, onerror=_unreadable):
        for name in files:
            path = Path(folder, name)
            # Not a pipe or a socket of that name, which would never end.
            if name.lower().endswith(SUFFIXES) and not name.startswith(".") and path.is_file():
                yield path


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: {error.strerror}; its recordings would be lost without a word") from error
