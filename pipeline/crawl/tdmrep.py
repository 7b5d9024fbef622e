"""The file of the TDM Reservation Protocol: which paths of a site its owner keeps from text and data mining.

https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240202/ (section 4.1).
"""

import json
from urllib.parse import urlsplit

PATH = "/.well-known/tdmrep.json"


def reserved_locations(text: str) -> tuple[str, ...]:
    """The patterns of paths that a file reserves; none where it is no such file."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    rules = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return tuple(
        rule["location"]
        for rule in rules
        if isinstance(rule.get("location"), str) and rule.get("tdm-reservation") in (1, "1")
    )


def covers(location: str, url: str) -> bool:
    """Whether a pattern covers an address: the beginning of its path, `*` for anything, a last `$` for its end.

    In steps that grow with the lengths only, whatever a hostile pattern holds.
    """
    parts = urlsplit(url)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    to_the_end = location.endswith("$")
    first, *rest = location.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    last = rest.pop() if rest and to_the_end else None
    at = len(first)
    for piece in rest:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    if last is not None:
        return path.endswith(last) and len(path) - len(last) >= at
    return not to_the_end or at == len(path)
