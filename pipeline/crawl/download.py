"""What one process of a crawl does: ask for its part of the addresses, each answer going to the spool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manifests import removals
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.robots import RobotsCache
from pipeline.crawl.schedule import Schedule
from pipeline.crawl.spool import SpoolWriter, spool_folder
from pipeline.crawl.tally import Tally
from pipeline.crawl.turns import Job
from pipeline.crawl.worker import Worker, start
from pipeline.progress import say


@dataclass(frozen=True, slots=True)
class Part:
    """The addresses that one process asks for, and all it needs to know for that."""

    jobs: Sequence[Job]
    polite: Politeness
    folder: Path  # of the spool, the rules of sites and the tally
    contact: str = ""
    connect_to: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # hosts that this computer serves itself
    allow_private: bool = False
    threads: int = 8
    removals: Path | None = None


def download(part: Part) -> int:
    """Ask for every job of a part, each answer going to the spool; the number of addresses that have their end.

    Raises DataError where the network is dead and stays so.
    """
    removed = removals.load(part.removals)
    ours = frozenset(f"http://{host}" for host in part.connect_to)
    schedule = Schedule(part.polite, ours, say)
    for job in part.jobs:
        schedule.add(job)
    fetcher = Fetcher(part.polite, part.contact, part.connect_to, part.allow_private, part.threads)
    with fetcher, SpoolWriter(spool_folder(part.folder)) as spool, Tally(part.folder) as tally:
        robots = RobotsCache(part.folder / "robots")
        work = Worker(schedule, fetcher, robots, spool, tally, lambda url: removed.blocks(source=url))
        start(schedule, min(part.threads, max(1, len(part.jobs))), work)
    return tally.total


def divided(jobs: Sequence[Job], parts: int) -> list[list[Job]]:
    """Jobs in parts of about one size; a site is never in two, since its pace is kept within one process."""
    by_site: dict[str, list[Job]] = {}
    for job in jobs:
        by_site.setdefault(job.site, []).append(job)
    made: list[list[Job]] = [[] for _ in range(parts)]
    for _, group in sorted(by_site.items(), key=lambda item: (-len(item[1]), item[0])):
        min(made, key=len).extend(group)
    return [part for part in made if part]
