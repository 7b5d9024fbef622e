"""What searches found, kept beside the data: tomorrow a search gives other results, so the crawl has a list."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from manifests.errors import Missing, UsageError
from pipeline.crawl import sources
from pipeline.crawl.search import Api, Commons, Found, Google, Openverse, Search
from pipeline.identities import Identities
from pipeline.progress import say
from pipeline.stage import Row

PER_REQUEST = {
    "commons": Commons.per_request,
    "openverse": Openverse.per_request,
    "google": Google.per_request,
}  # results of one request to a service


class Finds:
    """What searches found, one JSON line a person: asked once, then read. A torn last line is asked for again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[str, int, list[Found]]] = {}  # identity: what was asked, for how many
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                entry = json.loads(line)
                found = [Found(*each) for each in entry["found"]]
                self._known[entry["identity_id"]] = entry["name"], entry["most"], found
            except (ValueError, KeyError, TypeError):
                continue

    def of(self, identity_id: str, name: str, most: int) -> list[Found] | None:
        """What is known of a person; None where it must be asked for."""
        known = self._known.get(identity_id)
        return known[2][:most] if known and known[0] == name and known[1] >= most else None

    def ask(self, search: Search, identity_id: str, name: str, most: int) -> list[Found]:
        """Search, and write the result down before the next person."""
        found = search.find(name, most)
        each = [[one.url, one.licence, one.page] for one in found]
        entry = {"identity_id": identity_id, "name": name, "most": most, "found": each}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("\n" if file.tell() else "") + json.dumps(entry))
            file.flush()
            os.fsync(file.fileno())
        self._known[identity_id] = name, most, found
        return found


def service(source: str, api: Api, licences: Sequence[str] = ()) -> Search:
    """The service of a source's name; keys come from the environment.

    Raises Missing where one is not there, UsageError where it can be none.
    """
    if source == "commons":
        return Commons(api)
    if source == "openverse":
        return Openverse(api, licences, _from_environment("OPENVERSE_TOKEN"))
    key = _needed("GOOGLE_API_KEY", "an API key for Google's Custom Search JSON API")
    return Google(api, key, _needed("GOOGLE_SEARCH_ENGINE", "the id of a Programmable Search engine"))


def _needed(name: str, what: str) -> str:
    value = _from_environment(name)
    if not value:
        raise Missing(f"no {name} in the environment: {what}")
    return value


def _from_environment(name: str) -> str:
    """A key that must not be in any file or message; empty where there is none."""
    value = os.environ.get(name, "").strip()
    if not all("!" <= character <= "~" for character in value):  # what no header can hold is shown in a traceback
        raise UsageError(f"{name} in the environment is no key: it must be printable ASCII without spaces")
    return value


def to_search(people: Identities, finds: Finds, most: int) -> list[tuple[str, str]]:
    """Identity and name of the people that were not searched for yet. Raises UsageError where nobody has a name."""
    named = sorted((each.identity_id, _spoken(each.name)) for each in people.people.values() if each.name)
    if not named:
        raise UsageError("name the people to search for in crawl.metadata")
    return [(person, name) for person, name in named if finds.of(person, name, most) is None]


def search_for(people: Identities, finds: Finds, search: Search, most: int) -> None:
    """Ask for everybody who was not asked for yet; an interruption loses one person's results at most."""
    missing = to_search(people, finds, most)
    if missing:
        say(f"crawl      searching for {len(missing):,} people")
    for person, name in missing:
        finds.ask(search, person, name, most)


def rows_of(people: Identities, finds: Finds, most: int) -> list[Row]:
    """The rows of all that was found so far."""
    found = (
        (person, one.url, one.licence, one.page)
        for person, each in sorted(people.people.items())
        for one in finds.of(person, _spoken(each.name or ""), most) or []
    )
    return sources.from_found(found, people)


def _spoken(name: str) -> str:
    """A name as one would say it: metadata write `A.J._Buckley`."""
    return name.replace("_", " ")
