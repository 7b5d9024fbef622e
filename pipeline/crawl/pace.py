"""How fast one host is asked: a token bucket that slows down when the host says so or answers late."""

from collections import deque
from dataclasses import dataclass, field
from math import inf

_CALM_S, _EASY_S = 30.0, 5.0  # after the last refusal, and the last late answer, before the rate grows again
_GROWTH = 0.02  # of the configured rate, per second of calm
_CAREFUL = 0.9  # of the rate that was just answered: what is asked for after a refusal
_SLOW, _SLOW_S = 3.0, 0.5  # times the best latency, and at least so many seconds: the host labours
_EASE = 0.8  # of the rate, while it does
_SMOOTH = 0.2  # weight of the newest latency


@dataclass(slots=True)
class Pace:
    """Times are seconds of one monotonic clock; the bucket holds one token, so that requests are evenly spaced."""

    most: float  # requests per second; inf: without limit
    longest_s: float = 60.0  # between two requests, however often the host refuses
    next_at: float = 0.0  # not before
    rate: float = field(init=False)
    paused_until: float = -inf
    _grows_from: float = -inf
    _eased_at: float = -inf
    _answers: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    _latency_s: float | None = None
    _best_s: float = inf

    def __post_init__(self) -> None:
        self.rate = self.most

    def keep_to(self, delay_s: float) -> None:
        """Obey the Crawl-delay of a robots.txt."""
        if delay_s > 0:
            self.most = min(self.most, 1 / delay_s)
            self.rate = min(self.rate, self.most)

    def asked(self, now: float) -> None:
        """A request goes out."""
        self.next_at = max(self.next_at, now) + 1 / self.rate

    def answered(self, now: float, latency_s: float) -> None:
        """The host answered, whatever it said."""
        if self.most == inf:
            return
        self._answers.append(now)
        self._latency_s = latency_s if self._latency_s is None else self._mixed(latency_s)
        self._best_s = min(self._best_s, self._latency_s)
        if self._latency_s > max(_SLOW * self._best_s, _SLOW_S):
            if now - self._eased_at > self._latency_s:
                self._eased_at = now
                # Not below one request at a time: a late answer is no refusal.
                self.rate = min(self.rate, max(1 / self._latency_s, self.rate * _EASE))
            self._grows_from = max(self._grows_from, now + _EASY_S)
        elif self.rate < self.most and now > self._grows_from:
            self.rate = min(self.most, self.rate + self.most * _GROWTH * (now - self._grows_from))
            self._grows_from = now

    def _mixed(self, latency_s: float) -> float:
        assert self._latency_s is not None
        return (1 - _SMOOTH) * self._latency_s + _SMOOTH * latency_s

    def refused(self, now: float, wait_s: float) -> bool:
        """The host wants to be asked less (429, or 503 with Retry-After), and not within `wait_s`.

        The new rate is a little below what it answered within the last second. Refusals of requests that were already
        out when the first one came count once. True: even the slowest rate is too much.
        """
        too_much = False
        if now >= self.paused_until:
            least = min(self.most, 1 / self.longest_s)
            too_much = self.rate <= least
            answered = sum(1 for at in self._answers if at > now - 1.0)
            known = (self._answers and self._answers[0] <= now - 1.0) or answered >= 2
            self.rate = max(least, _CAREFUL * min(self.rate, max(1.0, answered) if known else self.rate / 2))
        self._grows_from = now + _CALM_S
        self.paused_until = max(self.paused_until, now + wait_s)
        self.next_at = max(self.next_at, self.paused_until)
        return too_much
