"""Fetch every listed picture once, unchanged, with where it came from; say of every other address why it is not here.

Listing asks for all that is not known yet, hosts in turns, each answer going to an append-only spool; the shards are
then written from the spool, so that their bytes do not depend on the order in which the answers came.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from manifests import removals, table
from manifests.errors import DataError, Missing
from manifests.removals import REMOVED, Removals
from manifests.schema import CRAWL, Table
from manifests.table import digest_of
from pipeline import engine
from pipeline.crawl import served as folders
from pipeline.crawl import sources
from pipeline.crawl.answers import Answers, empty_spool, folder_of
from pipeline.crawl.collect import Again, Collector, ask_for
from pipeline.crawl.content import Picture, read
from pipeline.crawl.download import Part
from pipeline.crawl.listing import known, listing
from pipeline.crawl.record import Facts
from pipeline.crawl.settings import Settings
from pipeline.crawl.settle import not_asked, settle
from pipeline.crawl.spool import DamagedBody
from pipeline.crawl.turns import Job
from pipeline.names import sample_id
from pipeline.progress import say
from pipeline.stage import Context, Drop, Row, ShardStage, failure


def no_file(_source: str) -> None:
    """What lies behind an address of somebody else."""


@dataclass(frozen=True, slots=True)
class Crawler:
    """How bytes are obtained, what must not be, and which local file is behind an address.

    `get` reads one source directly; without it, addresses are asked for all together, over the network.
    """

    get: Callable[[str], Picture | Drop] | None
    removed: Removals
    local: Callable[[str], Path | None] = no_file
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
    rows = listing(settings, context.paths.data)
    crawler: Crawler = context.extra
    if crawler.get is None:
        _collect(rows, settings, context, again or Again())
    return rows


@contextmanager
def around(settings: Settings, context: Context) -> Iterator[Crawler]:
    """Hold a loopback server open where one is needed; when all shards are written, the spool is emptied."""
    removed = removals.load(settings.removals)
    if folder := settings.folder:
        yield Crawler(partial(_read, folder, settings), removed, partial(sources.file_of, folder))
        return
    served = folders.made(settings)
    with folders.reachable(served) as connect_to:
        yield Crawler(None, removed, served.file_of if served else no_file, connect_to)
    empty_spool(context.paths.data)


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
    ask_for(jobs, part, settings.processes or engine.cores(), context.paths.data)
    collects.write_logs(rows)
    if again.refresh:
        counts = collects.drifted(rows, jobs)
        say("crawl      " + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count))


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


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a crawl would do, found out without asking anybody."""

    rows: list[Row]
    jobs: list[Job]  # the addresses to ask for
    lookups: int  # requests to a search


def outlook(settings: Settings, context: Context) -> Outlook:
    """The rows that are known, and what is to be asked for. Raises Missing, DataError."""
    rows, lookups = known(settings, context.paths.data)
    if settings.folder:
        return Outlook(rows, [], lookups)
    with _asking_nobody(settings, context) as crawler:
        return Outlook(rows, collector(settings, replace(context, extra=crawler)).jobs(rows, Again()), lookups)


@contextmanager
def _asking_nobody(settings: Settings, context: Context) -> Iterator[Crawler]:
    """As `around`, but nothing is made, served or emptied."""
    if settings.folder:
        with around(settings, context) as crawler:
            yield crawler
        return
    served = folders.served(settings)
    yield Crawler(None, removals.load(settings.removals), served.file_of if served else no_file)


def _expect_asked(settings: Settings, context: Context) -> list[Row]:
    if settings.source == "demo" and not settings.demo_folder.is_dir():
        raise Missing(f"the synthetic world is to be drawn into {settings.demo_folder}")
    found = outlook(settings, context)
    if found.jobs or found.lookups:
        raise Missing(f"{len(found.jobs):,} addresses to ask for, {found.lookups:,} searches to make")
    return found.rows


def planning() -> ShardStage:
    """The stage as `pipeline plan` sees it: nobody is asked; Missing says how many would be."""
    return replace(STAGE, list_rows=_expect_asked, around=_asking_nobody)


STAGE = ShardStage(
    name="crawl",
    writes=writes,
    settings=Settings,
    process=process,
    list_rows=list_rows,
    fingerprint=fingerprint,
    around=around,
    planning=planning,
    version="2",
)


def asking_again(again: Again) -> ShardStage:
    """The stage, asking for some addresses although there is an answer already."""
    return replace(STAGE, list_rows=partial(list_rows, again=again))
