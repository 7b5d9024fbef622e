"""What `pipeline crawl` does beyond `pipeline run crawl`: settings from options, the plan, asking again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manifests.errors import UsageError
from manifests.settings import build
from pipeline.crawl.collect import Again
from pipeline.crawl.outcome import Outcome
from pipeline.crawl.plan import Plan, mean_bytes, plan_of, text_of
from pipeline.crawl.settings import Settings
from pipeline.run import context_of, run_stage
from pipeline.settings import Params
from pipeline.stage import Context
from stages import crawl

_LISTS = ("urls", "folder", "people", "serve_folder")  # the settings that name a list or folder


def overridden(
    section: dict[str, Any], source: str | None, listed: Path | None, per_identity: int | None, contact: str | None
) -> dict[str, Any]:
    """The section with what was given on the command line; another source drops the list of the old one."""
    made = dict(section)
    if source and source != section.get("source"):
        made = {key: value for key, value in made.items() if key not in _LISTS} | {"source": source}
    if listed is not None:
        kind = made.get("source")
        if kind not in _LISTS:
            raise UsageError(f"--list does not belong to source {kind!r}: give --source urls, folder or people")
        made[kind] = str(listed)
    given = {"per_identity": per_identity, "contact": contact}
    return made | {key: value for key, value in given.items() if value is not None}


def plan_text(params: Params) -> str:
    """The plan of a crawl, for people."""
    settings = build(Settings, params.section("crawl"), "crawl")
    return text_of(_plan(settings, context_of(params)))


def _plan(settings: Settings, context: Context) -> Plan:
    """What a run would ask for, without asking. Raises Missing, DataError."""
    seen = crawl.outlook(settings, context)
    ours = frozenset() if settings.asks_strangers else frozenset(job.site for job in seen.jobs)
    made = plan_of(len(seen.rows), seen.jobs, settings, mean_bytes(context.paths.data), ours)
    return replace(made, lookups=seen.lookups)


def run(params: Params, retry: Sequence[str], host: str | None, refresh: bool, workers: int | None) -> None:
    """Run the crawl stage, asking again for some addresses."""
    again = Again(frozenset(Outcome(name) for name in retry), host, refresh)
    run_stage(crawl.asking_again(again), params, workers)
