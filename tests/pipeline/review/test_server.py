"""review-serve: who may ask, what is refused, and reviewers at work in real browsers."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from click.testing import CliRunner

from manifests.errors import DataError, Missing
from pipeline.review import importer, server
from pipeline.review.decisions import read
from pipeline.review.server import Desk, app, open_desk
from stages.cli import main
from tests.pipeline.review.screens import batch, decided, opened, person, press, status, write

TOKENS = {"anna": "token-of-anna", "ben": "token-of-ben"}
SEND = {"X-Review": "1"}
Served = tuple[str, Desk]


@contextmanager
def serving(folder: Path, file: Path, port: int = 0, **changes: Any) -> Iterator[Served]:
    """The server at work in a thread, on any free port."""
    desk = open_desk(folder, file)
    for name, value in changes.items():
        setattr(desk, name, value)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((server.HOST, port))
        running = uvicorn.Server(uvicorn.Config(app(desk, TOKENS), log_level="error", lifespan="off"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: running.started)
            yield f"http://{server.HOST}:{listening.getsockname()[1]}", desk
        finally:
            running.should_exit = running.force_exit = True
            thread.join(10)


def until(true: Callable[[], Any], seconds: float = 10) -> None:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two batches of one export: three people each, one of them in both."""
    both = person(100, 3)
    for name, numbers in (("anna", (0, 1)), ("ben", (2, 3))):
        people = [*(person(number, 3) for number in numbers), both]
        write(tmp_path / "out" / f"round1-batch001-{name}", batch(reviewer=name, people=people))
    return tmp_path / "out"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "review" / "decisions.jsonl"


@pytest.fixture
def served(folder: Path, file: Path) -> Iterator[Served]:
    with serving(folder, file) as found:
        yield found


def signed_in(address: str, name: str = "anna") -> requests.Session:
    session = requests.Session()
    assert session.get(f"{address}/", params={"token": TOKENS[name]}).url == f"{address}/"
    return session


def line(desk: Desk, reviewer: str = "anna", **fields: Any) -> dict[str, Any]:
    task, (sample, shown, round_) = next(iter(desk.shown.items()))
    known = {"task_id": task, "sample_id": sample, "shown_sha256": shown, "round": round_, "reviewer": reviewer}
    return {**known, "decision": "keep", "reasons": [], "comment": "", "seconds": 1.5, "at": None, **fields}


def test_without_a_token_nothing_is_shown(served: Served) -> None:
    address, desk = served
    for path in ("/", "/?token=guess", "/?token=", f"/pictures/{next(iter(desk.pictures))}", "/api/take", "/nothing"):
        assert requests.get(address + path).status_code == 403
        assert requests.post(address + path, json={}, headers=SEND).status_code == 403


def test_a_name_that_another_site_made_point_here_is_refused(served: Served) -> None:
    """DNS rebinding: the browser believes it talks to evil.example."""
    address, _ = served
    session = signed_in(address)
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost:80:80", "127.0.0.1:x", ""):
        assert session.get(f"{address}/", headers={"Host": host}).status_code in (400, 421)
    assert session.get(f"{address}/", headers={"Host": "localhost:1234"}).status_code in (200, 403)


def test_a_foreign_page_cannot_decide(served: Served, file: Path) -> None:
    address, desk = served
    session = signed_in(address)
    body = {"lines": [line(desk)]}
    foreign = [{}, {**SEND, "Origin": "https://evil.example"}, {**SEND, "Origin": "null"}, {"X-Review": "2"}]
    for headers in foreign:
        assert session.post(f"{address}/api/save", json=body, headers=headers).status_code == 403
    preflight = session.options(f"{address}/api/save", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 403
    assert not file.exists()
    answer = session.post(f"{address}/api/save", json=body, headers={**SEND, "Origin": address})
    assert answer.json() == {"saved": 1, "lost": [], "left": 5}
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_the_cookie_is_for_this_server_and_no_script(served: Served) -> None:
    address, _ = served
    answer = requests.get(f"{address}/", params={"token": TOKENS["anna"]}, allow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert cookie.startswith(f"review_{address.rpartition(':')[2]}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["../index.html", "..%2Findex.html", "%2Fetc%2Fpasswd", "a.jpg", "%00"])
def test_only_the_batchs_pictures_can_be_had(name: str, served: Served) -> None:
    address, desk = served
    session = signed_in(address)
    assert session.get(f"{address}/pictures/{name}").status_code in (404, 405)
    assert session.get(f"{address}/pictures/{next(iter(desk.pictures))}").content[:2] == b"\xff\xd8"


def test_an_expired_batch_gives_no_picture_but_takes_decisions(folder: Path, file: Path) -> None:
    for path in folder.glob("*/index.html"):
        path.unlink()
    write(folder / "late", batch(people=[person(7, 2)], expires="2030-01-31"))
    with serving(folder, file, today=lambda: date(2030, 2, 1)) as (address, desk):
        session = signed_in(address)
        assert session.get(f"{address}/pictures/{next(iter(desk.pictures))}").status_code == 410
        assert session.post(f"{address}/api/save", json={"lines": [line(desk)]}, headers=SEND).status_code == 200
    with serving(folder, file, today=lambda: date(2030, 1, 31)) as (address, desk):
        assert signed_in(address).get(f"{address}/pictures/{next(iter(desk.pictures))}").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"decision": "perhaps"}, 400),
        ({"extra": 1}, 400),
        ({"seconds": float("nan")}, 400),
        ({"reviewer": "ben"}, 409),
        ({"task_id": "0" * 16}, 409),
        ({"shown_sha256": "0" * 64}, 409),
        ({"round": 2}, 409),
    ],
)
def test_one_wrong_line_and_none_is_written(wrong: dict[str, Any], code: int, served: Served, file: Path) -> None:
    address, desk = served
    body = json.dumps({"lines": [line(desk), line(desk, **wrong)]})
    assert signed_in(address).post(f"{address}/api/save", data=body, headers=SEND).status_code == code
    assert not file.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"lines": {}}', b'{"lines": [3]}', b"\xff", b"[" * 10**5])
