"""The review page in a real browser: a filterer at the keyboard, and everything that may go wrong around them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import DataError
from pipeline.review.page import page, read
from tests.pipeline.review.screens import (
    SMALL,
    TABLET,
    as_text,
    batch,
    decided,
    decisions,
    download,
    opened,
    person,
    press,
    sha256,
    status,
    watched,
    write,
)

HOSTILE = "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=2>\u2028\u202egnp.\ud800"


def tell(screen: Any, plan: dict[int, str]) -> None:
    """Decide every picture of the person on the screen by number and letter keys."""
    for place, word in plan.items():
        if word == "keep":
            press(screen, str(place + 1))
        elif word in ("wrong_person", "unsure"):
            press(screen, ["Home", *["ArrowRight"] * place, word[0]])
    press(screen, "x")


def test_a_filterer_goes_through_thirty_people_by_keyboard_alone(browser: Any, tmp_path: Path) -> None:
    """Numbers to keep, letters for the rest, Enter to go on; the file says what was meant."""
    rng = random.Random(1)
    data = batch(30, 6)
    words = ["keep", "keep", "keep", "reject", "wrong_person", "unsure"]
    plans = [dict(enumerate(rng.sample(words, len(words)))) for _ in data["people"]]
    with opened(browser, write(tmp_path, data)) as screen:
        for plan in plans:
            tell(screen, plan)
            press(screen, ["Enter"])
        assert screen.locator("#finished-title").inner_text() == "All done. Thank you."
        made = decisions(screen)
    tasks = [task for one in data["people"] for task in one["tasks"]]
    assert [one.decision for one in made] == [word for plan in plans for word in plan.values()]
    assert [(d.task_id, d.sample_id, d.shown_sha256) for d in made] == [
        (task["task_id"], task["sample_id"], task["shown_sha256"]) for task in tasks
    ]
    assert {(d.reviewer, d.round) for d in made} == {("anna", 1)}
    assert all(d.at and d.seconds is not None and 0 <= d.seconds < 30 for d in made)


def test_a_key_held_down_decides_once(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 4))) as screen:
        for _ in range(4):
            screen.keyboard.down("k")  # from the second on, these are repeats
        assert decided(screen) == ["keep", "", "", ""]


def test_reasons_and_a_comment_belong_to_the_picture_just_rejected(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 3))) as screen:
        press(screen, ["r", "b", "c"])  # the focus has moved on, the reasons stay with the first
        press(screen, ["m"])
        screen.keyboard.type("no r k w keys here")
        press(screen, ["Enter", "k"])
        press(screen, "b")  # the third is undecided: no reason for it
        assert "reject it first" in status(screen)
        first, second = decisions(screen)
    assert (first.decision, first.reasons, first.comment) == ("reject", ("blurred", "cut"), "")
    assert (second.decision, second.reasons, second.comment) == ("keep", (), "no r k w keys here")


def test_a_reload_finds_everything_where_it_was(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(3, 4))) as screen:
        press(screen, ["1", "2", "x", "Enter", "u", "k"])
        before = download(screen)
        screen.reload()
        assert screen.locator("#name").inner_text() == "Person 1"
        assert decided(screen) == ["unsure", "keep", "", ""]
        assert download(screen) == before
        press(screen, "zz")  # undo works across the reload
        assert decided(screen) == ["", "", "", ""]
        press(screen, "zzz")
        assert screen.locator("#name").inner_text() == "Person 0"
        assert decisions(screen) == []
        screen.reload()
        press(screen, "yyyyy")  # and so does redo
        assert download(screen) == before


def test_a_closed_window_loses_nothing(browser: Any, tmp_path: Path) -> None:
    address = write(tmp_path, batch(2, 4))
    with opened(browser, address) as screen:
        press(screen, "kr")
        screen.close()  # no time to say goodbye
        again = screen.context.new_page()
        with watched(again, address):
            assert decided(again) == ["keep", "reject", "", ""]


def test_undo_and_redo_go_through_any_history(browser: Any, tmp_path: Path) -> None:
    rng = random.Random(2)
    keys = [*"krwuxa123b", "Enter", "n", "N", "ArrowRight", "Backspace", " "]
    with opened(browser, write(tmp_path, batch(4, 5))) as screen:
        press(screen, rng.choices(keys, k=150))
        before = download(screen)
        assert before
        steps = 0
        while not status(screen).startswith("Nothing to undo"):
            press(screen, "z")
            steps += 1
        assert decisions(screen) == []
        press(screen, "y" * (steps - 1))
        assert download(screen) == before
        press(screen, "y")
        assert status(screen) == "Nothing to do again."


def test_after_undo_another_decision_ends_what_could_be_done_again(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 4))) as screen:
        press(screen, ["k", "k", "k", "z", "z", "Home", "r"])
        screen.reload()
        press(screen, "yyy")
        assert decided(screen) == ["reject", "", "", ""]
        press(screen, "zz")
        assert decided(screen) == ["", "", "", ""]


def test_strangers_text_is_text_and_nothing_else(browser: Any, tmp_path: Path) -> None:
    data = batch(2, 3, batch=f"b {HOSTILE}", people=[person(0, 3, name=HOSTILE, nationality=HOSTILE), person(1, 3)])
    task = data["people"][0]["tasks"][0]
    task.update(source=f"javascript:harm() {HOSTILE}", scores=[[HOSTILE, HOSTILE]])
    data["people"][0]["tasks"][1].update(white="https://example.org/spy.jpg", original="../../../etc/passwd")
    data["reasons"][0][2] = HOSTILE
    with opened(browser, write(tmp_path, data)) as screen:
        press(screen, ["i", "r", "b", "ArrowRight", "v", "Escape", "?", "Escape"])
        assert screen.evaluate("window.harmed") is None
        assert "<script>window.harmed=1</script>" in screen.locator("#name").inner_text()
        assert screen.locator("script").count() == 2  # the data and the page's own
        with screen.expect_download() as waiting:
            press(screen, "d")
        assert set(waiting.value.suggested_filename) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-<>/")
        (line,) = Path(waiting.value.path()).read_text().splitlines()
        assert json.loads(line)["reasons"] == ["blurred"]


def test_the_policy_lets_no_foreign_script_style_picture_or_request_in(browser: Any, tmp_path: Path) -> None:
    address = write(tmp_path, batch(1, 2))
    with browser.new_context() as context:
        screen = context.new_page()
        screen.goto(address.as_uri())
        violated = screen.evaluate("""async () => {
          const found = [];
          document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
          const add = (tag, fields) => document.body.append(Object.assign(document.createElement(tag), fields));
          add("script", {textContent: "window.harmed = 1"});
          add("style", {textContent: "body { display: none }"});
          add("img", {src: "https://example.org/x.png"});
          add("iframe", {src: "https://example.org/"});
          await fetch("https://example.org/").catch(() => null);
          await new Promise((done) => setTimeout(done, 200));
          return found.sort();
        }""")
        assert violated == ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
        assert screen.evaluate("window.harmed") is None


def test_no_more_than_seven_are_kept_and_the_page_says_so_kindly(browser: Any, tmp_path: Path) -> None:
    data = batch(people=[person(0, 9, suggested=9), person(1, 9, kept=5)])
    with opened(browser, write(tmp_path, data)) as screen:
        press(screen, "a")  # more are suggested than there is room for
        assert decided(screen) == ["keep"] * 7 + [""] * 2
        press(screen, "8")
        assert decided(screen)[7] == ""
        assert "7 are kept already" in status(screen)
        press(screen, "18x")  # one less, one more, and the rest
        assert decided(screen) == ["reject", *["keep"] * 7, "reject"]
        press(screen, ["n", *"123"])  # five of this person were kept before
        assert decided(screen)[:3] == ["keep", "keep", ""]
        assert sum(one.decision == "keep" for one in decisions(screen)) == 9


def test_with_fewer_than_three_it_says_what_follows_and_lists_the_people_at_the_end(
    browser: Any, tmp_path: Path
) -> None:
    with opened(browser, write(tmp_path, batch(1, 4))) as screen:
        press(screen, "1x")
        assert "With fewer than 3 kept this person is left out" in status(screen)
        press(screen, ["Enter"])
        assert screen.locator("#few summary").inner_text().startswith("1 person with fewer than 3 kept")
        press(screen, "krx")  # nobody is on the screen: nothing to decide
        assert [one.decision for one in decisions(screen)] == ["keep", "reject", "reject", "reject"]


def test_an_expired_batch_shows_no_picture_but_still_gives_the_decisions(browser: Any, tmp_path: Path) -> None:
    address = write(tmp_path, batch(2, 3, expires="2030-01-31"))
    context = browser.new_context(accept_downloads=True)
    screen = context.new_page()
    screen.clock.set_fixed_time("2030-01-31T20:00:00")
    with watched(screen, address):
        press(screen, "kr")
        assert screen.locator(".card img[src]").count() == 3
        requested: list[str] = []
        screen.on("request", lambda request: requested.append(request.url))
        screen.clock.set_fixed_time("2030-02-01T00:00:01")
        screen.reload()
        assert "expired on 2030-01-31" in screen.locator("#alerts").inner_text()
        press(screen, ["w", "x", "1", "a", "Delete", "z", "n", "v", "Escape"])
        assert [one.decision for one in decisions(screen)] == ["keep", "reject"]
        assert [url for url in requested if "pictures" in url] == []
    context.close()


def test_a_half_finished_batch_goes_on_from_its_file_on_another_machine(browser: Any, tmp_path: Path) -> None:
    data = batch(3, 4)
    address = write(tmp_path / "batch", data)
    with opened(browser, address) as screen:
        press(screen, ["1", "2", "x", "Enter", "w"])
        text = download(screen)
    lines = [json.loads(line) for line in text.splitlines()]
    extra = [
        {**lines[0], "task_id": "another batch"},
        {**lines[0], "shown_sha256": sha256("another picture")},
        {**lines[0], "reviewer": "ben"},
        {**lines[0], "decision": "perhaps"},
        {**lines[0], "decision": "reject", "at": "2001-01-01T00:00:00Z"},
    ]
    (tmp_path / "half.jsonl").write_text(text + as_text(extra) + '{"cut o', encoding="utf-8")
    with opened(browser, address) as screen:
        screen.locator("#file").set_input_files(tmp_path / "half.jsonl")
        screen.locator("#status", has_text="taken over").wait_for()
        assert status(screen) == (
            "5 decisions taken over; 2 lines are broken; 1 line is about a picture of another batch; 1 line is about "
            "an earlier version of its picture; 1 line is not by anna; 1 line brings nothing newer."
        )
        assert screen.locator("#name").inner_text() == "Person 1"
        assert download(screen) == text
        screen.locator("#file").set_input_files(tmp_path / "half.jsonl")
        screen.locator("#status", has_text="0 decisions taken over").wait_for()
        press(screen, "z")  # taking over is a step like others
        assert decisions(screen) == []


def test_where_the_browser_saves_nothing_it_says_so_and_offers_the_file(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(accept_downloads=True)
    context.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})")
    screen = context.new_page()
    with watched(screen, write(tmp_path, batch(1, 3))):
        assert "does not save" in screen.locator("#alerts").inner_text()
        press(screen, "kr")
        assert [one.decision for one in decisions(screen)] == ["keep", "reject"]
    context.close()


def test_full_storage_is_noticed_at_the_key_that_hit_it(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 3))) as screen:
        screen.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full') } }")
        press(screen, "k")
        assert "does not save" in screen.locator("#alerts").inner_text()
        assert len(decisions(screen)) == 1


@pytest.mark.parametrize(
    ("entry", "damage", "left"),
    [
        ("head", "null", ["keep", "reject", "keep", ""]),
        ("head", "{", ["keep", "reject", "keep", ""]),
        ("step/1", '["cut', ["keep", "", "keep", ""]),
        ("step/1", '["x", [["keep"], "TASK"]]', ["keep", "", "keep", ""]),
        ("step/1", '["x", [5, "TASK"]]', ["keep", "", "keep", ""]),
    ],
)
def test_a_damaged_entry_of_the_storage_takes_nothing_else_with_it(
    entry: str, damage: str, left: list[str], browser: Any, tmp_path: Path
) -> None:
    data = batch(1, 4)
    damage = damage.replace("TASK", data["people"][0]["tasks"][1]["task_id"])
    with opened(browser, write(tmp_path, data)) as screen:
        press(screen, "krk")
        screen.evaluate(
            "([end, text]) => localStorage.setItem(Object.keys(localStorage).find((key) => key.endsWith(end)), text)",
            [f"/{entry}", damage],
        )
        screen.reload()
        assert decided(screen) == left
        press(screen, "u")
        assert decided(screen)[left.index("")] == "unsure"


def test_two_windows_of_a_batch_follow_one_another(browser: Any, tmp_path: Path) -> None:
    address = write(tmp_path, batch(1, 3))
    with opened(browser, address) as screen:
        other = screen.context.new_page()
        with watched(other, address):
            press(screen, "k")
            other.locator('.card[data-decision="keep"]').wait_for()
            press(other, ["End", "r"])
            screen.locator('.card[data-decision="reject"]').wait_for()
            assert [one.decision for one in decisions(screen)] == ["keep", "reject"]


def test_time_is_measured_and_a_pause_is_not_work(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(accept_downloads=True)
    screen = context.new_page()
    screen.clock.install(time="2026-01-01T10:00:00")
    with watched(screen, write(tmp_path, batch(1, 4))):
        for seconds in (4, 3600):
            screen.clock.run_for(1000 * seconds)
            press(screen, "k")
        screen.clock.run_for(6000)
        press(screen, "x")  # two pictures share these
        screen.clock.run_for(500)
        assert [one.seconds for one in decisions(screen)] == pytest.approx([4, 30, 3, 3], abs=0.3)
    context.close()


def test_a_comment_is_one_step_and_saved_at_every_letter(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 3))) as screen:
        press(screen, ["k", "ArrowLeft", "m"])
        screen.keyboard.type("twins?")
        screen.reload()
        assert decisions(screen)[0].comment == "twins?"
        press(screen, "z")
        assert decisions(screen)[0].comment == ""
        press(screen, "z")
        assert decisions(screen) == []


def test_a_blind_batch_suggests_nothing(browser: Any, tmp_path: Path) -> None:
    data = batch(1, 3, blind=True)
    for task in data["people"][0]["tasks"]:
        task.update(suggested=None, scores=[], quality=None)
    with opened(browser, write(tmp_path, data)) as screen:
        press(screen, "aisk")
        assert decided(screen) == ["keep", "", ""]
        assert "uggest" not in screen.locator("body").inner_text()
        assert "0.9" not in screen.locator("#grid").inner_text()


def test_suggestions_can_be_switched_off_and_stay_off(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(2, 3))) as screen:
        assert screen.locator("#grid").inner_text().split() == ["1", "keep", "2", "keep", "3", "reject"]
        press(screen, ["s", "a", "n"])
        screen.reload()
        assert screen.locator("#grid").inner_text().split() == ["1", "2", "3"]
        assert decisions(screen) == []


def test_only_one_person_is_in_the_document_and_the_next_ones_pictures_are_fetched(
    browser: Any, tmp_path: Path
) -> None:
    data = batch(5, 4)
    with browser.new_context() as context:
        screen = context.new_page()
        requested: set[str] = set()
        screen.on("request", lambda request: requested.add(request.url.rpartition("/")[2]))
        with watched(screen, write(tmp_path, data)):
            screen.wait_for_timeout(300)
            assert screen.locator(".card").count() == 4
            whites = [[Path(task["white"]).name for task in one["tasks"]] for one in data["people"]]
            assert requested >= {*whites[0], *whites[1]}
            assert not requested & {*whites[2], *whites[3], *whites[4]}


def test_a_missing_picture_is_shown_as_missing(browser: Any, tmp_path: Path) -> None:
    data = batch(1, 2)
    address = write(tmp_path, data)
    (tmp_path / data["people"][0]["tasks"][1]["white"]).unlink()
    with opened(browser, address) as screen:
        screen.locator(".card.missing").wait_for()
        assert screen.locator(".card.missing").count() == 1


@pytest.mark.parametrize("viewport", [SMALL, TABLET])
def test_twenty_pictures_are_in_view_and_all_that_is_touched_is_large_enough(
    viewport: dict[str, int], browser: Any, tmp_path: Path
) -> None:
    with opened(browser, write(tmp_path, batch(2, 20)), viewport, has_touch=True) as screen:
        boxes = screen.eval_on_selector_all(
            "button:not([disabled]), .card, #comment",
            "all => all.filter(one => one.checkVisibility()).map(one => {"
            "const {left, top, right, bottom} = one.getBoundingClientRect(); return [left, top, right, bottom]; })",
        )
        assert len(boxes) > 30
        assert min(min(right - left, bottom - top) for left, top, right, bottom in boxes) >= 44
        cards = screen.eval_on_selector_all(".card", "all => all.map(one => one.getBoundingClientRect().bottom)")
        assert (
            max(cards) <= screen.locator("#grid").bounding_box()["y"] + screen.locator("#grid").bounding_box()["height"]
        )
        assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth")
        screen.locator(".card").nth(2).tap()
        screen.locator(".card").nth(3).tap()
        screen.locator(".card").nth(3).tap()
        assert decided(screen)[:5] == ["", "", "keep", "reject", ""]
        screen.locator("#actions .unfinished").tap()
        assert screen.locator("#name").inner_text() == "Person 1"


def test_every_picture_has_a_key(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 20, most=20))) as screen:
        press(screen, [*"1234567890", *(f"Shift+Digit{digit}" for digit in "1234567890")])
        assert decided(screen) == ["keep"] * 20
        press(screen, ["Home", "ArrowDown", " "])
        row = int(screen.locator(".card.here").get_attribute("data-place"))
        assert row > 1
        assert decided(screen)[row] == "reject"


def _grid(_screen: Any) -> None: ...


def _decided(screen: Any) -> None:
    press(screen, ["k", "w", "u", "r", "b", "i"])


def _zoomed(screen: Any) -> None:
    press(screen, ["v", "+"])


def _help(screen: Any) -> None:
    press(screen, "?")


def _finished(screen: Any) -> None:
    press(screen, ["1", "x", "Enter", "x", "Enter"])
    assert screen.locator("#finished").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("arrange", [_grid, _decided, _zoomed, _help, _finished])
def test_axe_finds_nothing_to_complain_about(
    arrange: Callable[[Any], None], scheme: str, browser: Any, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, write(tmp_path, batch(2, 6)), color_scheme=scheme) as screen:
        arrange(screen)
        found = axe.run(screen).response["violations"]
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"]]) for fault in found] == []


def test_what_happens_is_said_to_a_screen_reader(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, batch(1, 3))) as screen:
        card = screen.get_by_role("option", name="Picture 1 of 3, undecided, suggested: keep")
        assert card.evaluate("card => card === document.activeElement")
        press(screen, "k")
        assert screen.get_by_role("status").inner_text() == "Picture 1: keep. 1 kept. 1 of 3 decided."
        assert screen.get_by_role("option", name="Picture 1 of 3, Keep").get_attribute("aria-selected") == "true"
        focus = screen.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(focus.removesuffix("px")) >= 2


def test_dark_and_light_follow_the_system_until_one_is_chosen(browser: Any, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, write(tmp_path, batch(1, 2)), color_scheme="dark") as screen:
        dark = screen.evaluate(ground)
        press(screen, "l")
        light = screen.evaluate(ground)
        assert dark != light
        screen.reload()
        assert screen.evaluate(ground) == light


def test_a_page_gives_its_batch_back(tmp_path: Path) -> None:
    data = batch(1, 2, people=[person(0, 2, name=HOSTILE)])
    assert read(write(tmp_path, data)) == data


def test_what_is_no_batch_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", batch(1, 2)).read_bytes()
    edited = (
        b"<p>hello</p>",
        whole[: whole.index(b'id="batch">') + 50],
        whole.replace(b'id="batch">{', b'id="batch">{{'),
        whole.replace(b'id="batch">{', b'id="batch">[]</script>{'),
        b"\xff" + whole,
    )
    for data in edited:
        (tmp_path / "index.html").write_bytes(data)
        with pytest.raises(DataError, match="holds no whole batch"):
            read(tmp_path / "index.html")
    with pytest.raises(DataError, match="schema 2"):
        read(write(tmp_path / "later", batch(schema=2)))


@pytest.mark.parametrize("keys", [["k"], ["b", "b"], ["10"], ["1"]])
def test_reason_keys_must_not_mean_something_else(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="reason keys"):
        page(batch(reasons=[[key, "x", "X"] for key in keys]))
