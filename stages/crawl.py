"""Fetch every listed picture once, unchanged, with where it came from; say of every other address why it is not here.

Listing asks for all that is not known yet, hosts in turns, each answer going to an append-only spool; the shards are
then written from the spool, so that their bytes do not depend on the order in which the answers came.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from manifests import removals, table
from manifests.errors import DataError, UsageError
from manifests.removals import REMOVED, Removals
from manifests.schema import CRAWL, Table
from manifests.settings import Count, Positive
from manifests.table import digest_of, write_text
from pipeline import engine, identities
from pipeline.crawl import found, sources
from pipeline.crawl.answers import Answers, folder_of
from pipeline.crawl.collect import Again, Collector, ask_for, clear_spool
from pipeline.crawl.content import Picture, read
from pipeline.crawl.download import Part
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.plan import Plan, mean_bytes, plan_of
from pipeline.crawl.record import Facts
from pipeline.crawl.schedule import Politeness, site_of
from pipeline.crawl.search import Api
from pipeline.crawl.settle import not_asked, settle
from pipeline.crawl.spool import DamagedBody
from pipeline.names import clean, sample_id
from pipeline.progress import say
from pipeline.stage import HOW, Context, Drop, Row, ShardStage, failure

PHOTOS_HOST = "photos.test"  # under which `serve_folder` is served; .test never resolves outside (RFC 6761)
URL_LIST = "url_list.csv"  # in the data folder: the list that `serve_folder` makes
Source = Literal["demo", "urls", "folder", "people", "commons", "openverse", "google"]


@dataclass(frozen=True, slots=True)
class Settings(Politeness):
    """The `crawl` section of params.yaml; the fields of Politeness are among its keys."""

    source: Source = "demo"
    urls: Path | None = None  # source `urls`: a csv, tsv, jsonl or parquet list with identity_id, url
    serve_folder: Path | None = None  # source `urls`: or a folder <identity>/*, listed and served on loopback
    # of serve_folder: <identity>/* below these only; files directly in one belong to an identity of its name
    serve_only: tuple[str, ...] = ()
    folder: Path | None = None  # source `folder`: <identity>/*, read directly
    people: Path | None = None  # source `people`: a folder of <person>.txt lists, as VGGFace was published
    per_identity: Positive | None = None  # pictures of one person that are asked for at most; searches: 300
    licences: tuple[str, ...] = ()  # source `openverse`: by, by-sa, cc0, pdm, ...; none: all of them
    metadata: tuple[Path, ...] = ()  # who the identities are: VoxCeleb metadata as published, or identity_id,name,...
    demo_folder: Path = Path("demo")  # source `demo`: where the synthetic world is, or will be made
    demo_people: Positive = 12  # people in the synthetic world
    demo_seed: int = 0  # of the synthetic world
    # web page or mail address for the User-Agent; required where strangers' servers are asked
    contact: str = field(default="", metadata={HOW: True})
    threads: Positive = field(default=8, metadata={HOW: True})  # addresses asked for at once, by each process
    processes: Count = field(default=1, metadata={HOW: True})  # that ask; 0 = one per core
    allow_private: bool = False  # connect to private, loopback and link-local addresses too
    removals: Path | None = None  # the salted list of what must never come back

    def __post_init__(self) -> None:
        if (self.source == "folder") != (self.folder is not None):
            raise UsageError("crawl.folder (of <identity>/*) and crawl.source `folder` belong together: set both")
        if (self.source == "people") != (self.people is not None):
            raise UsageError("crawl.people (of <person>.txt) and crawl.source `people` belong together: set both")
        if self.source != "urls" and (self.urls or self.serve_folder):
            raise UsageError("crawl.urls and crawl.serve_folder belong to crawl.source `urls`")
        if self.source == "urls" and (self.urls is None) == (self.serve_folder is None):
            raise UsageError("crawl.source is `urls`: set either crawl.urls (a list) or crawl.serve_folder (a folder)")
        if self.licences and self.source != "openverse":
            raise UsageError("crawl.licences belongs to crawl.source `openverse`")
        if not self.contact.isascii() or not self.contact.isprintable():
            raise UsageError(f"crawl.contact is {self.contact!r}; expected one line of ASCII: it goes into a header")
        if any(Path(part).is_absolute() or ".." in Path(part).parts for part in self.serve_only):
            raise UsageError(f"crawl.serve_only is {self.serve_only}; expected folders below crawl.serve_folder")
        if self.asks_strangers and not self.contact:
            raise UsageError(
                "crawl.contact is empty: give a web page or mail address that tells strangers' servers who is asking, "
                "and how to reach you"
            )

    @property
    def searched(self) -> int:
        """Pictures of one person that a search is asked for; 300, as the paper crawled, where nothing is said."""
        return self.per_identity or 300

    @property
    def asks_strangers(self) -> bool:
        """Whether servers that are not ours are asked."""
        return self.urls is not None or self.source in ("people", *found.PER_REQUEST)


@dataclass(frozen=True, slots=True)
class Served:
    """A folder of this machine that is served on loopback, under a host name of its own."""

    host: str
    folder: Path

    def file_of(self, url: str) -> Path | None:
        """The file behind an address."""
        return sources.file_of(self.folder, url.removeprefix(f"http://{self.host}/"))


def _no_file(_source: str) -> None:
    """What lies behind an address of somebody else."""


@dataclass(frozen=True, slots=True)
class Crawler:
    """How bytes are obtained, what must not be, and which local file is behind an address.

    `get` reads one source directly; without it, addresses are asked for all together, over the network.
    """

    get: Callable[[str], Picture | Drop] | None
    removed: Removals
    local: Callable[[str], Path | None] = _no_file
    connect_to: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def obtain(self, row: Row) -> Picture | Drop:
        """The picture of a listed row, read directly, or why it is not taken."""
        assert self.get is not None
        drop = not_asked(row, self.removed)
        if drop is not None:
            return drop
        try:
            found = self.get(row["source"])
        except Exception as error:  # noqa: BLE001  # a defect of ours costs one row, and counts against `run.max_failed`
            return failure(error)
        if isinstance(found, Picture) and self.removed.blocks(sha256=found.sha256):
            return Drop(REMOVED, detail="the content")
        return found


def list_rows(settings: Settings, context: Context, again: Again | None = None) -> list[Row]:
    """Every listed address, in order; what is not known of them yet is asked for. Raises Missing, DataError."""
    rows = listing(settings, context)
    crawler: Crawler = context.extra
    if crawler.get is None:
        _collect(rows, settings, context, again or Again())
    return rows


def listing(settings: Settings, context: Context) -> list[Row]:
    """Every listed address, in order; searches are asked for the people they were not asked for yet."""
    rows = _listed(settings, context)
    return rows if settings.per_identity is None else sources.at_most(rows, settings.per_identity)


def _listed(settings: Settings, context: Context) -> list[Row]:
    if settings.source == "demo":
        from pipeline.world import demo

        people = identities.load([demo.metadata(settings.demo_folder)])
        return sources.from_url_list(demo.url_list(settings.demo_folder), people)
    people = identities.load(settings.metadata)
    if settings.serve_folder:
        list_file = context.paths.data / URL_LIST
        return sources.from_url_list(_list_folder(settings.serve_folder, settings.serve_only, list_file), people)
    if settings.urls:
        return sources.from_url_list(settings.urls, people)
    if settings.people:
        return sources.from_people_lists(settings.people, people)
    if settings.folder:
        return sources.from_folder(settings.folder, people)
    return _searched(settings, people, found.Finds(finds_file(settings, context)))


def finds_file(settings: Settings, context: Context) -> Path:
    """Where the results of a search are kept."""
    return context.paths.data / f"found_{settings.source}.jsonl"


def _searched(settings: Settings, people: identities.Identities, finds: found.Finds) -> list[Row]:
    with Fetcher(settings, settings.contact, {}, settings.allow_private) as fetcher:
        api = Api(fetcher, settings.requests_per_s)
        found.search_for(people, finds, found.service(settings.source, api, settings.licences), settings.searched)
    return found.rows_of(people, finds, settings.searched)


def _list_folder(folder: Path, only: Sequence[str], path: Path) -> Path:
    """Write the URL list of a folder that is served as PHOTOS_HOST."""
    if only:
        files = [file for part in only for file in sources.files_of(folder / part, direct=True)]
    else:
        files = sources.files_of(folder)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("identity_id", "url"))
    for file in files:
        writer.writerow(
            (clean(file.parent.name), f"http://{PHOTOS_HOST}/{sources.source_of(file.relative_to(folder))}")
        )
    write_text(path, out.getvalue())
    return path


@contextmanager
def around(settings: Settings, context: Context) -> Iterator[Crawler]:
    """Hold a loopback server open where one is needed; when all shards are written, the spool is emptied."""
    removed = removals.load(settings.removals)
    if folder := settings.folder:
        yield Crawler(partial(_read, folder, settings), removed, partial(sources.file_of, folder))
        return
    served = _served(settings)
    with _reachable(served) as connect_to:
        yield Crawler(None, removed, served.file_of if served else _no_file, connect_to)
    clear_spool(context.paths.data)


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


def _read(folder: Path, settings: Settings, source: str) -> Picture | Drop:
    path = sources.file_of(folder, source)
    if path is None:
        return Drop("outside_folder", detail="a link that leads out of the folder")
    return read(path, settings.max_bytes, settings.max_pixels)


def collector(settings: Settings, context: Context) -> Collector:
    """What decides which addresses must be asked for."""
    crawler: Crawler = context.extra

    def local(source: str) -> str | None:
        return _file_digest(crawler.local(source))

    return Collector(settings, context.paths.data, context.buckets, crawler.removed, settings.allow_private, local)


def _collect(rows: Sequence[Row], settings: Settings, context: Context, again: Again) -> None:
    crawler: Crawler = context.extra
    collects = collector(settings, context)
    jobs = collects.jobs(rows, again)
    part = Part(
        (),
        settings,
        folder_of(context.paths.data),
        settings.contact,
        crawler.connect_to,
        settings.allow_private,
        settings.threads,
        settings.removals,
    )
    ask_for(jobs, part, settings.processes or engine.cores())
    collects.write_logs(rows)
    if again.refresh:
        counts = collects.drifted(rows, jobs)
        say("crawl      " + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count))


def plan(settings: Settings, context: Context) -> Plan:
    """What a run would ask for, without asking. Raises Missing, DataError."""
    people = identities.load(settings.metadata)
    lookups = 0
    if settings.source in found.PER_REQUEST:
        finds = found.Finds(finds_file(settings, context))
        pages = -(-settings.searched // found.PER_REQUEST[settings.source])
        lookups = pages * len(found.to_search(people, finds, settings.searched))
        rows = found.rows_of(people, finds, settings.searched)
    else:
        rows = listing(settings, context)
    served = Served(PHOTOS_HOST, settings.serve_folder) if settings.serve_folder else None
    crawler = Crawler(None, removals.load(settings.removals), served.file_of if served else _no_file)
    jobs = [] if settings.folder else collector(settings, replace(context, extra=crawler)).jobs(rows, Again())
    ours = frozenset() if settings.asks_strangers else frozenset(site_of(job.url) for job in jobs)
    made = plan_of(len(rows), jobs, settings, mean_bytes(context.paths.data), ours)
    return replace(made, lookups=lookups)


def process(rows: Sequence[Row], settings: Settings, context: Context) -> list[Row | Drop]:
    """The rows of one shard; the same bytes twice for one person are kept once, under the first row."""
    crawler: Crawler = context.extra
    if crawler.get is not None:
        with ThreadPoolExecutor(settings.threads) as pool:
            pictures = list(pool.map(crawler.obtain, rows))
        first: dict[str, str] = {}  # sample_id: row_id
        return [_result(row, picture, first) for row, picture in zip(rows, pictures, strict=True)]
    if not rows:
        return []
    answers = _answers(rows, context)
    settled = settle(rows, answers.record, settings, crawler.removed)
    kept = {row["row_id"]: facts for row, facts in zip(rows, settled, strict=True) if isinstance(facts, Facts)}
    try:
        bodies = answers.bodies(kept)
    except DamagedBody as error:
        raise DataError(
            f"the spool is damaged: {error}; delete {folder_of(context.paths.data)} and run again"
        ) from error
    return [
        facts if isinstance(facts, Drop) else _row(row, facts, bodies[row["row_id"]])
        for row, facts in zip(rows, settled, strict=True)
    ]


def _answers(rows: Sequence[Row], context: Context) -> Answers:
    bucket = table.bucket_of(rows[0]["identity_id"], context.buckets)
    return Answers(context.paths.data, table.shard_name(bucket))


def _result(row: Row, found: Picture | Drop, first: dict[str, str]) -> Row | Drop:
    if isinstance(found, Drop):
        return found
    sample = sample_id(row["identity_id"], found.sha256)
    if first.setdefault(sample, row["row_id"]) != row["row_id"]:
        return Drop("duplicate", detail=f"the same bytes as row {first[sample]}")
    return _row(row, Facts.of(found), found.data)


def _row(row: Row, facts: Facts, body: bytes) -> Row:
    found = {
        "sample_id": sample_id(row["identity_id"], facts.sha256),
        "sha256": facts.sha256,
        "bytes": facts.bytes,
        "format": facts.format,
        "source_width": facts.width,
        "source_height": facts.height,
        "image": body,
    }
    return {name: (row | found)[name] for name in CRAWL.names}


def fingerprint(rows: Sequence[Row], settings: Settings, context: Context) -> str:
    """What a shard depends on beside its list: the answers, what was removed of it, the local files behind it."""
    crawler: Crawler = context.extra
    if crawler.get is None:
        if not rows:
            return digest_of([])
        settled = settle(rows, _answers(rows, context).record, settings, crawler.removed)
        return digest_of([_essence(result) for result in settled])
    removed = crawler.removed
    blocked = [row["row_id"] for row in rows if removed.blocks(row["identity_id"], row["source"])]
    contents = sorted(digest for kind, digest in removed.hashes if kind == "sha256")
    files = [_file_digest(crawler.local(row["source"])) for row in rows if not row["fault"]]
    return digest_of({"blocked": blocked, "removed_contents": contents, "files": files})


def _essence(result: Facts | Drop) -> list[str | float | None]:
    """A result as it will be in the tables, whichever way it came here: numbers are floats there."""
    if isinstance(result, Facts):
        return [result.sha256]
    numbers = [None if number is None else float(number) for number in (result.value, result.limit)]
    return [result.reason, *numbers, result.detail]


def _file_digest(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return type(error).__name__


def writes(_settings: Settings) -> Table:
    """The columns of a picture that was crawled, whatever the settings."""
    return CRAWL


STAGE = ShardStage(
    name="crawl",
    writes=writes,
    settings=Settings,
    process=process,
    list_rows=list_rows,
    fingerprint=fingerprint,
    around=around,
    version="2",
)


def asking_again(again: Again) -> ShardStage:
    """The stage, asking for some addresses although there is an answer already."""
    return replace(STAGE, list_rows=partial(list_rows, again=again))
