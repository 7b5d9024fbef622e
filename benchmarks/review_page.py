"""How fast the review page answers a filterer, in a real browser, with a full batch. One JSON line.

    python benchmarks/review_page.py [--people 500] [--faces 20] [--keys 300] [--chromium /usr/bin/chromium]

A key's latency runs from the moment the page hears of it until its effect is computed and saved (handled), and until
the first frame that shows it is painted, for which the browser may wait a sixtieth of a second. The first screen is
there when all pictures of the first person are decoded and painted, counted from the start of loading; it is loaded
several times, each in a new browser context.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.review.page import page
from pipeline.review.tasks import REASONS, task_id

SIDE = 320  # pixels, as an export writes them
DRAWN = 40  # different pictures; the files are links to them, but each has an address of its own
LOADS = 5
KEYS = ["ArrowRight", "ArrowDown", "1", "2", "3", "k", "r", "b", "w", "u", "x", "a", "z", "y", "n", "Enter"]

WATCH = """() => {
  let key;
  addEventListener("keydown", (event) => {
    if (!event.isTrusted) return;
    const mine = key = {begun: performance.now()};
    window.spent.push(mine);
    requestAnimationFrame(() => {
      const channel = new MessageChannel();  // its message comes after the frame is painted
      channel.port1.onmessage = () => { mine.painted = performance.now() - mine.begun; };
      channel.port2.postMessage(0);
    });
  }, {capture: true});
  addEventListener("keydown", (event) => { if (event.isTrusted) key.handled = performance.now() - key.begun; });
}"""
DECIDE = """(people) => {  // most of a batch, and with it a long history
  const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  for (let n = 0; n < people; n += 1) ["a", "Enter"].forEach(press);
}"""
PAINTED = """async () => {
  await Promise.all([...document.querySelectorAll(".card img")].map((image) => image.decode()));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now();
}"""


def draw(folder: Path) -> list[Path]:
    """JPEGs of smooth colours, about as large as a portrait's."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(DRAWN):
        small = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        files.append(folder / f"{number}.jpg")
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(files[-1], "JPEG", quality=88)
    return files


def make(folder: Path, people: int, faces: int) -> Path:
    """A batch of so many people; returns its page."""
    drawn = draw(folder)
    (folder / "pictures").mkdir()
    listed: list[dict[str, Any]] = []
    for number in range(people):
        tasks = []
        for place in range(faces):
            shown = sha256(f"{number}/{place}".encode()).hexdigest()
            names = [f"pictures/{shown[:32]}{ending}.jpg" for ending in ("", "o")]
            for name in names:
                os.link(drawn[(number * faces + place) % DRAWN], folder / name)
            tasks.append({
                "task_id": task_id(shown[:32], shown, 1), "sample_id": shown[:32], "shown_sha256": shown,
                "suggested": "keep" if place < 7 else "reject", "quality": 0.9 - 0.01 * place,
                "scores": [["quality", "0.90"], ["turn", "+1.2°"], ["nod", "-0.3°"], ["pupils", "64 px"]],
                "source": f"https://example.org/{shown}.jpg", "white": names[0], "original": names[1],
            })  # fmt: skip
        known = {"identity": f"id{number:05}", "name": f"Person {number}", "gender": "f", "nationality": "Norland"}
        listed.append({**known, "kept": 0, "tasks": tasks})
    batch = {
        "schema": 1, "batch": "bench", "dataset": "0" * 12, "round": 1, "reviewer": "anna", "made": None,
        "expires": None, "blind": False, "least": 3, "most": 7, "reasons": REASONS, "people": listed,
    }  # fmt: skip
    (folder / "index.html").write_text(page(batch), encoding="utf-8")
    return folder / "index.html"


def first_screens(browser: Browser, address: str) -> list[float]:
    """Milliseconds to the first screen, once per new context."""
    spent = []
    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        screen = context.new_page()
        screen.goto(address, wait_until="commit")
        screen.locator(".card").first.wait_for()
        spent.append(screen.evaluate(PAINTED))
        context.close()
    return spent


def latencies(screen: Page, keys: Sequence[str]) -> dict[str, dict[str, float]]:
    """Milliseconds until all is done and saved, and until it is painted."""
    screen.evaluate("window.spent = []")
    for key in keys:
        screen.keyboard.press(key)
        screen.wait_for_timeout(30)  # ms; the frame of one key is not that of the next
    screen.wait_for_function("window.spent.at(-1).painted")
    spent = screen.evaluate("window.spent")
    return {name: summary([one[name] for one in spent]) for name in ("handled", "painted")}


def measure(address: str, people: int, count: int, chromium: str) -> dict[str, Any]:
    rng = random.Random(0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        loads = first_screens(browser, address)
        screen = browser.new_page(viewport={"width": 1280, "height": 720})
        screen.goto(address)
        screen.locator(".card").first.wait_for()
        screen.evaluate(WATCH)
        fresh = latencies(screen, rng.choices(KEYS, k=count))
        screen.evaluate(DECIDE, 4 * people // 5)
        screen.wait_for_timeout(2000)  # ms; nobody decides four hundred people in a second
        late = latencies(screen, rng.choices(KEYS, k=count))
        screen.reload(wait_until="commit")
        screen.locator(".card").first.wait_for()
        again = screen.evaluate(PAINTED)
        stored = screen.evaluate("JSON.stringify(localStorage).length")
        browser.close()
    return {
        "first_screen_ms": [round(spent) for spent in sorted(loads)],
        "first_screen_of_a_decided_batch_ms": round(again),
        "key": fresh,
        "key_of_a_decided_batch": late,
        "stored_kB": round(stored / 1000),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"median": round(cuts[49], 1), "p99": round(cuts[98], 1), "max": round(max(values), 1), "keys": len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--faces", type=int, default=20)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = make(Path(folder), options.people, options.faces)
        result = measure(file.as_uri(), options.people, options.keys, options.chromium)
        result |= {"people": options.people, "faces": options.faces, "page_kB": round(file.stat().st_size / 1000)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
