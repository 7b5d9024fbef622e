"""The words between a schedule and those who carry it out: one address to ask for, and what is to be done next."""

from dataclasses import dataclass, field

from urllib3.util import parse_url

from pipeline.crawl.record import Facts
from pipeline.stage import Drop

_NOT_REACHED = Drop("connection")


@dataclass(slots=True)
class Job:
    """One address to ask for."""

    row_id: str
    url: str
    etag: str | None = None
    last_modified: str | None = None
    held: Facts | None = None  # the picture that an earlier crawl keeps
    local: str | None = None  # sha256 of the file, where this computer serves it to itself
    attempts: int = 0
    hops: int = 0  # redirects so far
    fault: Drop = _NOT_REACHED  # what becomes of it when it is given up
    site: str = field(init=False)

    def __post_init__(self) -> None:
        self.site = site_of(self.url)

    def move(self, url: str) -> None:
        """Follow a redirect."""
        self.url, self.site, self.hops = url, site_of(url), self.hops + 1


@dataclass(frozen=True, slots=True)
class Ask:
    """Make this request now."""

    job: Job


@dataclass(frozen=True, slots=True)
class AskRules:
    """Ask for this site's robots.txt and tdmrep.json now."""

    site: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Write down `job.fault`: it will not be asked again."""

    job: Job


@dataclass(frozen=True, slots=True)
class Probe:
    """See whether this site, which answered before, takes a connection."""

    site: str


Turn = Ask | AskRules | GiveUp | Probe


def site_of(url: str) -> str:
    """scheme://host[:port] of a canonical address."""
    parts = parse_url(url)
    return f"{parts.scheme}://{parts.netloc}"