def test_what_is_no_letter_of_the_page_is_refused(body: bytes, served: Served) -> None:
    address, _ = served
    assert signed_in(address).post(f"{address}/api/save", data=body, headers=SEND).status_code == 400


def test_a_huge_letter_is_not_even_read(served: Served) -> None:
    address, _ = served
    session = signed_in(address)
    assert session.post(f"{address}/api/save", data=b" " * (2**20 + 1), headers=SEND).status_code == 413
    assert session.post(f"{address}/api/save", data=iter([b"{}"]), headers=SEND).status_code == 413


def test_the_same_letter_twice_is_written_once(served: Served, file: Path) -> None:
    """The answer may be lost on its way, and the page sends again."""
    address, desk = served
    session = signed_in(address)
    for _ in range(2):
        assert session.post(f"{address}/api/save", json={"lines": [line(desk)]}, headers=SEND).json()["saved"] == 1
    assert len(read(file)) == 1


def is_through(screen: Any) -> bool:
    """Keep the three pictures on the screen, or ask for more people; whether nobody is left, free or with others."""
    if screen.locator("#work").is_visible():
        press(screen, "123x")
    elif "on the server's disk" in screen.locator("#finished-text").inner_text():
        return True
    press(screen, ["Enter"])
    screen.wait_for_timeout(100)
    return False


