"""The settings of how strangers' servers are asked: what one address may cost, and how often a host is troubled."""

import random
from dataclasses import dataclass, field

from manifests.settings import Count, MoreThanZero, NotNegative, Positive
from pipeline.stage import HOW


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one address may cost."""

    timeout_s: MoreThanZero = field(default=10.0, metadata={HOW: True})  # without a byte
    deadline_s: MoreThanZero = 60.0  # for a whole response
    # of a body: it may take `timeout_s` and what its bytes take at this speed
    min_bytes_per_s: NotNegative = field(default=2048.0, metadata={HOW: True})
    max_bytes: Positive = 32 << 20  # of a decoded body
    max_pixels: Positive = 64_000_000  # from the header, before any decoding
    max_redirects: Count = 5
    retries: Count = field(default=3, metadata={HOW: True})  # further tries after a passing fault
    # before the second try; before later ones a random part of twice as long each time
    backoff_s: NotNegative = field(default=1.0, metadata={HOW: True})
    max_wait_s: NotNegative = field(
        default=60.0, metadata={HOW: True}
    )  # longest pause; a server that asks for more is left alone


@dataclass(frozen=True, slots=True)
class Politeness(FetchLimits):
    """How strangers' hosts are treated."""

    requests_per_s: MoreThanZero = field(default=4.0, metadata={HOW: True})  # of one site, at most
    per_host: Positive = field(default=2, metadata={HOW: True})  # requests to one site at once
    host_faults: Positive = field(default=20, metadata={HOW: True})  # in a row, before a site is left alone
    # how long a dead network is waited for; 0: never suspect the network
    network_wait_s: NotNegative = field(default=3600.0, metadata={HOW: True})
    probe_s: MoreThanZero = field(default=5.0, metadata={HOW: True})  # between two looks whether the network is back


def backoff_s(polite: Politeness, tries: int) -> float:
    """A pause after so many tries: exponential back-off with full jitter (Brooker 2015), never below the base."""
    top = min(polite.max_wait_s, polite.backoff_s * 2.0 ** min(tries, 30))
    return min(polite.max_wait_s, max(polite.backoff_s, random.uniform(0, top)))  # noqa: S311  # a pause, no secret
