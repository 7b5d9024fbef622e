"""Opt-outs in the headers of an answer: X-Robots-Tag (noai, noimageai, noml) and the TDM Reservation Protocol."""

from collections.abc import Iterable, Mapping

_AGAINST = frozenset({"noai", "noimageai", "noml"})
# Directives that hold a colon of their own; any other word before a colon names the robot that is meant.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opted_out(headers: Mapping[str, str], tags: Iterable[str], robot: str) -> str | None:
    """The words by which a server refuses machine learning, `header: value`; None where it does not.

    `tags` are the X-Robots-Tag headers, of which there may be several; `robot` is our name in robots.txt. The
    protocols: https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240202/ (section 4.2) and Google's
    X-Robots-Tag with the words that art platforms added to it.
    """
    if headers.get("tdm-reservation", "").strip() == "1":
        return "TDM-Reservation: 1"
    for tag in tags:
        meant = True
        for part in tag.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and name.strip() not in _WITH_VALUE:
                meant = name.strip() in (robot.lower(), "*")
                name = rest
            if meant and name.strip() in _AGAINST:
                return f"X-Robots-Tag: {name.strip()}"
    return None