def test_two_reviewers_share_a_queue_and_nobody_is_done_twice_but_the_overlap(
    browser: Any, served: Served, file: Path
) -> None:
    address, _ = served
    with (
        opened(browser, f"{address}/?token={TOKENS['anna']}") as anna,
        opened(browser, f"{address}/?token={TOKENS['ben']}") as ben,
    ):
        for screen in (anna, ben):
            screen.locator(".card").first.wait_for()
        assert anna.locator("#name").inner_text() != ben.locator("#name").inner_text()
        assert anna.locator(".card img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
        until(lambda: all(list(map(is_through, (anna, ben)))), seconds=60)
        until(lambda: file.exists() and len(read(file)) >= 18)
    made = read(file)
    by_task: dict[str, set[str]] = {}
    for one in made:
        by_task.setdefault(one.task_id, set()).add(one.reviewer)
    assert len(by_task) == 15
    assert sorted(map(len, by_task.values())) == [1] * 12 + [2] * 3
    assert {one.decision for one in made} == {"keep"}


def test_while_the_server_is_gone_nothing_is_lost_and_it_is_sent_when_it_is_back(
    browser: Any, folder: Path, file: Path
) -> None:
    with serving(folder, file) as (address, _):
        screen = browser.new_context().new_page()
        screen.goto(f"{address}/?token={TOKENS['anna']}")
        screen.locator(".card").first.wait_for()
    press(screen, "kr")
    screen.locator("#alerts", has_text="2 decisions wait in this browser").wait_for()
    assert decided(screen) == ["keep", "reject", ""]
    assert not file.exists()
    with serving(folder, file, int(address.rpartition(":")[2])):
        until(lambda: file.exists() and len(read(file)) == 2)
        screen.locator("#alerts p").wait_for(state="detached")
        screen.reload()
        screen.locator(".card").first.wait_for()
        assert decided(screen) == ["keep", "reject", ""]
    screen.context.close()


def test_what_could_not_be_sent_is_sent_later_even_if_the_person_is_now_with_somebody_else(
    browser: Any, folder: Path, file: Path
) -> None:
    with serving(folder, file) as (address, _):
        context = browser.new_context()
        screen = context.new_page()
        screen.goto(f"{address}/?token={TOKENS['anna']}")
        screen.locator(".card").first.wait_for()
    press(screen, "k")
    screen.locator("#alerts", has_text="1 decision waits in this browser").wait_for()
    screen.close()
    with serving(folder, file, int(address.rpartition(":")[2])) as (_, desk):
        while desk.take("ben")["person"]:
            pass
        context.new_page().goto(f"{address}/?token={TOKENS['anna']}")
        until(file.exists)
        assert [(one.reviewer, one.decision) for one in read(file)] == [("anna", "keep")]
    context.close()


def test_another_browser_goes_on_where_the_first_one_was(browser: Any, served: Served, file: Path) -> None:
    address, _ = served
    with opened(browser, f"{address}/?token={TOKENS['anna']}") as screen:
        screen.locator(".card").first.wait_for()
        name = screen.locator("#name").inner_text()
        press(screen, "kwz")  # a decision taken back is written as a doubt: lines are only ever added
        until(lambda: file.exists() and len(read(file)) >= 2)
    with opened(browser, f"{address}/?token={TOKENS['anna']}") as screen:
        assert screen.locator("#name").inner_text() == name
        assert decided(screen)[0] == "keep"
    assert next((one.decision, one.reasons) for one in read(file)) == ("keep", ())


def test_what_was_taken_back_comes_back_undecided(browser: Any, served: Served, file: Path) -> None:
    address, _ = served
    with opened(browser, f"{address}/?token={TOKENS['anna']}") as screen:
        screen.locator(".card").first.wait_for()
        press(screen, "kw")
        until(lambda: file.exists() and len(read(file)) == 2)
        press(screen, "z")
        until(lambda: len(read(file)) == 3)
        screen.reload()
        screen.locator(".card").first.wait_for()
        assert decided(screen) == ["keep", "", ""]


def test_a_full_disk_is_said_and_nothing_is_lost(
    browser: Any, served: Served, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    address, _ = served
    with opened(browser, f"{address}/?token={TOKENS['anna']}") as screen:
        screen.locator(".card").first.wait_for()
        with monkeypatch.context() as changed:
            changed.setattr(importer, "append", full)
            press(screen, "k")
            screen.locator("#alerts", has_text="No space left on device").wait_for()
            assert not file.exists()
        until(file.exists)
        screen.locator("#alerts p").wait_for(state="detached")
    assert [one.decision for one in read(file)] == ["keep"]


def test_who_loses_somebody_to_another_is_told(browser: Any, folder: Path, file: Path) -> None:
    now = [0.0]
    with (
        serving(folder, file, clock=lambda: now[0]) as (address, desk),
        opened(browser, f"{address}/?token={TOKENS['anna']}") as screen,
    ):
        until(lambda: len(desk.queue.of("anna")) == 2)  # the one on the screen and the next
        screen.locator(".card").first.wait_for()
        now[0] = 10000.0
        ben = signed_in(address, "ben")
        while ben.post(f"{address}/api/take", json={}, headers=SEND).json()["person"]:
            pass
        press(screen, "k")
        screen.locator("#status", has_text="second opinion").wait_for()
        until(lambda: len(read(file)) == 1)
        assert "Person" in status(screen)


def test_batches_of_two_exports_are_not_mixed(folder: Path, file: Path) -> None:
    write(folder / "other", batch(dataset="ba9876543210"))
    with pytest.raises(DataError, match="different exports"):
        open_desk(folder, file)


def test_an_empty_folder_names_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="pipeline review-export"):
        open_desk(tmp_path, tmp_path / "decisions.jsonl")


def test_the_command_reports_a_taken_port_and_a_wrong_name(folder: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("{}")
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        arguments = ["review-serve", str(folder), "--params", str(params), "--port", str(taken.getsockname()[1])]
        done = CliRunner().invoke(main, arguments)
        assert (done.exit_code, "choose another with --port" in done.output) == (2, True)
    assert CliRunner().invoke(main, [*arguments, "--reviewers", "a/b"]).exit_code == 2


def test_the_command_prints_a_link_for_each_reviewer_and_ends_well_at_ctrl_c(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{}")
    command = [sys.executable, "-m", "stages.cli", "review-serve", str(folder), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(server.__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        links = dict(running.stdout.readline().strip().split(": ", 1) for _ in range(2))
        assert list(links) == ["anna", "ben"]
        assert requests.get(links["anna"], timeout=30).text.startswith("<!DOCTYPE html>")
        assert requests.get(links["anna"][:-1], timeout=30).status_code == 403
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.stdout.close()
