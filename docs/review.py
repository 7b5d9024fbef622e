"""Draw docs/review.png: the review page half way through a person, as Chromium shows it.

Run after `pipeline review-export`: python docs/review.py data/review_batches/BATCH/index.html
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).with_name("review.png")
KEYS = ["1", "2", "4", "5", "6", "Home", "ArrowRight", "ArrowRight", "w", "End", "r", "p", "8", "8", "ArrowLeft"]


def draw(page: Path) -> None:
    """Press the keys and keep what is on the screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        screen = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        screen.goto(page.resolve().as_uri())
        for key in KEYS:
            screen.keyboard.press(key)
        screen.wait_for_timeout(500)  # ms; pictures fade
        screen.screenshot(path=OUT)
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
