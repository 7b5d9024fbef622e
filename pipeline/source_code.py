"""Which version of our code runs: a digest of the source files."""

import hashlib
from functools import cache
from pathlib import Path


def digest() -> str:
    """sha256 over the source files of the packages that make tables, as they are now."""
    root = Path(__file__).parents[1]
    total = hashlib.sha256()
    files = [path for package in ("manifests", "pipeline", "stages") for path in (root / package).rglob("*.py")]
    for path in sorted(files):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


@cache
def first_digest() -> str:
    """The same as it was when this process first asked: what it has loaded since may be no older than that."""
    return digest()
