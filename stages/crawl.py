"""Fetch every listed picture once, unchanged, with where it came from; say of every other address why it is not here.

The shards run one after another in this process; the threads that fetch a shard share their connections.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from manifests import removals
from manifests.errors import UsageError
from manifests.removals import REMOVED, Removals
from manifests.schema import CRAWL
from manifests.settings import Positive
from manifests.table import digest_of, write_text
from pipeline import engine, identities
from pipeline.crawl.content import Picture, read
from pipeline.crawl.fetch import Fetcher, FetchLimits
from pipeline.crawl.sources import file_of, files_of, from_folder, from_url_list, source_of
from pipeline.names import clean, sample_id
from pipeline.stage import HOW, Context, Drop, Row, ShardStage, failure

PHOTOS_HOST = "photos.test"  # under which `serve_folder` is served; .test never resolves outside (RFC 6761)
URL_LIST = "url_list.csv"  # in the data folder: the list that `serve_folder` makes


@dataclass(frozen=True, slots=True)
class Settings(FetchLimits):
    """The `crawl` section of params.yaml; the fields of FetchLimits are among its keys."""

    source: Literal["demo", "urls", "folder"] = "demo"
    urls: Path | None = None  # source `urls`: a csv, tsv, jsonl or parquet list with identity_id, url
    serve_folder: Path | None = None  # source `urls`: or a folder <identity>/*, listed and served on loopback
    # of serve_folder: <identity>/* below these only; files directly in one belong to an identity of its name
    serve_only: tuple[str, ...] = ()
    folder: Path | None = None  # source `folder`: <identity>/*, read directly
    metadata: tuple[Path, ...] = ()  # who the identities are: VoxCeleb metadata as published, or identity_id,name,...
    demo_folder: Path = Path("demo")  # source `demo`: where the synthetic world is, or will be made
    demo_people: Positive = 12  # people in the synthetic world
    demo_seed: int = 0  # of the synthetic world
    # web page or mail address for the User-Agent; required where strangers' servers are asked
    contact: str = field(default="", metadata={HOW: True})
    threads: Positive = field(default=8, metadata={HOW: True})  # addresses fetched at once
    allow_private: bool = False  # connect to private, loopback and link-local addresses too
    removals: Path | None = None  # the salted list of what must never come back

    def __post_init__(self) -> None:
        if (self.source == "folder") != (self.folder is not None):
            raise UsageError("crawl.folder (of <identity>/*) and crawl.source `folder` belong together: set both")
        if self.source != "urls" and (self.urls or self.serve_folder):
            raise UsageError("crawl.urls and crawl.serve_folder belong to crawl.source `urls`")
        if self.source == "urls" and (self.urls is None) == (self.serve_folder is None):
            raise UsageError("crawl.source is `urls`: set either crawl.urls (a list) or crawl.serve_folder (a folder)")
        if not self.contact.isascii() or not self.contact.isprintable():
            raise UsageError(f"crawl.contact is {self.contact!r}; expected one line of ASCII: it goes into a header")
        if any(Path(part).is_absolute() or ".." in Path(part).parts for part in self.serve_only):
            raise UsageError(f"crawl.serve_only is {self.serve_only}; expected folders below crawl.serve_folder")
        if self.source == "urls" and self.urls and not self.contact:
            raise UsageError(
                "crawl.contact is empty: give a web page or mail address that tells strangers' servers who is asking, "
                "and how to reach you"
            )


@dataclass(frozen=True, slots=True)
class Served:
    """A folder of this machine that is served on loopback, under a host name of its own."""

    host: str
    folder: Path

    def file_of(self, url: str) -> Path | None:
        """The file behind an address."""
        return file_of(self.folder, url.removeprefix(f"http://{self.host}/"))


@dataclass(frozen=True, slots=True)
class Crawler:
    """How the bytes of one source are obtained, what must not be, and which local file is behind an address."""

    get: Callable[[str], Picture | Drop]
    removed: Removals
    local: Callable[[str], Path | None]

    def obtain(self, row: Row) -> Picture | Drop:
        """The picture of a listed row, or why it is not taken; nothing is fetched for what was removed."""
        if row["fault"]:
            return Drop(row["fault"], detail=row["fault_detail"])
        if self.removed.blocks(row["identity_id"], row["source"]):
            return Drop(REMOVED, detail="the person or the address")
        try:
            found = self.get(row["source"])
        except Exception as error:  # noqa: BLE001  # a defect of ours costs one row, and counts against `run.max_failed`
            return failure(error)
        if isinstance(found, Picture) and self.removed.blocks(sha256=found.sha256):
            return Drop(REMOVED, detail="the content")
        return found


def list_rows(settings: Settings, context: Context) -> list[Row]:
    """Every listed address, in order. Raises Missing, DataError."""
    if settings.source == "demo":
        from pipeline.world import demo

        people = identities.load([demo.metadata(settings.demo_folder)])
        return from_url_list(demo.url_list(settings.demo_folder), people)
    people = identities.load(settings.metadata)
    if settings.serve_folder:
        list_file = context.paths.data / URL_LIST
        return from_url_list(_list_folder(settings.serve_folder, settings.serve_only, list_file), people)
    if settings.urls:
        return from_url_list(settings.urls, people)
    assert settings.folder  # Settings sees to it
    return from_folder(settings.folder, people)


def _list_folder(folder: Path, only: Sequence[str], path: Path) -> Path:
    """Write the URL list of a folder that is served as PHOTOS_HOST."""
    files = [file for part in only for file in files_of(folder / part, direct=True)] if only else files_of(folder)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("identity_id", "url"))
    for file in files:
        writer.writerow((clean(file.parent.name), f"http://{PHOTOS_HOST}/{source_of(file.relative_to(folder))}"))
    write_text(path, out.getvalue())
    return path


@contextmanager
def around(settings: Settings, context: Context) -> Iterator[Crawler]:
    """Hold the connections, and where needed the loopback server, open for the whole stage."""
    removed = removals.load(settings.removals)
    if folder := settings.folder:
        yield Crawler(lambda source: _read(folder, source, settings), removed, lambda source: file_of(folder, source))
        return
    served = _served(settings)
    with (
        _reachable(served) as connect_to,
        Fetcher(
            settings,
            settings.contact,
            connect_to,
            settings.allow_private,
            settings.threads,
            lambda url: removed.blocks(source=url),
        ) as fetcher,
    ):
        yield Crawler(fetcher.fetch, removed, served.file_of if served else lambda _: None)


def _served(settings: Settings) -> Served | None:
    """The folder that this crawl serves to itself; the demo world is made if it is absent."""
    if settings.source == "demo":
        from pipeline.world import demo

        demo.make_world(
            settings.demo_folder, people=settings.demo_people, seed=settings.demo_seed, workers=engine.cores()
        )
        return Served(demo.HOST, settings.demo_folder)
    return Served(PHOTOS_HOST, settings.serve_folder) if settings.serve_folder else None


@contextmanager
def _reachable(served: Served | None) -> Iterator[Mapping[str, tuple[str, int]]]:
    """Where the host of a served folder really is, for as long as it is served."""
    if served is None:
        yield {}
        return
    from pipeline.world import web

    with web.serve(served.folder) as address:
        yield {served.host: address}


def _read(folder: Path, source: str, settings: Settings) -> Picture | Drop:
    path = file_of(folder, source)
    if path is None:
        return Drop("outside_folder", detail="a link that leads out of the folder")
    return read(path, settings.max_bytes, settings.max_pixels)


def process(rows: Sequence[Row], settings: Settings, context: Context) -> list[Row | Drop]:
    """Fetch the rows of one shard; the same bytes twice for one person are kept once, under the first row."""
    crawler: Crawler = context.extra
    with ThreadPoolExecutor(settings.threads) as pool:
        found = list(pool.map(crawler.obtain, rows))
    first: dict[str, str] = {}  # sample_id: row_id
    return [_result(row, picture, first) for row, picture in zip(rows, found, strict=True)]


def _result(row: Row, found: Picture | Drop, first: dict[str, str]) -> Row | Drop:
    if isinstance(found, Drop):
        return found
    sample = sample_id(row["identity_id"], found.sha256)
    if first.setdefault(sample, row["row_id"]) != row["row_id"]:
        return Drop("duplicate", detail=f"the same bytes as row {first[sample]}")
    facts = {
        "sample_id": sample,
        "sha256": found.sha256,
        "bytes": len(found.data),
        "format": found.header.format,
        "source_width": found.header.width,
        "source_height": found.header.height,
        "image": found.data,
    }
    return {name: (row | facts)[name] for name in CRAWL.names}


def fingerprint(rows: Sequence[Row], settings: Settings, context: Context) -> str:
    """What a shard depends on beside its list: what was removed of it, and the local files behind it."""
    crawler: Crawler = context.extra
    removed = crawler.removed
    blocked = [row["row_id"] for row in rows if removed.blocks(row["identity_id"], row["source"])]
    contents = sorted(digest for kind, digest in removed.hashes if kind == "sha256")
    files = [_file_digest(crawler.local(row["source"])) for row in rows if not row["fault"]]
    return digest_of({"blocked": blocked, "removed_contents": contents, "files": files})


def _file_digest(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return type(error).__name__


STAGE = ShardStage(
    name="crawl",
    writes=lambda _: CRAWL,
    settings=Settings,
    process=process,
    list_rows=list_rows,
    fingerprint=fingerprint,
    around=around,
    serial=True,
)
