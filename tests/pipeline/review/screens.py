"""Batches of made-up people for the page, and a browser that plays a filterer."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline.review.decisions import Decision, parse
from pipeline.review.page import page
from pipeline.review.tasks import REASONS, task_id

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SMALL = {"width": 1280, "height": 720}
TABLET = {"width": 820, "height": 1180}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def person(number: int, faces: int, suggested: int = 2, **fields: Any) -> dict[str, Any]:
    """The `number`th person with so many pictures, the first `suggested` of them suggested."""
    tasks = []
    for place in range(faces):
        sample, shown = sha256(f"{number}/{place}")[:32], sha256(f"picture {number}/{place}")
        tasks.append({
            "task_id": task_id(sample, shown, 1),
            "sample_id": sample,
            "shown_sha256": shown,
            "suggested": "keep" if place < suggested else "reject",
            "quality": round(0.95 - 0.01 * place, 4),
            "scores": [["quality", "0.95"], ["turn", "+1.2°"]],
            "source": f"https://example.org/{number}/{place}.jpg",
            "white": f"pictures/{shown[:32]}.jpg",
            "original": f"pictures/{shown[:32]}o.jpg",
        })  # fmt: skip
    named = {
        "identity": f"id{number:05}",
        "name": f"Person_{number}",
        "gender": "f",
        "nationality": "Norland",
        "kept": 0,
    }
    return {**named, "tasks": tasks, **fields}


def batch(count: int = 3, faces: int = 4, **fields: Any) -> dict[str, Any]:
    """A batch for anna."""
    return {
        "schema": 1,
        "batch": "round1-batch001-anna",
        "dataset": "0123456789ab",
        "round": 1,
        "reviewer": "anna",
        "made": None,
        "expires": None,
        "blind": False,
        "least": 3,
        "most": 7,
        "reasons": [list(reason) for reason in REASONS],
        "people": [person(number, faces) for number in range(count)],
        **fields,
    }


def jpeg(seed: str) -> bytes:
    red, green, blue = hashlib.sha256(seed.encode()).digest()[:3]
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (red, green, blue)).save(out, "JPEG")
    return out.getvalue()


def write(folder: Path, data: dict[str, Any]) -> Path:
    """The folder of a batch as `review-export` leaves it; returns its page."""
    (folder / "pictures").mkdir(parents=True)
    for task in (task for one in data["people"] for task in one["tasks"]):
        for name in (task["white"], task["original"]):
            if name.startswith("pictures/") and name.endswith(".jpg"):
                (folder / name).write_bytes(jpeg(name))
    (folder / "index.html").write_text(page(data), encoding="utf-8")
    return folder / "index.html"


@contextmanager
def opened(
    browser: "Browser", address: Path | str, viewport: dict[str, int] = SMALL, **options: Any
) -> Iterator["Page"]:
    """A page in a browser of its own, that fails the test on any script error, violation or foreign request."""
    context = browser.new_context(viewport=viewport, accept_downloads=True, **options)
    screen = context.new_page()
    try:
        with watched(screen, address):
            yield screen
    finally:
        context.close()


@contextmanager
def watched(screen: "Page", address: Path | str) -> Iterator[None]:
    """Open an address and see to it that nothing goes wrong there unseen."""
    start = address.as_uri() if isinstance(address, Path) else address
    home = start.rpartition("/")[0]
    faults: list[str] = []
    screen.on("pageerror", lambda error: faults.append(f"error: {error}"))
    screen.on("console", lambda line: faults.append(line.text) if "Content Security" in line.text else None)
    screen.on(
        "request", lambda request: None if request.url.startswith((home, "blob:")) else faults.append(request.url)
    )
    screen.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    screen.set_default_timeout(10_000)  # ms
    screen.goto(start)
    yield
    assert faults == []


def press(screen: "Page", keys: Sequence[str] | str) -> None:
    """Press keys one after another; a text is one key a letter."""
    for key in keys:
        screen.keyboard.press(key)


def status(screen: "Page") -> str:
    return screen.locator("#status").inner_text()


def decided(screen: "Page") -> list[str]:
    """What the cards on the screen say, best picture first; '' where nothing is decided."""
    found: list[str] = screen.eval_on_selector_all(".card", "cards => cards.map(card => card.dataset.decision)")
    return found


def download(screen: "Page") -> str:
    """The text of the file that the D key downloads."""
    with screen.expect_download() as waiting:
        screen.keyboard.press("d")
    assert waiting.value.suggested_filename == "round1-batch001-anna.jsonl"
    return Path(waiting.value.path()).read_text(encoding="utf-8")


def decisions(screen: "Page") -> list[Decision]:
    return parse(download(screen), "download")


def as_text(lines: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
