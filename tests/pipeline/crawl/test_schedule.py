"""The schedule, with a clock of its own: turns, pauses, faults, and the death of the network."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from manifests.errors import DataError
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.replies import Blame, Later
from pipeline.crawl.schedule import Schedule
from pipeline.crawl.turns import Ask, AskRules, GiveUp, Job, Probe, Turn
from pipeline.stage import Drop

POLITE = Politeness(requests_per_s=10.0, per_host=2, retries=2, backoff_s=1.0, max_wait_s=60.0, host_faults=5)
LOST = Later(Drop("connection", detail="no route"), Blame.NETWORK)
BUSY = Later(Drop("http_error", 503, detail="busy"), Blame.PAGE)


class Clock:
    """Time passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """One thread that does every turn at once, by a function that says what each site answers."""

    def __init__(self, polite: Politeness = POLITE, ours: frozenset[str] = frozenset()) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.schedule = Schedule(polite, ours, self.said.append, self.clock)
        self.schedule._wait = self._pass_time  # type: ignore[method-assign]
        self.asked: list[tuple[float, str]] = []
        self.ended: dict[str, Drop | None] = {}
        self.alive: Callable[[str], bool] = lambda _: True
        self.answer: Callable[[Job], Later | None] = lambda _: None

    def _pass_time(self) -> None:
        schedule = self.schedule
        until = schedule._network.probe_at if schedule._network.dead_since is not None else schedule._agenda.next_at
        self.clock.now = max(self.clock.now, until)

    def add(self, *urls: str) -> None:
        for url in urls:
            self.schedule.add(Job(url, url))

    def run(self) -> None:
        while (turn := self.schedule.take()) is not None:
            self._do(turn)

    def _do(self, turn: Turn) -> None:
        match turn:
            case AskRules(site):
                self.asked.append((self.clock.now, f"{site}/robots.txt"))
                if not self.alive(site):
                    assert self.schedule.not_cleared(site, LOST)
                    return
                self.schedule.cleared(site, lambda url: Drop("blocked") if "secret" in url else None, 0.0, 1e6)
            case Ask(job):
                self.asked.append((self.clock.now, job.url))
                fault = self.answer(job) if self.alive(job.url) else LOST
                if fault is not None:
                    self.schedule.later(job, fault, fault is not LOST)
                else:
                    self.ended[job.row_id] = None
                    self.schedule.answered(job, 0.01)
            case GiveUp(job):
                self.ended[job.row_id] = job.fault
            case Probe(site):
                self.schedule.probed(self.alive(site))


def test_rules_come_first_then_hosts_take_turns_each_at_its_pace():
    world = World()
    world.add(*(f"http://{host}.test/{i}" for host in "ab" for i in range(5)))
    world.run()
    asked = [url for _, url in world.asked]
    assert set(asked[:2]) == {"http://a.test/robots.txt", "http://b.test/robots.txt"}
    assert [url[7] for url in asked] in (list("ab" * 6), list("ba" * 6))
    times = [at for at, url in world.asked if "a.test" in url]
    gaps = [later - at for at, later in itertools.pairwise(times)]
    assert gaps == pytest.approx([0.2, *[0.1] * 4]), "the rules are two requests: robots.txt and tdmrep.json"


def test_what_the_rules_forbid_is_never_asked():
    world = World()
    world.add("http://a.test/secret", "http://a.test/open")
    world.run()
    assert [url for _, url in world.asked] == ["http://a.test/robots.txt", "http://a.test/open"]
    assert world.ended["http://a.test/secret"] == Drop("blocked")


def test_a_passing_fault_comes_back_later_and_ends_with_the_tries():
    world = World()
    world.answer = lambda _: BUSY
    world.add("http://a.test/1")
    world.run()
    times = [at for at, url in world.asked if url.endswith("/1")]
    assert len(times) == 1 + POLITE.retries
    assert all(later - at >= POLITE.backoff_s for at, later in itertools.pairwise(times))
    assert world.ended["http://a.test/1"] == BUSY.drop


def test_a_host_that_only_fails_is_left_alone():
    world = World()
    world.answer = lambda _: BUSY
    world.add(*(f"http://a.test/{i}" for i in range(100)))
    world.run()
    assert len(world.asked) <= 1 + POLITE.host_faults
    assert len(world.ended) == 100
    assert all(drop and drop.value == 503 for drop in world.ended.values())


def test_a_host_that_asks_for_too_long_a_pause_is_left_alone_at_once():
    world = World()
    world.answer = lambda _: Later(Drop("http_error", 429), Blame.HOST, 3600.0)
    world.add(*(f"http://a.test/{i}" for i in range(9)))
    world.run()
    assert len(world.asked) == 2
    assert len(world.ended) == 9


def test_a_refusal_costs_the_row_nothing():
    """429 is about the host's limit: a row that met it ten times is as good as new."""
    world = World(replace(POLITE, host_faults=50))
    refusals = iter([Later(Drop("http_error", 429), Blame.HOST, 1.0)] * 10)
    world.answer = lambda _: next(refusals, None)
    world.add("http://a.test/1")
    world.run()
    assert world.ended == {"http://a.test/1": None}


def test_a_dead_network_pauses_everything_and_fails_no_row():
    world = World(replace(POLITE, retries=0))
    world.add(*(f"http://{host}.test/{i}" for host in "abcdef" for i in range(5)))
    died, back = world.clock.now + 0.25, world.clock.now + 600.0
    world.alive = lambda _: not died <= world.clock.now < back
    world.run()
    assert set(world.ended.values()) == {None}
    assert len(world.ended) == 30
    meanwhile = [url for at, url in world.asked if died <= at < back]
    assert len(meanwhile) <= 12, "only what was on its way, and a few tries"
    assert len(world.said) == 2


def test_hosts_that_are_gone_do_not_look_like_a_dead_network():
    """The last three hosts of a list do not answer: one that did is tried, takes the connection, and so they fail."""
    world = World()
    world.add("http://good.test/1", *(f"http://{host}.test/{i}" for host in "abcd" for i in range(3)))
    world.alive = lambda url: "good" in url
    world.run()
    assert world.ended.pop("http://good.test/1") is None
    assert len(world.ended) == 12
    assert {drop and drop.reason for drop in world.ended.values()} == {"connection"}
    assert world.clock.now < 1000 + 600


def test_two_hosts_are_too_few_to_suspect_the_network():
    world = World()
    world.add("http://a.test/1", "http://b.test/1")
    world.alive = lambda _: False
    world.run()
    assert {drop and drop.reason for drop in world.ended.values()} == {"connection"}


def test_a_network_that_stays_dead_is_an_error_and_still_fails_no_row():
    world = World(replace(POLITE, network_wait_s=100.0))
    world.add(*(f"http://{host}.test/1" for host in "abcdef"))
    world.alive = lambda _: False
    with pytest.raises(DataError, match="No row was marked as failed"):
        world.run()
    assert not world.ended


def test_our_own_server_needs_no_rules():
    world = World(ours=frozenset({"http://a.test"}))
    world.add(*(f"http://a.test/{i}" for i in range(100)))
    world.run()
    assert len(world.asked) == 100
    assert world.clock.now == 1000.0
