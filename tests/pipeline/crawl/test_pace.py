"""How fast a host is asked: evenly, and less when it says so or labours."""

from math import inf

import pytest

from pipeline.crawl.pace import Pace


def ask(pace: Pace, now: float, latency_s: float = 0.01) -> float:
    """One request as soon as it may go out; when it went."""
    at = max(now, pace.next_at)
    pace.asked(at)
    pace.answered(at + latency_s, latency_s)
    return at


def test_requests_are_evenly_spaced():
    pace = Pace(10.0)
    times = [ask(pace, 0.0) for _ in range(21)]
    assert times == pytest.approx([i / 10 for i in range(21)])


def test_our_own_server_is_not_slowed_down():
    pace = Pace(inf)
    assert [ask(pace, 5.0) for _ in range(3)] == [5.0] * 3


def test_after_a_refusal_it_is_asked_a_little_less_than_it_answered_and_not_before_its_pause():
    pace = Pace(100.0)
    for _ in range(50):
        last = ask(pace, 0.0)
    pace.refused(last + 0.02, 1.0)
    pace.refused(last + 0.03, 1.0)  # was out already
    assert pace.rate == pytest.approx(45.0)
    assert pace.next_at == pytest.approx(last + 1.03)


def test_a_refusal_before_any_answer_halves_the_rate():
    pace = Pace(8.0)
    pace.asked(0.0)
    pace.refused(0.1, 0.0)
    assert 3.0 < pace.rate <= 4.0


def test_the_rate_grows_back_after_calm_and_never_beyond_what_was_set():
    pace = Pace(10.0)
    ask(pace, 0.0)
    pace.refused(0.5, 0.0)
    low, now = pace.rate, 0.5
    while now < 25:
        now = ask(pace, now)
    assert pace.rate == low
    while now < 200:
        now = ask(pace, now)
    assert pace.rate == 10.0


def test_a_host_that_labours_is_asked_less():
    pace = Pace(10.0)
    now = 0.0
    for _ in range(20):
        now = ask(pace, now, 0.05)
    for _ in range(40):
        now = ask(pace, now, 2.0) + 2.0
    assert 0.5 <= pace.rate < 1.0, "one request after another, but not less"
    for _ in range(400):
        now = ask(pace, now, 0.05)
    assert pace.rate == 10.0


def test_a_crawl_delay_is_obeyed():
    pace = Pace(10.0)
    pace.keep_to(2.0)
    assert [ask(pace, 0.0) for _ in range(3)] == [0.0, 2.0, 4.0]


def test_refusals_never_lead_to_a_longer_pause_than_is_allowed():
    pace, now = Pace(4.0, longest_s=2.0), 0.0
    said = []
    for _ in range(10):
        now = max(now, pace.next_at)
        pace.asked(now)
        assert pace.next_at <= now + 2.0
        said.append(pace.refused(now + 0.01, 0.0))
    assert pace.rate == 0.5
    assert said == [False] * 3 + [True] * 7, "even the slowest rate is too much"
