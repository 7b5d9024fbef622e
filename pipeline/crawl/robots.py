"""The rules of a site, asked for once a day: robots.txt by RFC 9309, and the TDM Reservation Protocol's file.

A robots.txt that cannot be read because of the server forbids everything; a tdmrep.json that is not there, nothing.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from protego import Protego

from manifests.table import write_text
from pipeline.crawl.fetch import ROBOT
from pipeline.crawl.outcome import BLOCKED, OPTED_OUT
from pipeline.crawl.replies import Later, Text
from pipeline.crawl.tdmrep import covers, reserved_locations
from pipeline.stage import Drop

MAX_BYTES = 512_000  # RFC 9309, 2.5: at least 500 kibibytes are read
VALID_S = 24 * 3600.0  # RFC 9309, 2.4: not used for longer
_TOO_MANY = 429
_SHOWN = 100  # characters of a pattern


@dataclass(frozen=True)
class Rules:
    """The robots.txt and tdmrep.json of a site as they were found."""

    site: str  # scheme://host[:port]
    asked_at: float  # Unix seconds
    status: int | None  # None: no answer at all
    text: str = ""
    tdmrep: str = ""  # empty: there is none

    @cached_property
    def _parsed(self) -> Protego:
        return Protego.parse(self.text)

    @cached_property
    def _reserved(self) -> tuple[str, ...]:
        return reserved_locations(self.tdmrep)

    @property
    def found(self) -> bool:
        """Whether there are rules to obey."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def unavailable(self) -> bool:
        """Whether the server could not say: taken as a refusal of everything (RFC 9309, 2.3.1.4)."""
        return self.status is None or self.status >= 500 or self.status == _TOO_MANY

    @cached_property
    def evidence(self) -> str:
        """By what an address of this site was allowed or refused."""
        return f"{self._robots}; {self._tdmrep}" if self.tdmrep else self._robots

    @property
    def _robots(self) -> str:
        if self.found:
            return f"robots.txt, sha256 {_short_digest(self.text)}"
        return f"robots.txt: {'no answer' if self.status is None else f'HTTP status {self.status}'}"

    @property
    def _tdmrep(self) -> str:
        return f"tdmrep.json, sha256 {_short_digest(self.tdmrep)}"

    def refusal(self, url: str) -> Drop | None:
        """Why an address of this site may not be asked for."""
        if self.unavailable:
            return Drop(BLOCKED, detail=f"{self._robots}; taken as a refusal (RFC 9309)")
        if self.found and not self._parsed.can_fetch(url, ROBOT):
            return Drop(BLOCKED, detail=f"{self._robots}, disallows {ROBOT}")
        for location in self._reserved:
            if covers(location, url):
                return Drop(OPTED_OUT, detail=f"{self._tdmrep}, reserves {location[:_SHOWN]}")
        return None

    @cached_property
    def delay_s(self) -> float:
        """Seconds between two requests that the site asks for."""
        if not self.found:
            return 0.0
        asked = self._parsed.request_rate(ROBOT)
        by_rate = asked.seconds / asked.requests if asked and asked.requests else 0.0
        return max(self._parsed.crawl_delay(ROBOT) or 0.0, by_rate)


def _short_digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def rules_of(site: str, answer: Text | Later | Drop, asked_at: float) -> Rules:
    """What an answer to the request for robots.txt means; a redirect that leads nowhere counts as no file (2.3.1.2)."""
    if isinstance(answer, Text):
        return Rules(site, asked_at, answer.status, answer.body.decode("utf-8", "replace"))
    lost = isinstance(answer, Later) or answer.reason not in ("bad_redirect", "too_many_redirects")
    return Rules(site, asked_at, None if lost else 404)


class RobotsCache:
    """Rules by site, in memory and on disk; from any number of threads."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._known: dict[str, Rules] = {}

    def get(self, site: str) -> Rules | None:
        """Rules that are not older than a day."""
        rules = self._known.get(site) or self._read(site)
        if rules is None or not 0 <= self._now() - rules.asked_at < VALID_S:
            return None
        self._known[site] = rules
        return rules

    def put(self, rules: Rules) -> None:
        """Keep rules for a day."""
        self._known[rules.site] = rules
        write_text(self._path(rules.site), json.dumps(asdict(rules)))

    def _read(self, site: str) -> Rules | None:
        try:
            rules = Rules(**json.loads(self._path(site).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # absent or damaged: asked for again
            return None
        return rules if rules.site == site else None

    def _path(self, site: str) -> Path:
        return self._folder / f"{sha256(site.encode()).hexdigest()[:32]}.json"
