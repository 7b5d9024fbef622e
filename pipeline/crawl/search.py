"""Search services that name addresses of pictures of a person: Wikimedia Commons, Openverse, Google.

Each is one small class with `find(name, most)`; `pipeline.crawl.found` keeps what they find.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol
from urllib.parse import urlencode

from manifests.errors import DataError, Missing
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.outcome import PASSING_STATUS
from pipeline.crawl.replies import Later, Text
from pipeline.names import clean
from pipeline.stage import Drop

_MAX_ANSWER = 8 << 20  # bytes
_REFUSED = frozenset({401, 403})
_MAX_PAGES = 1000  # of results, whatever a service says

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """An address, with what the service says of it."""

    url: str
    licence: str | None = None
    page: str | None = None


class Search(Protocol):
    """A service that is asked for one person at a time."""

    per_request: int  # results, at most

    def find(self, name: str, most: int) -> list[Found]:
        """Pictures for a name, best first."""


class Api:
    """Asks a documented interface: one request at a time, at a polite rate, with patience for passing faults.

    Keys travel in headers, never in an address, and no message repeats either.
    """

    def __init__(self, fetcher: Fetcher, requests_per_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._fetcher, self._pause_s, self._sleep = fetcher, 1 / requests_per_s, sleep
        self.asked = 0

    def json(self, service: str, endpoint: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Json:
        """The object that the service answers with. Raises DataError; Missing where it refuses our key."""
        limits = self._fetcher.limits
        said = "nothing"
        for attempt in range(1 + limits.retries):
            self._sleep(self._pause_s if attempt == 0 else limits.backoff_s * 2**attempt)
            self.asked += 1
            answer = self._fetcher.text(f"{endpoint}?{urlencode(query)}", _MAX_ANSWER, headers)
            if isinstance(answer, Text) and answer.status == 200:
                return _object(service, answer.body)
            if isinstance(answer, Text) and answer.status in _REFUSED:
                raise Missing(f"{service} refuses us (HTTP status {answer.status}): check its key or token")
            if isinstance(answer, Drop):
                raise DataError(f"{service} cannot be asked: {answer.reason}, {answer.detail}")
            said = answer.drop.reason if isinstance(answer, Later) else f"HTTP status {answer.status}"
            if isinstance(answer, Text) and answer.status not in PASSING_STATUS:
                break
            if answer.wait_s is not None:
                if answer.wait_s > limits.max_wait_s:
                    break
                self._sleep(answer.wait_s)
        raise DataError(
            f"{service} answered {said}: its quota may be used up. What was found so far is kept; run again later"
        )


def _object(service: str, body: bytes) -> Json:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{service} answered with what is no JSON: {body[:80]!r}") from error
    if not isinstance(found, dict):
        raise DataError(f"{service} answered with {type(found).__name__}; expected an object")
    return found


class Commons:
    """Wikimedia Commons, by the search of the MediaWiki Action API (https://www.mediawiki.org/wiki/API:Search)."""

    per_request = 50
    endpoint = "https://commons.wikimedia.org/w/api.php"

    def __init__(self, api: Api, endpoint: str = endpoint) -> None:
        self._api, self._endpoint = api, endpoint

    def find(self, name: str, most: int) -> list[Found]:
        """Bitmap files whose page names the person."""
        return list(islice(self._pages(name), most))

    def _pages(self, name: str) -> Iterator[Found]:
        query = {
            "action": "query", "format": "json", "formatversion": "2", "maxlag": "5",
            "generator": "search", "gsrsearch": f'"{name}" filetype:bitmap', "gsrnamespace": "6",
            "gsrlimit": str(self.per_request),
            "prop": "imageinfo", "iiprop": "url|extmetadata", "iiextmetadatafilter": "LicenseShortName",
        }  # fmt: skip
        more: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            answer = self._api.json("Wikimedia Commons", self._endpoint, query | more, {})
            if "error" in answer:
                raise DataError(f"Wikimedia Commons: {clean(str(_dict(answer, 'error').get('code')))}")
            for page in sorted(_dicts(_dict(answer, "query"), "pages"), key=lambda page: _number(page, "index")):
                for info in _dicts(page, "imageinfo"):
                    licence = _dict(_dict(info, "extmetadata"), "LicenseShortName").get("value")
                    yield Found(str(info.get("url") or ""), _text(licence), _text(info.get("descriptionurl")))
            following = {key: str(value) for key, value in _dict(answer, "continue").items()}
            if following in ({}, more):
                return
            more = following


class Openverse:
    """Openly licensed pictures (https://api.openverse.org/v1/); `licences` such as by, by-sa, cc0, pdm."""

    per_request = 20  # without a token
    _WITH_TOKEN = 100
    endpoint = "https://api.openverse.org/v1/images/"

    def __init__(self, api: Api, licences: Sequence[str] = (), token: str = "", endpoint: str = endpoint) -> None:
        self._api, self._licences, self._endpoint = api, licences, endpoint
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if token:
            self.per_request = self._WITH_TOKEN

    def find(self, name: str, most: int) -> list[Found]:
        """Pictures that the service finds for a name, under the licences wanted."""
        return list(islice(self._pages(name), most))

    def _pages(self, name: str) -> Iterator[Found]:
        query = {"q": f'"{name}"', "page_size": str(self.per_request)}
        if self._licences:
            query["license"] = ",".join(self._licences)
        for page in range(1, _MAX_PAGES):
            answer = self._api.json("Openverse", self._endpoint, query | {"page": str(page)}, self._headers)
            for one in _dicts(answer, "results"):
                yield Found(str(one.get("url") or ""), _creative_commons(one), _text(one.get("foreign_landing_url")))
            if page >= _number(answer, "page_count"):
                return


class Google:
    """Google Programmable Search, pictures only (https://developers.google.com/custom-search/v1/reference/rest)."""

    per_request = 10
    endpoint = "https://customsearch.googleapis.com/customsearch/v1"
    _MOST = 100  # results that the service gives for one query

    def __init__(self, api: Api, key: str, engine: str, endpoint: str = endpoint) -> None:
        self._api, self._endpoint = api, endpoint
        self._headers, self._engine = {"X-Goog-Api-Key": key}, engine

    def find(self, name: str, most: int) -> list[Found]:
        """Pictures that the engine finds for a name; their licence is not known."""
        return list(islice(self._pages(name), min(most, self._MOST)))

    def _pages(self, name: str) -> Iterator[Found]:
        query = {"cx": self._engine, "q": f'"{name}"', "searchType": "image", "num": str(self.per_request)}
        for start in range(1, self._MOST, self.per_request):
            answer = self._api.json("Google", self._endpoint, query | {"start": str(start)}, self._headers)
            for item in _dicts(answer, "items"):
                yield Found(str(item.get("link") or ""), None, _text(_dict(item, "image").get("contextLink")))
            if not _dicts(_dict(answer, "queries"), "nextPage"):
                return


def _creative_commons(one: Json) -> str | None:
    code = str(one.get("license") or "").upper()
    if not code:
        return None
    prefix = "" if code in ("CC0", "PDM") else "CC "
    return clean(f"{prefix}{code} {one.get('license_version') or ''}")


def _dict(of: Json, name: str) -> Json:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _dicts(of: Json, name: str) -> list[Json]:
    found = of.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _number(of: Json, name: str) -> int:
    found = of.get(name)
    return found if isinstance(found, int) else 0


def _text(value: Any) -> str | None:
    return clean(str(value)) if value else None
