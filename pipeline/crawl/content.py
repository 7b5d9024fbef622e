"""What came is judged by its bytes, never by its name or by what a server says of it."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pipeline.images import Header, Unreadable, header
from pipeline.stage import UNREADABLE_FILE, Drop


@dataclass(frozen=True, slots=True)
class Picture:
    """Bytes that begin as a picture, undecoded."""

    data: bytes
    sha256: str
    header: Header


def look(data: bytes, max_pixels: int) -> Picture | Drop:
    """The picture that the bytes are by their header; drops: empty, not_a_picture, too_many_pixels."""
    try:
        return Picture(data, sha256(data).hexdigest(), header(data, max_pixels))
    except Unreadable as fault:
        limit = max_pixels if fault.reason == "too_many_pixels" else None
        return Drop(fault.reason, limit=limit, detail=str(fault))


def read(path: Path, max_bytes: int, max_pixels: int) -> Picture | Drop:
    """The picture in a local file; drops: unreadable_file, too_large, and those of `look`."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            return Drop("too_large", size, max_bytes)
        return look(path.read_bytes(), max_pixels)
    except OSError as error:
        return Drop(UNREADABLE_FILE, detail=error.strerror)
