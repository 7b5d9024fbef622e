"""Bring a weight file from its sources into the cache: size-capped, verified before use, renamed into place."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from manifests.errors import Missing
from manifests.registry import Entry, Https, Installed, Local, Source, Wheel
from manifests.weights import Progress, fault, fetch_command

if TYPE_CHECKING:
    import requests

MAX_BYTES = 1 << 30  # cap for an entry whose size is not registered
TIMEOUT_S = 30.0  # without a byte
WHEEL_TIMEOUT_S = 600.0  # for the whole of `pip download`
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 16  # an interrupted download loses at most this much
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SourceFailed(Exception):
    """One source did not serve the file; the next one is tried."""


def obtain(entry: Entry, target: Path, progress: Progress) -> None:
    """Put a verified copy at `target`, from the first source that serves it.

    Raises Missing with every source's failure and what to do next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures = []
    for source in entry.sources:
        try:
            _serve(entry, source, part, progress)
            _accept(entry, part)
        except SourceFailed as failure:
            failures.append(f"  {source}: {failure}")
            continue
        part.replace(target)
        return
    raise Missing(
        f"weights {entry.name} could not be fetched:\n"
        + "\n".join(failures)
        + f"\nPut {entry.file} into a folder DIR and run: HQVOX_WEIGHTS=DIR pipeline weights verify\n"
        f"Or try again: {fetch_command(entry.name)}"
    )


def _accept(entry: Entry, part: Path) -> None:
    wrong = fault(entry, part)
    if wrong:
        part.unlink()
        raise SourceFailed(f"{wrong}; what came was deleted")


def _serve(entry: Entry, source: Source, part: Path, progress: Progress) -> None:
    match source:
        case Https():
            _download(entry, source.url, part, progress)
        case Wheel():
            _extract(entry, source, part, progress)
        case Installed():  # reached only when the registry did not find it on this machine
            raise SourceFailed(f"not installed; run: pip install {source.distribution}=={source.version}")
        case Local():
            raise SourceFailed("not part of this installation; train it: pipeline train-segmenter")


def _download(entry: Entry, url: str, part: Path, progress: Progress) -> None:
    """Fetch `url` into `part`, continuing what an interrupted try left there."""
    import requests

    # Without any known hash, a continued file could be glued together from two versions unnoticed.
    continues = part.is_file() and bool(entry.sha256 or entry.sha256_prefix)
    start = part.stat().st_size if continues else 0
    if start and start == entry.bytes:
        return
    with requests.Session() as session:
        try:
            response = _get(session, url, start)
            if start and not _continues_at(response, start):
                response.close()
                start = 0
                response = _get(session, url, start)
            if not response.ok:
                raise SourceFailed(f"the server answers {response.status_code} {response.reason}")
            _receive(entry, response, part, start, progress)
        except requests.RequestException as error:
            raise SourceFailed(f"{type(error).__name__}: {error}") from error


def _get(session: "requests.Session", url: str, start: int) -> "requests.Response":
    """Answer to a GET from byte `start` on; every redirect is held to the same rule as the first address."""
    loopback = urlsplit(url).hostname in _LOOPBACK
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    for _ in range(_MAX_REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme != "https" and not (loopback and parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise SourceFailed(f"refused {url}: weights are fetched over https only")
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S, allow_redirects=False)
        if not response.is_redirect:
            return response
        url = urljoin(url, response.headers["Location"])
        response.close()
    raise SourceFailed(f"more than {_MAX_REDIRECTS} redirects")


def _continues_at(response: "requests.Response", start: int) -> bool:
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _receive(entry: Entry, response: "requests.Response", part: Path, start: int, progress: Progress) -> None:
    announced = response.headers.get("Content-Length")
    total = start + int(announced) if announced and announced.isdigit() else entry.bytes
    limit = entry.bytes or MAX_BYTES
    if total is not None and total > limit:
        raise SourceFailed(f"{total} bytes are announced; at most {limit} are expected")
    with part.open("ab" if start else "wb") as out:
        received = _copy(entry, response.iter_content(_CHUNK_BYTES), out, start, progress)
    if received > limit:
        part.unlink()
        raise SourceFailed(f"more than the {limit} bytes expected")
    expected = entry.bytes or total
    if expected is not None and received < expected:
        raise SourceFailed(f"ended after {received} of {expected} bytes")


def _copy(entry: Entry, chunks: Iterable[bytes], out: IO[bytes], start: int, progress: Progress) -> int:
    """Write the chunks, at most one beyond the size cap; returns how long the file now is."""
    done = start
    for chunk in chunks:
        out.write(chunk)
        done += len(chunk)
        progress.advance(entry.name, done, entry.bytes)
        if done > (entry.bytes or MAX_BYTES):
            break
    return done


def _extract(entry: Entry, source: Wheel, part: Path, progress: Progress) -> None:
    """Copy one member out of a wheel. Only wheels: downloading a source distribution would run its code."""
    with tempfile.TemporaryDirectory() as folder:
        _pip_download(source, folder)
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise SourceFailed(f"pip left {len(wheels)} wheels; exactly one is expected")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                member = archive.getinfo(source.member)
                limit = entry.bytes or MAX_BYTES
                if member.file_size > limit:
                    raise SourceFailed(f"{member.file_size} bytes in the wheel; at most {limit} are expected")
                with archive.open(member) as stream, part.open("wb") as out:
                    _copy(entry, iter(lambda: stream.read(_CHUNK_BYTES), b""), out, 0, progress)
        except KeyError as error:
            raise SourceFailed(f"{wheels[0].name} holds no {source.member}") from error
        except zipfile.BadZipFile as error:
            raise SourceFailed(f"{wheels[0].name} is no readable wheel: {error}") from error


def _pip_download(source: Wheel, folder: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", f"{source.distribution}=={source.version}", "-d", folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WHEEL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SourceFailed(f"pip download took longer than {WHEEL_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise SourceFailed(f"pip download failed: {lines[-1]}")
