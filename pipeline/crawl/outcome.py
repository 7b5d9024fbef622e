"""What can become of a listed address: seven outcomes, and which drop reason belongs to which."""

from collections.abc import Mapping
from enum import StrEnum

from manifests.removals import REMOVED
from pipeline.stage import FAILED, UNREADABLE_FILE, Drop

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth another try


class Outcome(StrEnum):
    """What became of an address; `pipeline crawl --retry` takes these names."""

    OK = "ok"
    REJECTED = "rejected"  # bytes came, and are not what is wanted
    FAILED_TRANSIENT = "failed_transient"  # may be otherwise tomorrow
    FAILED_PERMANENT = "failed_permanent"
    BLOCKED_ROBOTS = "blocked_robots"
    OPTED_OUT = "opted_out"
    REMOVED = "removed"


HTTP_ERROR = "http_error"  # the drop reason of a status that is no answer; its value is the status
# Drop reasons that the server's robots.txt and headers make.
BLOCKED, OPTED_OUT, CRAWL_DELAY = "blocked_robots", "opted_out", "crawl_delay"

_OUTCOMES: Mapping[str, Outcome] = {
    **dict.fromkeys(
        ("empty", "not_a_picture", "too_large", "too_many_pixels", "duplicate", "duplicate_address", "outside_folder"),
        Outcome.REJECTED,
    ),
    **dict.fromkeys(
        ("timeout", "too_slow", CRAWL_DELAY, "connection", "incomplete", "silent_name_server", FAILED, UNREADABLE_FILE),
        Outcome.FAILED_TRANSIENT,
    ),
    **dict.fromkeys(
        ("bad_address", "bad_redirect", "too_many_redirects", "unknown_host", "private_address", "tls"),
        Outcome.FAILED_PERMANENT,
    ),
    "over_per_identity": Outcome.REJECTED,
    BLOCKED: Outcome.BLOCKED_ROBOTS,
    OPTED_OUT: Outcome.OPTED_OUT,
    REMOVED: Outcome.REMOVED,
}


def outcome_of(drop: Drop | None) -> Outcome:
    """The outcome that a drop belongs to; `ok` where nothing was dropped. Raises KeyError for another stage's drop."""
    if drop is None:
        return Outcome.OK
    if drop.reason == HTTP_ERROR:
        return Outcome.FAILED_TRANSIENT if drop.value in PASSING_STATUS else Outcome.FAILED_PERMANENT
    return _OUTCOMES[drop.reason]
