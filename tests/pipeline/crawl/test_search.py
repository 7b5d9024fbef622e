"""Searches against a server that answers in the shapes that the services document."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from manifests.errors import DataError, Missing, UsageError
from pipeline.crawl import found
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.found import Finds, rows_of, search_for, to_search
from pipeline.crawl.politeness import FetchLimits
from pipeline.crawl.search import Api, Commons, Found, Google, Openverse
from pipeline.identities import Identities, Identity

from .webserver import Web, reply, serve

LIMITS = FetchLimits(timeout_s=1.0, deadline_s=3.0, retries=2, backoff_s=0.001, max_wait_s=2.0)
PEOPLE = Identities({"id1": Identity("id1", "Ann_Lee"), "id2": Identity("id2", "Bob"), "id3": Identity("id3")})
KEY = "a-very-secret-key"


class Service:
    """Answers each query by a function, and remembers queries and headers."""

    def __init__(self, web: Web) -> None:
        self.web, self.queries, self.headers = web, list[dict[str, str]](), list[Any]()
        self.endpoint = f"http://127.0.0.1:{web.port}/api"

    def answers(self, answer: Any) -> None:
        def handle(handler: BaseHTTPRequestHandler) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
            self.queries.append(query)
            self.headers.append(handler.headers)
            reply(json.dumps(answer(query)).encode(), Content_Type="application/json")(handler)

        self.web.otherwise = handle


@pytest.fixture
def service() -> Iterator[Service]:
    with serve() as web:
        yield Service(web)


@pytest.fixture
def api() -> Iterator[Api]:
    with Fetcher(LIMITS, "me@example.org", allow_private=True) as fetcher:
        yield Api(fetcher, 1000.0, sleep=lambda _: None)


def commons_page(index: int, licence: str | None = "CC BY-SA 4.0") -> dict[str, Any]:
    metadata = {"LicenseShortName": {"value": licence, "source": "commons-desc-page", "hidden": ""}} if licence else {}
    info = {
        "url": f"https://upload.test/{index}.jpg",
        "descriptionurl": f"https://commons.test/wiki/File:{index}.jpg",
        "descriptionshorturl": f"https://commons.test/w/index.php?curid={index}",
        "extmetadata": metadata,
    }
    return {"pageid": index, "ns": 6, "title": f"File:{index}.jpg", "index": index, "imageinfo": [info]}


def test_commons_follows_the_continuation_and_keeps_the_order_of_the_search(service, api):
    def answer(query):
        if "gsroffset" not in query:
            pages = [commons_page(2, None), commons_page(1)]
            return {"continue": {"gsroffset": 2, "continue": "gsroffset||"}, "query": {"pages": pages}}
        return {"batchcomplete": True, "query": {"pages": [commons_page(3)]}}

    service.answers(answer)
    result = Commons(api, service.endpoint).find("Ann Lee", 10)
    assert [one.url for one in result] == [f"https://upload.test/{i}.jpg" for i in (1, 2, 3)]
    assert result[0] == Found("https://upload.test/1.jpg", "CC BY-SA 4.0", "https://commons.test/wiki/File:1.jpg")
    assert result[1].licence is None
    assert service.queries[0]["gsrsearch"] == '"Ann Lee" filetype:bitmap'
    assert service.queries[1]["continue"] == "gsroffset||"
    assert "me@example.org" in service.headers[0]["User-Agent"]


def test_commons_says_when_the_wiki_refuses(service, api):
    service.answers(lambda _: {"error": {"code": "maxlag", "info": "Waiting for a database server", "lag": 7}})
    with pytest.raises(DataError, match="maxlag"):
        Commons(api, service.endpoint).find("Ann", 10)


def openverse(page: int, pages: int, count: int) -> dict[str, Any]:
    results = [
        {
            "id": f"{page}-{i}", "title": "x", "url": f"https://photos.test/{page}/{i}.jpg", "creator": "c",
            "foreign_landing_url": f"https://photos.test/{page}/{i}", "license": "by-sa" if i else "cc0",
            "license_version": "2.0" if i else "1.0", "provider": "flickr", "source": "flickr",
        }
        for i in range(count)
    ]  # fmt: skip
    return {"result_count": pages * count, "page_count": pages, "page_size": 20, "page": page, "results": results}


def test_openverse_filters_by_licence_and_turns_pages(service, api):
    service.answers(lambda query: openverse(int(query["page"]), 3, 2))
    result = Openverse(api, ("by-sa", "cc0"), endpoint=service.endpoint).find("Ann Lee", 5)
    assert len(result) == 5
    assert result[0] == Found("https://photos.test/1/0.jpg", "CC0 1.0", "https://photos.test/1/0")
    assert result[1].licence == "CC BY-SA 2.0"
    assert [query["page"] for query in service.queries] == ["1", "2", "3"]
    assert {query["license"] for query in service.queries} == {"by-sa,cc0"}
    assert service.queries[0]["page_size"] == "20"
    assert "Authorization" not in service.headers[0]


def test_openverse_with_a_token(service, api):
    service.answers(lambda query: openverse(int(query["page"]), 1, 2))
    assert len(Openverse(api, token="t0ken", endpoint=service.endpoint).find("Ann", 300)) == 2
    assert service.headers[0]["Authorization"] == "Bearer t0ken"
    assert service.queries[0]["page_size"] == "100"


def google(start: int, more: bool) -> dict[str, Any]:
    items = [
        {
            "kind": "customsearch#result", "title": "x", "link": f"https://site.test/{start + i}.jpg",
            "mime": "image/jpeg", "image": {"contextLink": f"https://site.test/{start + i}", "height": 9, "width": 9},
        }
        for i in range(10)
    ]  # fmt: skip
    queries: dict[str, Any] = {"request": [{"startIndex": start, "count": 10}]}
    if more:
        queries["nextPage"] = [{"startIndex": start + 10, "count": 10}]
    return {"kind": "customsearch#search", "queries": queries, "items": items}


def test_google_gives_a_hundred_at_most_and_the_key_is_in_no_address(service, api):
    service.answers(lambda query: google(int(query["start"]), True))
    result = Google(api, KEY, "engine1", service.endpoint).find("Ann Lee", 300)
    assert len(result) == 100
    assert result[0] == Found("https://site.test/1.jpg", None, "https://site.test/1")
    assert [query["start"] for query in service.queries] == [str(start) for start in range(1, 101, 10)]
    assert service.queries[0] == {"cx": "engine1", "q": '"Ann Lee"', "searchType": "image", "num": "10", "start": "1"}
    assert {headers["X-Goog-Api-Key"] for headers in service.headers} == {KEY}
    assert not any(KEY in path for path in service.web.asked)


def test_google_stops_where_there_is_no_next_page(service, api):
    service.answers(lambda query: google(int(query["start"]), False))
    assert len(Google(api, KEY, "e", service.endpoint).find("Ann", 300)) == 10


@pytest.mark.parametrize(("status", "error"), [(403, Missing), (429, DataError), (400, DataError), (500, DataError)])
def test_refusals_are_errors_that_never_say_the_key(service, api, status, error):
    service.web.otherwise = reply(json.dumps({"error": {"message": KEY}}).encode(), status=status)
    with pytest.raises(error) as caught:
        Google(api, KEY, "e", service.endpoint).find("Ann", 10)
    assert KEY not in str(caught.value)
    assert str(status) in str(caught.value)


def test_a_passing_fault_is_waited_out(service, api):
    good = reply(json.dumps(google(1, False)).encode())

    def first_busy(handler: BaseHTTPRequestHandler) -> None:
        (good if sum(service.web.asked.values()) > 1 else reply(status=503))(handler)

    service.web.otherwise = first_busy
    assert len(Google(api, KEY, "e", service.endpoint).find("Ann", 10)) == 10


def test_a_redirect_is_not_followed_with_a_key(service, api):
    service.web.otherwise = reply(status=302, Location=f"http://127.0.0.1:{service.web.port}/elsewhere")
    with pytest.raises(DataError, match="bad_redirect"):
        Google(api, KEY, "e", service.endpoint).find("Ann", 10)
    assert not service.web.asked["/elsewhere"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"[" * 100_000])
def test_what_is_no_answer_is_a_data_error(service, api, body):
    service.web.otherwise = reply(body)
    with pytest.raises(DataError, match="Openverse"):
        Openverse(api, endpoint=service.endpoint).find("Ann", 10)


@pytest.mark.parametrize("answer", [
    {"results": [1, None, {"url": None}], "page_count": "x"}, {"results": "x"},
    {"query": {"pages": [{"imageinfo": 1}]}}, {"items": [{"image": 3}], "queries": [1]}, {"continue": 5, "query": 1},
])  # fmt: skip
def test_answers_of_odd_shapes_break_nothing(service, api, answer):
    service.answers(lambda _: answer)
    for search in (Commons(api, service.endpoint), Openverse(api, endpoint=service.endpoint),
                   Google(api, KEY, "e", service.endpoint)):  # fmt: skip
        assert all(isinstance(one.url, str) for one in search.find("Ann", 3))


class Fixed:
    """A service that knows everybody."""

    per_request = 10

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, name: str, most: int) -> list[Found]:
        self.asked.append(name)
        return [Found(f"https://x.test/{name.replace(' ', '-')}/{i}.jpg", "CC0", None) for i in range(most)]


def test_each_person_is_searched_for_once_whatever_interrupts(tmp_path):
    path, service = tmp_path / "found.jsonl", Fixed()
    search_for(PEOPLE, Finds(path), service, 3)
    assert service.asked == ["Ann Lee", "Bob"], "people without a name cannot be searched for"
    rows = rows_of(PEOPLE, Finds(path), 2)
    assert [row["source"] for row in rows] == [
        "https://x.test/Ann-Lee/0.jpg", "https://x.test/Ann-Lee/1.jpg", "https://x.test/Bob/0.jpg",
        "https://x.test/Bob/1.jpg",
    ]  # fmt: skip
    assert {row["licence"] for row in rows} == {"CC0"}
    path.write_text(path.read_text()[:-9])  # torn by a kill
    search_for(PEOPLE, Finds(path), service, 3)
    assert service.asked == ["Ann Lee", "Bob", "Bob"]
    assert to_search(PEOPLE, Finds(path), 3) == []
    assert len(to_search(PEOPLE, Finds(path), 4)) == 2, "more are wanted than were asked for"


def test_nobody_to_search_for_and_no_key_are_said(tmp_path, monkeypatch, api):
    with pytest.raises(UsageError, match="metadata"):
        to_search(Identities({}), Finds(tmp_path / "f"), 3)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(Missing, match="GOOGLE_API_KEY"):
        found.service("google", api)
