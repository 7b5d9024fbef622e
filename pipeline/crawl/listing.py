"""Every address that the settings name, as rows in order; searches are asked for the people not asked for yet."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from manifests.table import write_text
from pipeline import identities
from pipeline.crawl import found, sources
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.search import Api
from pipeline.crawl.served import PHOTOS_HOST
from pipeline.crawl.settings import Settings
from pipeline.names import clean
from pipeline.stage import Row

URL_LIST = "url_list.csv"  # in the data folder: the list that `serve_folder` makes


def listing(settings: Settings, data: Path) -> list[Row]:
    """The rows of `pipeline.crawl.sources`. Raises Missing, DataError, UsageError."""
    rows = _listed(settings, data)
    return rows if settings.per_identity is None else sources.at_most(rows, settings.per_identity)


def known(settings: Settings, data: Path) -> tuple[list[Row], int]:
    """The same without any search: the rows, and the requests that the searches which were not made would take."""
    if settings.source not in found.PER_REQUEST:
        return listing(settings, data), 0
    people, finds = identities.load(settings.metadata), found.Finds(finds_file(settings, data))
    pages = -(-settings.searched // found.PER_REQUEST[settings.source])
    lookups = pages * len(found.to_search(people, finds, settings.searched))
    return found.rows_of(people, finds, settings.searched), lookups


def _listed(settings: Settings, data: Path) -> list[Row]:
    if settings.source == "demo":
        from pipeline.world import demo

        people = identities.load([demo.metadata(settings.demo_folder)])
        return sources.from_url_list(demo.url_list(settings.demo_folder), people)
    people = identities.load(settings.metadata)
    if settings.serve_folder:
        list_file = _list_folder(settings.serve_folder, settings.serve_only, data / URL_LIST)
        return sources.from_url_list(list_file, people)
    if settings.urls:
        return sources.from_url_list(settings.urls, people)
    if settings.people:
        return sources.from_people_lists(settings.people, people)
    if settings.folder:
        return sources.from_folder(settings.folder, people)
    return _searched(settings, people, found.Finds(finds_file(settings, data)))


def finds_file(settings: Settings, data: Path) -> Path:
    """Where the results of a search are kept."""
    return data / f"found_{settings.source}.jsonl"


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
        address = f"http://{PHOTOS_HOST}/{sources.source_of(file.relative_to(folder))}"
        writer.writerow((clean(file.parent.name), address))
    write_text(path, out.getvalue())
    return path
