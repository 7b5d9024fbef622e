"""What a crawl would do, before it does anything: requests to each site, time at the polite rate, disk."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests import table
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.turns import Job

TYPICAL_BYTES = 150_000  # of a picture on the web, where nothing was crawled yet to take the mean of
_RULES = 2  # requests for the rules of a site: robots.txt and tdmrep.json
_SHOWN = 20  # sites in the listing
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"))


@dataclass(frozen=True, slots=True)
class Plan:
    """Figures of a crawl to come."""

    rows: int  # listed
    not_asked: int  # faults of the list, removed, and answered by an earlier run
    requests: Counter[str]  # by site, without those for its rules
    seconds: float  # at least, at the polite rate
    bytes: int  # of pictures, if every address has one
    lookups: int = 0  # requests to a search service, before

    @property
    def total(self) -> int:
        """Requests, those for the rules of sites included."""
        return self.requests.total() + _RULES * len(self.requests) + self.lookups


def plan_of(rows: int, jobs: Sequence[Job], polite: Politeness, mean_bytes: float, ours: frozenset[str]) -> Plan:
    """The plan for jobs; sites of this computer cost no time."""
    requests = Counter(job.site for job in jobs)
    slowest = max((count for site, count in requests.items() if site not in ours), default=0)
    seconds = (slowest + _RULES) / polite.requests_per_s if slowest else 0.0
    return Plan(rows, rows - len(jobs), requests, seconds, round(len(jobs) * mean_bytes))


def mean_bytes(data: Path) -> float:
    """Mean size of the pictures crawled so far; a typical size where there are none."""
    total = pictures = 0
    for path in sorted((data / "crawl").glob("part-*.parquet")):
        sizes = table.read_table(path, ["bytes"]).column("bytes").to_pylist()
        total, pictures = total + sum(sizes), pictures + len(sizes)
    return total / pictures if pictures else TYPICAL_BYTES


def text_of(plan: Plan) -> str:
    """The plan for people."""
    sites = plan.requests.most_common(_SHOWN)
    lines = [
        f"{plan.rows:,} addresses listed, {plan.not_asked:,} of them need no request",
        f"{plan.total:,} requests to {len(plan.requests):,} sites, robots.txt and tdmrep.json of each included",
        f"{_duration(plan.seconds)} at least: the busiest site at its polite rate",
        f"{plan.bytes / 1e9:,.2f} GB of pictures, and as much again while they are compacted into shards",
    ]
    if plan.lookups:
        lines.insert(1, f"{plan.lookups:,} requests to the search service first, for people who are not listed yet")
    lines += [f"  {count:>9,}  {site}" for site, count in sites]
    if len(plan.requests) > len(sites):
        rest = plan.requests.total() - sum(count for _, count in sites)
        lines.append(f"  {rest:>9,}  {len(plan.requests) - len(sites):,} other sites")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for size, name in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:,.0f} seconds"
