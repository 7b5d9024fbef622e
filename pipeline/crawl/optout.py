"""Opt-outs in the headers of an answer: X-Robots-Tag (noai, noimageai, noml) and the TDM Reservation Protocol."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

_AGAINST = frozenset({"noai", "noimageai", "noml"})
_DIRECTIVES = _AGAINST | {
    "all", "archive", "follow", "index", "indexifembedded", "max-image-preview", "max-snippet", "max-video-preview",
    "noarchive", "nocache", "nofollow", "noimageindex", "noindex", "none", "noodp", "nosnippet", "nositelinkssearchbox",
    "notranslate", "noydir", "unavailable_after",
}  # fmt: skip
_EVERYBODY = frozenset({"*", "robots", "x-robots-tag"})  # the last two are no robots, and written where none is meant
_NAME = re.compile(r"[a-z_*-]+(/.*)?")  # of a robot, perhaps with its version


def opted_out(headers: Mapping[str, str], tags: Iterable[str], robot: str) -> str | None:
    """The words by which a server refuses machine learning, `header: value`; None where it does not.

    `tags` are the X-Robots-Tag headers, of which there may be several; `robot` is our name in robots.txt. The
    protocols: https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240202/ (section 4.2) and Google's
    X-Robots-Tag with the words that art platforms added to it.
    """
    if "1" in _words(headers.get("tdm-reservation", "")):
        return "TDM-Reservation: 1"
    for tag in tags:
        word = _against(tag.lower(), _EVERYBODY | {robot.lower()})
        if word:
            return f"X-Robots-Tag: {word}"
    return None


def _against(tag: str, us: frozenset[str]) -> str | None:
    """The first word of a header that refuses machine learning to one of the names in `us`."""
    meant = True
    for part in _words(" ".join(tag.split()).replace(" :", ":").replace(": ", ":")):
        for word, following in pairwise([*part.split(":"), ""]):
            if _names_a_robot(word, following):
                meant = word.partition("/")[0] in us
            elif meant and word in _AGAINST:
                return word
    return None


def _words(text: str) -> list[str]:
    return text.replace(",", " ").replace(";", " ").split()


def _names_a_robot(word: str, following: str) -> bool:
    """Whether a word says for whom the next ones are; in doubt not, as they may then be for everybody."""
    return following in _DIRECTIVES and word not in _DIRECTIVES and _NAME.fullmatch(word) is not None
