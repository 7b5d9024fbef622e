"""The pictures of a batch: small JPEGs of the whitened picture and of what it was cut from, made shard by shard."""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from manifests.errors import DataError
from manifests.table import read_payload
from pipeline.images import Unreadable, decode

SIDE = 320  # pixels at most: what the page shows enlarged
QUALITY = 88  # of the JPEG
_MAX_PIXELS = 4096 * 4096  # of our own aligned pictures, which are far smaller


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made of one shard: for each row the files, without their endings, that show it."""

    whitened: Path  # shard
    aligned: Path  # shard with the same people, before whitening
    files: Mapping[str, tuple[Path, ...]]  # row_id -> ...


def stem(shown_sha256: str) -> str:
    """The file name, without ending, of a picture; another size or quality would be another file."""
    return hashlib.sha256(f"{shown_sha256}:{SIDE}:{QUALITY}".encode()).hexdigest()[:32]


def white(folder: str, shown_sha256: str) -> str:
    """Where the whitened picture lies in its batch."""
    return f"{folder}/{stem(shown_sha256)}.jpg"


def original(folder: str, shown_sha256: str) -> str:
    """Where the picture before whitening lies in its batch."""
    return f"{folder}/{stem(shown_sha256)}o.jpg"


def smaller(data: bytes) -> bytes:
    """A JPEG of a picture, its longer side at most SIDE. Raises pipeline.images.Unreadable as `decode` does."""
    image = Image.fromarray(decode(data, _MAX_PIXELS))
    image.thumbnail((SIDE, SIDE), Image.Resampling.HAMMING)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def write(work: Work) -> int:
    """Write the files of a shard that are not there yet; returns how many there were to be.

    Raises DataError where a picture is missing from its shard or cannot be decoded.
    """
    for shard, ending in ((work.whitened, ".jpg"), (work.aligned, "o.jpg")):
        missing = dict(_missing(work.files, ending))
        for row_id, payload in read_payload(shard, ["image"], missing):
            try:
                jpeg = smaller(payload["image"])
            except Unreadable as error:
                raise DataError(
                    f"{shard}: the picture of row {row_id} cannot be decoded ({error}): delete the file and run "
                    f"`pipeline run {shard.parent.name}`"
                ) from error
            for path in missing.pop(row_id):
                _replace(path, jpeg)
        if missing:
            raise DataError(
                f"{shard} lacks {len(missing)} pictures that {work.whitened} speaks of, such as row {min(missing)}: "
                f"run `pipeline run {shard.parent.name}`, then `pipeline run {work.whitened.parent.name}`"
            )
    return 2 * sum(len(stems) for stems in work.files.values())


def _missing(files: Mapping[str, tuple[Path, ...]], ending: str) -> Iterator[tuple[str, list[Path]]]:
    for row_id, stems in files.items():
        paths = [path for path in (one.with_name(one.name + ending) for one in stems) if not _is_there(path)]
        if paths:
            yield row_id, paths


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0  # a crash of the machine can leave a name without its bytes
    except FileNotFoundError:
        return False


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step; unlike a table it is not synced, since it can be made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
